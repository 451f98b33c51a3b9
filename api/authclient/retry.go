package authclient

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"
)

const (
	// defaultWait is the time before the next attempt if the response has no Retry-After.
	defaultWait = time.Second
	// maxWait is the longest time before the next attempt. If the service asks for more, the caller decides.
	maxWait = 30 * time.Second
)

// retry repeats requests that got 503, with which the service says that it has changed nothing.
type retry struct {
	next     *http.Client
	attempts int
}

// Do sends a request until the response is not 503, until all attempts are made, or until the time of the request's context would pass.
func (t retry) Do(r *http.Request) (*http.Response, error) {
	for attempt := 1; ; attempt++ {
		response, err := t.next.Do(r) //nolint:gosec // the caller has chosen the URL of the service
		if err != nil || response.StatusCode != http.StatusServiceUnavailable || attempt >= t.attempts || !replayable(r) {
			return response, err
		}
		wait, ok := retryAfter(response)
		if !ok {
			wait = defaultWait
		}
		if deadline, ok := r.Context().Deadline(); wait > maxWait || (ok && time.Until(deadline) < wait) {
			return response, nil
		}
		discard(response)
		if err := pause(r.Context(), wait); err != nil {
			return nil, err
		}
		if r, err = again(r); err != nil {
			return nil, err
		}
	}
}

// pause waits, or returns the error of a context that ends before.
func pause(ctx context.Context, wait time.Duration) error {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// replayable reports whether a request can be sent a second time. A body can be read once; GetBody returns another one.
func replayable(r *http.Request) bool {
	return r.Body == nil || r.Body == http.NoBody || r.GetBody != nil
}

// again returns a copy of a request that can be sent after the first one.
func again(r *http.Request) (*http.Request, error) {
	copied := r.Clone(r.Context())
	if r.Body == nil || r.Body == http.NoBody {
		return copied, nil
	}
	body, err := r.GetBody()
	if err != nil {
		return nil, fmt.Errorf("repeat the request: %w", err)
	}
	copied.Body = body
	return copied, nil
}

// discard ends a response so that its connection can be used again.
func discard(response *http.Response) {
	_, _ = io.CopyN(io.Discard, response.Body, 64<<10) // a longer body costs the connection
	_ = response.Body.Close()
}
