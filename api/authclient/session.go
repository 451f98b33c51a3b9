package authclient

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/singleflight"

	"github.com/financelime/authorization/api/client"
)

// Session keeps a user logged in. Login and Resume create one. It is an http.RoundTripper that adds the access token to requests, and
// HTTPClient returns an http.Client with it. It is safe for concurrent use.
type Session struct {
	id    string // it stays when the tokens change
	auth  *Client
	store TokenStore
	next  http.RoundTripper
	http  *http.Client                // for the caller's own APIs
	api   *client.ClientWithResponses // for the service

	refreshing singleflight.Group
	leaving    atomic.Bool // LogOut is running

	// writing is held while the store changes, so that a refresh cannot restore the tokens of a user who has logged out meanwhile, or
	// replace those of a newer login. Sessions of one TokenStore share it.
	writing *sync.Mutex
	// turn has room for one: a refresh, a change of the password or a step-up, with its response. The last response is then the newest.
	turn chan struct{}
	// unsaved are new tokens that the store could not save. The next refresh tries again. Only who has the turn uses it.
	unsaved *grant

	mu       sync.Mutex        // guards the fields below
	grant    *grant            // nil: logged out. It is replaced, never changed
	rejected map[string]string // origins that have rejected a new access token, with that token
}

var _ http.RoundTripper = (*Session)(nil)

func (c *Client) newSession(store TokenStore, tokens *grant) (*Session, error) {
	s := &Session{
		id: tokens.SessionID, auth: c, store: store, next: c.http.Transport, writing: &c.writing, grant: tokens, rejected: make(map[string]string),
		turn: make(chan struct{}, 1),
	}
	if c.store == nil {
		s.writing = new(sync.Mutex)
	}
	if s.next == nil {
		s.next = http.DefaultTransport
	}
	h := *c.http
	h.Transport = s
	s.http = &h
	api, err := c.connect(c.withoutRedirects(s))
	if err != nil {
		return nil, fmt.Errorf("authclient: %w", err)
	}
	s.api = api
	return s, nil
}

// HTTPClient returns a client for your own APIs. It sends the access token, and has the timeout, the cookies and the policy of redirects of
// the client in WithHTTPClient.
func (s *Session) HTTPClient() *http.Client { return s.http }

// API returns the generated client with the access token, for operations that have no method here.
func (s *Session) API() *client.ClientWithResponses { return s.api }

// Tokens returns tokens whose access token has not expired, as far as the session knows. Use it where an http.Client cannot be used, such as
// for gRPC. Call it for each use: the tokens change every few minutes.
func (s *Session) Tokens(ctx context.Context) (Tokens, error) {
	current, err := s.valid(ctx)
	if err != nil {
		return Tokens{}, err
	}
	return current.Tokens, nil
}

// Refresh exchanges the tokens for new ones now. Sessions do this by themselves; call it after a change that new access tokens should show.
// Concurrent calls share one request.
func (s *Session) Refresh(ctx context.Context) (Tokens, error) {
	current := s.current()
	if current == nil {
		return Tokens{}, ErrLoggedOut
	}
	renewed, err := s.refresh(ctx, current)
	if err != nil {
		return Tokens{}, err
	}
	return renewed.Tokens, nil
}

// Sessions lists the user's sessions, the most recently refreshed first.
func (s *Session) Sessions(ctx context.Context) ([]client.Session, error) {
	response, err := s.api.GetListActiveSessions(ctx, nil)
	return receive[[]client.Session]("list the sessions", http.StatusOK, response, err)
}

// EndSession ends one of the user's sessions, for example on a lost device. An ID that is not one of them has no effect.
func (s *Session) EndSession(ctx context.Context, sessionID string) error {
	response, err := s.api.RevokeSession(ctx, sessionID, nil)
	_, err = receive[none]("end the session", http.StatusNoContent, response, err)
	return err
}

// LogOut ends this session and deletes its tokens. It succeeds if the session has ended already. If the service cannot be reached, LogOut
// keeps the tokens: call it again, or Forget.
//
// An access token that was given to others, for example a service that is still working, is valid until it expires.
func (s *Session) LogOut(ctx context.Context) error {
	current := s.current()
	if current == nil {
		return nil
	}
	s.leaving.Store(true)
	defer s.leaving.Store(false)
	if err := s.EndSession(ctx, current.SessionID); err != nil && !errors.Is(err, ErrLoggedOut) {
		return fmt.Errorf("log out: %w", err)
	}
	return s.Forget(ctx)
}

