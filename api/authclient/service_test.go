package authclient_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/financelime/authorization/api/authclient"
	"github.com/financelime/authorization/test/harness"
)

const (
	email    = "me@example.com"
	password = "qmhVXVC1%hVNa0Hcq"
	authURL  = "https://auth.example.com"
	apiURL   = "https://api.example.com"
)

// service is a small copy of the service with one user. It is a transport, so that tests can run with the clock of testing/synctest. Each of
// its responses is validated against openapi.yaml. The tests in test/clients use the real service.
type service struct {
	lifetime time.Duration // of access tokens

	mu         sync.Mutex
	logins     int
	generation int
	access     int       // the number of the newest access token; the older ones do not work
	expires    time.Time // of the access token
	proven     time.Time // when the user last authenticated
	password   string
	ended      bool
	grace      bool // repeats the tokens of a refresh or of a change of the password
	refreshes  int
	seen       []exchange // all requests
	// instead, if not nil, responds to a refresh instead of the service.
	instead func(w http.ResponseWriter, r *http.Request)
	// api responds at apiURL, if not nil.
	api http.HandlerFunc
}

var contract = sync.OnceValues(harness.NewContract)

func newService() *service { return &service{lifetime: 10 * time.Minute, password: password} }

// exchange is a request that the service has received.
type exchange struct {
	request *http.Request
	status  int
}

// RoundTrip responds to a request. Like a connection, it stops when the request's context ends.
func (s *service) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body == nil {
		r = r.Clone(r.Context())
		r.Body = http.NoBody
	}
	defer r.Body.Close()
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	recorder := httptest.NewRecorder()
	s.ServeHTTP(recorder, r)
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	response := recorder.Result()
	response.Request = r
	s.change(func() { s.seen = append(s.seen, exchange{r, response.StatusCode}) })
	return response, nil
}

// ServeHTTP makes the service usable as a handler, for the examples.
func (s *service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !strings.HasPrefix(r.URL.Path, "/v1/") {
		s.callAPI(w, r)
		return
	}
	if r.URL.Path == "/v1/oauth/refresh" {
		s.mu.Lock()
		s.refreshes++
		instead := s.instead
		s.mu.Unlock()
		if instead != nil {
			w.Header().Set("request-id", r.Header.Get("request-id"))
			instead(w, r)
			return
		}
	}
	recorder := httptest.NewRecorder()
	recorder.Header().Set("request-id", r.Header.Get("request-id"))
	s.respond(recorder, r)
	validator, err := contract()
	if err == nil {
		err = validator.Check(r, recorder.Code, recorder.Header(), recorder.Body.Bytes())
	}
	if err != nil {
		panic(fmt.Sprintf("%s %s: %v", r.Method, r.URL, err))
	}
	maps.Copy(w.Header(), recorder.Header())
	w.WriteHeader(recorder.Code)
	_, _ = w.Write(recorder.Body.Bytes())
}

func (s *service) respond(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var body map[string]any
	if content, err := io.ReadAll(r.Body); err == nil && len(content) > 0 {
		if err := json.Unmarshal(content, &body); err != nil {
			fail(w, 400, "BAD_PARAMETERS", "body")
			return
		}
	}
	switch r.Method + " " + r.URL.Path {
	case "POST /v1/user/signup":
		s.signUp(w, body)
	case "POST /v1/user/password":
		if body["email"] != email {
			fail(w, 404, "USER_NOT_FOUND")
			return
		}
		w.WriteHeader(http.StatusNoContent)
	case "POST /v1/oauth/create":
		if body["email"] != email || body["password"] != s.password {
			fail(w, 404, "USER_NOT_FOUND")
			return
		}
		s.ended = false
		s.logins++
		s.proven = time.Now()
		s.issue(w)
	case "PUT /v1/oauth/refresh":
		switch token := body["refreshToken"]; {
		case s.ended:
			fail(w, 404, "USER_NOT_FOUND")
		case token == fmt.Sprintf("refresh-%d", s.generation):
			s.issue(w)
		case s.grace && token == fmt.Sprintf("refresh-%d", s.generation-1):
			reply(w, s.tokens())
		default:
			fail(w, 400, "BAD_PARAMETERS", "refreshToken")
		}
	default:
		if !s.accepts(r) {
			fail(w, 401, "401 Unauthorized")
			return
		}
		s.respondTo(w, r, body)
	}
}

// respondTo responds to a request with a valid access token.
func (s *service) respondTo(w http.ResponseWriter, r *http.Request, body map[string]any) {
	switch r.Method + " " + r.URL.Path {
	case "PUT /v1/user/password":
		switch chosen := body["newPassword"].(string); {
		case body["currentPassword"] != s.password:
			fail(w, 403, "WRONG_PASSWORD")
		case len(chosen) < 15:
			fail(w, 422, "PASSWORD_TOO_SHORT")
		default:
			s.password, s.proven = chosen, time.Now()
			s.issue(w)
		}
	case "POST /v1/oauth/step_up":
		if body["password"] != s.password {
			fail(w, 403, "AUTHENTICATION_FAILED")
			return
		}
		s.access++
		s.proven, s.expires = time.Now(), time.Now().Add(s.lifetime)
		tokens := s.tokens()
		reply(w, map[string]any{
			"accessToken": tokens.AccessToken, "expiresIn": tokens.ExpiresIn, "authenticatedAt": s.proven.UTC().Format("2006-01-02T15:04:05.000000Z"), "acr": "aal1",
		})
	case "DELETE /v1/user":
		if time.Since(s.proven) >= 10*time.Minute {
			fail(w, 403, "RECENT_AUTHENTICATION_REQUIRED")
			return
		}
		s.ended = true
		w.WriteHeader(http.StatusNoContent)
	case "GET /v1/session/list":
		reply(w, []any{map[string]any{
			"sessionID": s.tokens().SessionID, "platform": "", "clientID": "shop_v1", "remoteAddr": "203.0.113.7", "current": true,
			"createdAt": "2026-11-20T18:02:55.654321Z", "updatedAt": "2026-11-23T09:41:07.123456Z",
		}})
	default: // DELETE /v1/session/{sessionID}
		s.ended = s.ended || strings.HasSuffix(r.URL.Path, "/"+s.tokens().SessionID)
		w.WriteHeader(http.StatusNoContent)
	}
}

