package authclient_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/financelime/authorization/api/authclient"
)

// TestRetry checks how often and when a request is repeated that gets 503, and what is not repeated.
func TestRetry(t *testing.T) {
	t.Parallel()
	const busy = http.StatusServiceUnavailable
	for name, test := range map[string]struct {
		statuses   []int // of the responses, then 204
		retryAfter string
		date       string // of the response
		attempts   int    // 0: the default
		timeout    time.Duration
		wantErr    error
		wantSent   int
		wantAfter  time.Duration
	}{
		"a success":                 {wantSent: 1},
		"the third attempt":         {statuses: []int{busy, busy}, retryAfter: "2", wantSent: 3, wantAfter: 4 * time.Second},
		"three attempts":            {statuses: []int{busy, busy, busy}, retryAfter: "2", wantErr: authclient.ErrUnavailable, wantSent: 3, wantAfter: 4 * time.Second},
		"five attempts":             {statuses: []int{busy, busy, busy, busy}, attempts: 5, retryAfter: "0", wantSent: 5},
		"one attempt":               {statuses: []int{busy}, attempts: 1, wantErr: authclient.ErrUnavailable, wantSent: 1},
		"no Retry-After":            {statuses: []int{busy}, wantSent: 2, wantAfter: time.Second},
		"a date, as from a gateway": {statuses: []int{busy}, retryAfter: "Sat, 01 Jan 2000 00:00:05 GMT", wantSent: 2, wantAfter: 5 * time.Second},
		"a negative Retry-After":    {statuses: []int{busy}, retryAfter: "-5", wantSent: 2, wantAfter: time.Second},
		"a malformed Retry-After":   {statuses: []int{busy}, retryAfter: "1.5", wantSent: 2, wantAfter: time.Second},
		"a huge Retry-After":        {statuses: []int{busy}, retryAfter: "99999999999", wantErr: authclient.ErrUnavailable, wantSent: 1},
		"more than 64 bits":         {statuses: []int{busy}, retryAfter: strings.Repeat("9", 30), wantErr: authclient.ErrUnavailable, wantSent: 1},
		"a date of another clock": {
			statuses: []int{busy}, retryAfter: "Mon, 01 Jan 2001 00:00:05 GMT", date: "Mon, 01 Jan 2001 00:00:00 GMT", wantSent: 2, wantAfter: 5 * time.Second,
		},
		"too long to wait":             {statuses: []int{busy}, retryAfter: "60", wantErr: authclient.ErrUnavailable, wantSent: 1},
		"longer than the caller waits": {statuses: []int{busy}, retryAfter: "10", timeout: 5 * time.Second, wantErr: authclient.ErrUnavailable, wantSent: 1},
		"too many requests":            {statuses: []int{429}, retryAfter: "1", wantErr: authclient.ErrTooManyRequests, wantSent: 1},
		"a lost response":              {statuses: []int{502}, wantErr: authclient.Code("502 Bad Gateway"), wantSent: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				sent, started := 0, time.Now()
				options := []authclient.Option{}
				if test.attempts > 0 {
					options = append(options, authclient.WithAttempts(test.attempts))
				}
				c := newClient(t, transport(func(r *http.Request) (*http.Response, error) {
					if body, err := io.ReadAll(r.Body); err != nil || !strings.Contains(string(body), email) {
						t.Errorf("attempt %d has the body %q, %v", sent, body, err)
					}
					status := http.StatusNoContent
					if sent < len(test.statuses) {
						status = test.statuses[sent]
					}
					sent++
					header := http.Header{}
					if test.retryAfter != "" {
						header.Set("retry-after", test.retryAfter)
					}
					if test.date != "" {
						header.Set("date", test.date)
					}
					return &http.Response{StatusCode: status, Header: header, Body: http.NoBody, Request: r}, nil
				}), options...)
				ctx, cancel := context.WithCancel(t.Context())
				if test.timeout > 0 {
					ctx, cancel = context.WithTimeout(t.Context(), test.timeout)
				}
				defer cancel()
				err := c.ResetPassword(ctx, email)
				if !errors.Is(err, test.wantErr) || sent != test.wantSent || time.Since(started) != test.wantAfter {
					t.Errorf("%v after %d requests in %s", err, sent, time.Since(started))
				}
			})
		})
	}
}

// TestRetryEndsWithItsContext checks that a caller who stops waiting is not kept until the next attempt.
func TestRetryEndsWithItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newClient(t, transport(func(r *http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 503, Header: http.Header{"Retry-After": {"20"}}, Body: http.NoBody, Request: r}, nil
		}))
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		started := time.Now()
		if err := c.ResetPassword(ctx, email); !errors.Is(err, context.Canceled) || time.Since(started) != time.Second {
			t.Errorf("%v after %s", err, time.Since(started))
		}
	})
}