// Forget deletes the tokens without a request to the service, where the session remains until it expires. If another login has replaced the
// session in the TokenStore, its tokens remain.
func (s *Session) Forget(ctx context.Context) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	s.set(nil)
	return s.deleteStored(ctx)
}

// deleteStored deletes the tokens of this session from the store. Its caller holds writing.
func (s *Session) deleteStored(ctx context.Context) error {
	if stored, err := s.store.Load(ctx); err == nil && stored != nil && stored.SessionID != s.id {
		return nil // of a newer login
	}
	if err := s.store.Delete(ctx); err != nil {
		return fmt.Errorf("delete the tokens: %w", err)
	}
	return nil
}

// RoundTrip sends a request with the access token, and the request itself unchanged to where a redirect leads that may not receive the
// token. If the access token is about to expire, or the response is 401, RoundTrip refreshes the tokens first. After a 401 it sends the
// request again, if it has no body or has GetBody, as the requests of http.NewRequest have.
//
// The error is ErrLoggedOut if the session has ended, and otherwise one after which the session continues. A request to an origin that is
// neither the service nor in WithOrigins is an error.
func (s *Session) RoundTrip(r *http.Request) (*http.Response, error) {
	authorized, err := s.authorizes(r)
	if err != nil {
		closeBody(r)
		return nil, err
	}
	if !authorized {
		return s.next.RoundTrip(r)
	}
	tokens, err := s.valid(r.Context())
	if err != nil {
		closeBody(r)
		return nil, err
	}
	copied := r.Clone(r.Context())
	for attempt := 1; ; attempt++ {
		response, err := s.send(r, copied, tokens)
		if err != nil || response.StatusCode != http.StatusUnauthorized || s.rejects(r.URL, tokens) {
			return response, err
		}
		isNew := attempt > 1 && !tokens.expiresAt.IsZero() // then another refresh would not help
		switch {
		case isNew:
			s.reject(r.URL, tokens)
			return response, nil
		case attempt == maxAttempts:
			return response, nil
		case !replayable(r):
			s.distrust(tokens) // the next request refreshes it
			return response, nil
		}
		discard(response)
		if tokens, err = s.refresh(r.Context(), tokens); err != nil {
			return nil, err
		}
		if copied, err = again(r); err != nil {
			return nil, err
		}
	}
}

// maxAttempts allows for a token that has expired, then one that another process has stored and that has expired too, then a new one.
const maxAttempts = 3

// CloseIdleConnections closes the idle connections of the transport. http.Client calls it.
func (s *Session) CloseIdleConnections() {
	if closer, ok := s.next.(interface{ CloseIdleConnections() }); ok {
		closer.CloseIdleConnections()
	}
}

// send sends a copy of a request with the access token. The response names the request without the token, so that logs do not show it.
func (s *Session) send(original, copied *http.Request, tokens *grant) (*http.Response, error) {
	if copied.Header == nil {
		copied.Header = make(http.Header)
	}
	copied.Header.Set("authorization", "Bearer "+tokens.AccessToken)
	response, err := s.next.RoundTrip(copied)
	if err == nil {
		response.Request = original
	}
	return response, err
}

// authorizes reports whether a request may carry the access token. It may not after a redirect that has left the allowed origins.
func (s *Session) authorizes(r *http.Request) (bool, error) {
	if !s.auth.origins[originOf(r.URL)] {
		if r.Response == nil {
			return false, fmt.Errorf("%s://%s does not receive the access token: list it in authclient.WithOrigins", r.URL.Scheme, r.URL.Host)
		}
		return false, nil
	}
	for via := r.Response; via != nil && via.Request != nil; via = via.Request.Response {
		if !s.auth.origins[originOf(via.Request.URL)] {
			return false, nil
		}
	}
	return true, nil
}

// reject records that an origin has rejected a token that was new: another refresh would not help.
func (s *Session) reject(u *url.URL, tokens *grant) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rejected[originOf(u)] = tokens.AccessToken
}

// rejects reports whether an origin is known to reject a token for another reason than its age.
func (s *Session) rejects(u *url.URL, tokens *grant) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rejected[originOf(u)] == tokens.AccessToken
}

// originOf returns scheme, host and port of a URL, in one form for each origin.
func originOf(u *url.URL) string {
	scheme, port := strings.ToLower(u.Scheme), u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[scheme]
	}
	return scheme + "://" + strings.ToLower(u.Hostname()) + ":" + port
}

// closeBody closes the body of a request that is not sent, as every http.RoundTripper must.
func closeBody(r *http.Request) {
	if r.Body != nil {
		_ = r.Body.Close()
	}
}
