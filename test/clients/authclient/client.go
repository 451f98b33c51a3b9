// Package authclient is an example: a Go client of the service, whose user stays logged in. docs/clients.md quotes its regions.
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

// nameRequest gives a request a name, which comes back in the answer and stands in the service's logs.
func nameRequest(_ context.Context, r *http.Request) error {
	r.Header.Set("request-id", uuid.NewString())
	return nil
}

// Connect returns the service as a typed client. Its calls need no parameters for the name: pass nil.
func Connect(baseURL string, doer client.HttpRequestDoer) (*client.ClientWithResponses, error) {
	return client.NewClientWithResponses(baseURL, client.WithHTTPClient(doer), client.WithRequestEditorFn(nameRequest))
}

// #endregion

// #region patience

// Patient repeats what the service could not answer just now: 503 means that nothing was decided.
type Patient struct {
	Next  client.HttpRequestDoer
	Tries int
}

// Do sends a request until the answer is another than 503, or the tries are used up.
func (p Patient) Do(r *http.Request) (*http.Response, error) {
	for tried := 1; ; tried++ {
		response, err := p.Next.Do(r)
		if err != nil || response.StatusCode != http.StatusServiceUnavailable || tried >= p.Tries {
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

// again makes a request that can be sent once more: a body can be read only once.
func again(r *http.Request) (*http.Request, error) {
	repeated := r.Clone(r.Context())
	if r.GetBody == nil {
		return repeated, nil
	}
	body, err := r.GetBody()
	if err != nil {
		return nil, fmt.Errorf("repeat the request: %w", err)
	}
	repeated.Body = body
	return repeated, nil
}

// #endregion
