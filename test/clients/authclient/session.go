package authclient

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/financelime/authorization/api/client"
)

// #region session

// ErrLoggedOut is returned when the session has ended: the user has to log in again.
var ErrLoggedOut = errors.New("the session has ended")

// Session keeps a user logged in. It is a client.HttpRequestDoer and safe for concurrent use.
type Session struct {
	api  *client.ClientWithResponses // without a session: a refresh needs no access token
	next client.HttpRequestDoer

	refreshing singleflight.Group
	mu         sync.Mutex
	tokens     *client.AccessTokenResponse // nil: logged out
}

// NewSession returns a session with the tokens of a login.
func NewSession(tokens client.AccessTokenResponse, api *client.ClientWithResponses, next client.HttpRequestDoer) *Session {
	return &Session{api: api, next: next, tokens: &tokens}
}

// Tokens returns the newest tokens.
func (s *Session) Tokens() (client.AccessTokenResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tokens == nil {
		return client.AccessTokenResponse{}, ErrLoggedOut
	}
	return *s.tokens, nil
}

// Do sends a request with the access token. If the token has expired, Do refreshes it and sends the request again.
func (s *Session) Do(r *http.Request) (*http.Response, error) {
	tokens, err := s.Tokens()
	if err != nil {
		return nil, err
	}
	response, err := s.send(r, tokens)
	if err != nil || response.StatusCode != http.StatusUnauthorized {
		return response, err
	}
	response.Body.Close()
	if tokens, err = s.Refresh(r.Context(), tokens); err != nil {
		return nil, err
	}
	if r, err = again(r); err != nil {
		return nil, err
	}
	return s.send(r, tokens)
}

// Refresh exchanges stale tokens for new ones. Concurrent calls share one request.
func (s *Session) Refresh(ctx context.Context, stale client.AccessTokenResponse) (client.AccessTokenResponse, error) {
	_, err, _ := s.refreshing.Do("", func() (any, error) {
		current, err := s.Tokens()
		if err != nil || current.RefreshToken != stale.RefreshToken {
			return nil, err // another call has refreshed them
		}
		// Other callers wait for the same request, so the end of this caller's context must not cancel it.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		return nil, s.exchange(ctx, stale.RefreshToken)
	})
	if err != nil {
		return client.AccessTokenResponse{}, err
	}
	return s.Tokens()
}

func (s *Session) exchange(ctx context.Context, refreshToken string) error {
	r, err := s.api.RefreshAccessTokenWithResponse(ctx, nil, client.RefreshAccessTokenRequest{RefreshToken: refreshToken})
	if err != nil {
		return fmt.Errorf("refresh: %w", err) // the same token can be sent again
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case r.JSON200 != nil:
		s.tokens = r.JSON200
	case r.JSON400 != nil || r.JSON404 != nil:
		s.tokens = nil
		return ErrLoggedOut
	default:
		return fmt.Errorf("refresh: status %d, request %s", r.StatusCode(), r.HTTPResponse.Header.Get("request-id"))
	}
	return nil
}

func (s *Session) send(r *http.Request, tokens client.AccessTokenResponse) (*http.Response, error) {
	r.Header.Set("authorization", "Bearer "+tokens.AccessToken)
	return s.next.Do(r)
}

// #endregion
