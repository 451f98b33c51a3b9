// Package authclient is an example of a Go client that keeps the user logged in. docs/clients.md quotes its regions.
package authclient

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/financelime/authorization/api/client"
)

// #region request-id

// setRequestID sets a request ID. The response and the service's log contain it too.
func setRequestID(_ context.Context, r *http.Request) error {
	r.Header.Set("request-id", uuid.NewString())
	return nil
}

// Connect returns a typed client of the service. It sets the request ID, so pass nil as the parameters of its calls.
func Connect(baseURL string, doer client.HttpRequestDoer) (*client.ClientWithResponses, error) {
	return client.NewClientWithResponses(baseURL, client.WithHTTPClient(doer), client.WithRequestEditorFn(setRequestID))
}

// #endregion

// #region retry

// Retry repeats requests that got 503, which means that the service has changed nothing.
type Retry struct {
	Next        client.HttpRequestDoer
	MaxAttempts int
}

// Do sends a request until the response is not 503, or until MaxAttempts is reached.
func (t Retry) Do(r *http.Request) (*http.Response, error) {
	for attempt := 1; ; attempt++ {
		response, err := t.Next.Do(r)
		if err != nil || response.StatusCode != http.StatusServiceUnavailable || attempt >= t.MaxAttempts {
			return response, err
		}
		response.Body.Close()
		seconds, err := strconv.Atoi(response.Header.Get("retry-after"))
		if err != nil {
			seconds = 1
		}
		select {
		case <-r.Context().Done():
			return nil, r.Context().Err()
		case <-time.After(time.Duration(seconds) * time.Second):
		}
		if r, err = again(r); err != nil {
			return nil, err
		}
	}
}

// again returns a copy of a request that can be sent again, because a body can be read only once.
func again(r *http.Request) (*http.Request, error) {
	copied := r.Clone(r.Context())
	if r.GetBody == nil {
		return copied, nil
	}
	body, err := r.GetBody()
	if err != nil {
		return nil, fmt.Errorf("copy the request: %w", err)
	}
	copied.Body = body
	return copied, nil
}

// #endregion