func (s *service) signUp(w http.ResponseWriter, body map[string]any) {
	switch {
	case body["language"] != "en":
		fail(w, 400, "BAD_PARAMETERS", "language")
	case body["inviteCode"] != "testInviteCode":
		fail(w, 404, "INVITE_NOT_FOUND")
	case body["email"] == email:
		fail(w, 409, "USER_ALREADY_EXIST")
	case body["email"] == "late@example.com":
		fail(w, 409, "INVITE_HAS_ENDED")
	default:
		w.WriteHeader(http.StatusNoContent)
	}
}

// issue responds with the tokens of the next generation.
func (s *service) issue(w http.ResponseWriter) {
	s.generation++
	s.access++
	s.expires = time.Now().Add(s.lifetime)
	reply(w, s.tokens())
}

// tokens returns the current tokens.
func (s *service) tokens() authclient.Tokens {
	seconds := int64(s.lifetime / time.Second)
	return authclient.Tokens{
		SessionID:    fmt.Sprintf("session-%d", s.logins),
		AccessToken:  fmt.Sprintf("access-%d", s.access),
		RefreshToken: fmt.Sprintf("refresh-%d", s.generation),
		ExpiresIn:    &seconds,
	}
}

// accepts reports whether a request has the current access token.
func (s *service) accepts(r *http.Request) bool {
	return r.Header.Get("authorization") == fmt.Sprintf("Bearer access-%d", s.access) && time.Now().Before(s.expires)
}

func (s *service) callAPI(w http.ResponseWriter, r *http.Request) {
	if s.api != nil {
		s.api(w, r)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.accepts(r) {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(err)
	}
	fmt.Fprintf(w, "%s %s%s", r.Method, r.URL.Path, body)
}

// change calls f with the lock of the service.
func (s *service) change(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

// respondWith makes the service respond to each refresh with a status and a body.
func (s *service) respondWith(status int, contentType, body string) {
	s.change(func() {
		s.instead = func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("content-type", contentType)
			w.WriteHeader(status)
			fmt.Fprint(w, body)
		}
	})
}

func (s *service) recover() { s.change(func() { s.instead = nil }) }

// count returns the number of refreshes.
func (s *service) count() (n int) {
	s.change(func() { n = s.refreshes })
	return n
}

// statuses returns the statuses of all responses.
func statuses(s *service) (all []int) {
	s.change(func() {
		for _, one := range s.seen {
			all = append(all, one.status)
		}
	})
	return all
}

// holdUntil returns a response to a refresh that waits for a channel.
func holdUntil(s *service, release <-chan struct{}) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-release:
			s.respond(w, r)
		case <-r.Context().Done():
		}
	}
}

func readCloser(text string) io.ReadCloser { return io.NopCloser(strings.NewReader(text)) }

func reply(w http.ResponseWriter, body any) {
	w.Header().Set("content-type", "application/json")
	if err := json.NewEncoder(w).Encode(body); err != nil {
		panic(err)
	}
}

func fail(w http.ResponseWriter, status int, message string, parameters ...string) {
	body := map[string]any{"code": status, "message": message}
	if len(parameters) > 0 {
		body["parameters"] = parameters
	}
	if status == http.StatusUnauthorized {
		w.Header().Set("www-authenticate", `Bearer realm="financelime"`)
	}
	if message == "RECENT_AUTHENTICATION_REQUIRED" {
		w.Header().Set("www-authenticate", `Bearer error="insufficient_user_authentication", max_age=600`)
	}
	w.Header().Set("content-type", "application/json")
	w.WriteHeader(status)
	if err := json.NewEncoder(w).Encode(body); err != nil {
		panic(err)
	}
}

// newClient returns a client of a service, which may also send tokens to apiURL.
func newClient(t testing.TB, s http.RoundTripper, options ...authclient.Option) *authclient.Client {
	t.Helper()
	options = append([]authclient.Option{
		authclient.WithHTTPClient(&http.Client{Transport: s}), authclient.WithOrigins(apiURL),
	}, options...)
	c, err := authclient.New(authURL, options...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func login(t testing.TB, c *authclient.Client) *authclient.Session {
	t.Helper()
	session, err := c.Login(t.Context(), authclient.LoginRequest{Email: email, Password: password, ClientID: "shop_v1"})
	if err != nil {
		t.Fatal(err)
	}
	return session
}

// get calls the caller's own API and returns the body.
func get(ctx context.Context, session *authclient.Session) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, apiURL+"/orders", nil)
	if err != nil {
		return "", err
	}
	return send(session, request)
}

func send(session *authclient.Session, request *http.Request) (string, error) {
	response, err := session.HTTPClient().Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	var body bytes.Buffer
	if _, err := body.ReadFrom(response.Body); err != nil {
		return "", err
	}
	if response.StatusCode != http.StatusOK {
		return "", fmt.Errorf("status %d: %s", response.StatusCode, body.String())
	}
	return body.String(), nil
}
