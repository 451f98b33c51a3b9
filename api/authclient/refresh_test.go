package authclient_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/financelime/authorization/api/authclient"
)

// testing/synctest fails a test whose goroutines do not end, so each test here also looks for goroutine leaks.

// TestManyCallsShareOneRefresh checks that calls at the same time, with an access token that has expired, send one refresh.
func TestManyCallsShareOneRefresh(t *testing.T) {
	t.Parallel()
	for name, age := range map[string]time.Duration{"known to have expired": 11 * time.Minute, "rejected with 401": 0} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newService()
				session := login(t, newClient(t, s))
				time.Sleep(age)
				s.change(func() { s.expires = time.Now() })
				var calls sync.WaitGroup
				for range 50 {
					calls.Go(func() {
						if body, err := get(t.Context(), session); err != nil || body != "GET /orders" {
							t.Errorf("%q, %v", body, err)
						}
					})
				}
				calls.Wait()
				if n := s.count(); n != 1 {
					t.Errorf("%d refreshes", n)
				}
			})
		})
	}
}

// TestRefreshBeforeExpiry checks that an access token is replaced shortly before its expiry, and not earlier.
func TestRefreshBeforeExpiry(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newService()
		session := login(t, newClient(t, s))
		for _, step := range []struct {
			wait time.Duration
			want int
		}{{0, 0}, {9*time.Minute + 39*time.Second, 0}, {time.Second, 1}, {9 * time.Minute, 1}, {50 * time.Second, 2}} {
			time.Sleep(step.wait)
			if _, err := get(t.Context(), session); err != nil {
				t.Fatal(err)
			}
			if n := s.count(); n != step.want {
				t.Errorf("%d refreshes, want %d", n, step.want)
			}
		}
		if slices.Contains(statuses(s), http.StatusUnauthorized) {
			t.Error("a request had an expired token")
		}
		s.respondWith(http.StatusServiceUnavailable, "text/plain", "")
		time.Sleep(9*time.Minute + 50*time.Second)
		before := s.count()
		for range 2 { // the token is good for ten more seconds
			if _, err := get(t.Context(), session); err != nil {
				t.Error(err)
			}
		}
		if n := s.count() - before; n != 3 {
			t.Errorf("%d requests, want the three attempts of one refresh", n)
		}
		time.Sleep(10 * time.Second)
		if _, err := get(t.Context(), session); !errors.Is(err, authclient.ErrUnavailable) {
			t.Errorf("with an expired token, without the service: %v", err)
		}
		s.recover()
		if _, err := get(t.Context(), session); err != nil {
			t.Error(err)
		}
	})
}

// TestCancelledCallerDoesNotCancelTheRefresh checks that the callers of one refresh stop waiting separately.
func TestCancelledCallerDoesNotCancelTheRefresh(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newService()
		session := login(t, newClient(t, s))
		release := make(chan struct{})
		s.change(func() { s.instead = holdUntil(s, release) })
		first, cancel := context.WithCancel(t.Context())
		var failures [3]error
		var calls sync.WaitGroup
		for i, ctx := range []context.Context{first, t.Context(), t.Context()} {
			calls.Go(func() { _, failures[i] = session.Refresh(ctx) })
			synctest.Wait() // the first one sends the request
		}
		cancel()
		synctest.Wait()
		if !errors.Is(failures[0], context.Canceled) {
			t.Errorf("the cancelled caller: %v", failures[0])
		}
		close(release)
		calls.Wait()
		if failures[1] != nil || failures[2] != nil || s.count() != 1 {
			t.Errorf("the others: %v; %d refreshes", failures[1:], s.count())
		}
		if tokens, err := session.Tokens(t.Context()); err != nil || tokens.RefreshToken != "refresh-2" {
			t.Errorf("%+v, %v", tokens, err)
		}
	})
}

// TestLate401DoesNotRefreshAgain checks that a call whose token was replaced while it waited for its response uses the new one.
func TestLate401DoesNotRefreshAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, release := newService(), make(chan struct{})
		session := login(t, newClient(t, s))
		s.api = func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("authorization") == "Bearer access-1" {
				<-release
				w.WriteHeader(http.StatusUnauthorized)
			}
		}
		var call sync.WaitGroup
		call.Go(func() {
			if _, err := get(t.Context(), session); err != nil {
				t.Error(err)
			}
		})
		synctest.Wait()
		if _, err := session.Refresh(t.Context()); err != nil {
			t.Error(err)
		}
		close(release)
		call.Wait()
		if n := s.count(); n != 1 {
			t.Errorf("%d refreshes", n)
		}
	})
}

// TestTokensAreKept lists the failures of a refresh that say nothing about the refresh token. After each the session works again.
func TestTokensAreKept(t *testing.T) {
	t.Parallel()
	const isJSON = "application/json"
	for name, response := range map[string]struct {
		status            int
		contentType, body string
	}{
		"request-id was stripped":       {400, isJSON, `{"code":400,"message":"BAD_PARAMETERS","parameters":["request-id"]}`},
		"body was stripped":             {400, isJSON, `{"code":400,"message":"BAD_PARAMETERS","parameters":["body"]}`},
		"400 that names nothing":        {400, isJSON, `{"code":400,"message":"BAD_PARAMETERS"}`},
		"400 of a gateway":              {400, "text/html", "<h1>Bad Request</h1>"},
		"400 of another service":        {400, isJSON, `{"message":"BAD_PARAMETERS","parameters":["refreshToken"]}`},
		"401 of a gateway":              {401, "text/plain", ""},
		"403 of a firewall":             {403, isJSON, `{"code":403,"message":"USER_NOT_FOUND"}`},
		"404 of a gateway":              {404, "text/html", "<h1>Not Found</h1>"},
		"404 of another path":           {404, isJSON, `{"code":404,"message":"404 Not Found"}`},
		"404 of another service":        {404, isJSON, `{"message":"no Route matched with those values"}`},
		"429":                           {429, isJSON, `{"code":429,"message":"429 Too Many Requests"}`},
		"500":                           {500, isJSON, `{"code":500,"message":"500 Internal Server Error"}`},
		"502 of a gateway":              {502, "text/html", ""},
		"503":                           {503, isJSON, `{"code":503,"message":"503 Service Unavailable"}`},
		"a redirect":                    {307, "text/plain", ""},
		"a success that is not JSON":    {200, "text/html", "<h1>Hotel Wi-Fi</h1>"},
		"a success that has no tokens":  {200, isJSON, `{}`},
		"a success that has half of it": {200, isJSON, `{"sessionID":"session-1","accessToken":"access-2"}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s, store := newService(), &authclient.MemoryStore{}
				session := login(t, newClient(t, s, authclient.WithTokenStore(store),
					authclient.WithSessionEnded(func(err error) { t.Errorf("the session has ended: %v", err) })))
				s.respondWith(response.status, response.contentType, response.body)
				time.Sleep(time.Hour)
				if _, err := get(t.Context(), session); err == nil || errors.Is(err, authclient.ErrLoggedOut) {
					t.Errorf("while it fails: %v", err)
				}
				if stored, err := store.Load(t.Context()); err != nil || stored == nil || stored.RefreshToken != "refresh-1" {
					t.Errorf("the store has %+v, %v", stored, err)
				}
				s.recover()
				if _, err := get(t.Context(), session); err != nil {
					t.Errorf("afterwards: %v", err)
				}
			})
		})
	}
}

// TestLostResponse checks that a refresh is repeated, soon, if the service may have done it: later it would count as the use of a stolen token.
func TestLostResponse(t *testing.T) {
	t.Parallel()
	gateway := func(status int) func(*http.Request) (*http.Response, error) {
		return func(r *http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: status, Header: http.Header{}, Body: http.NoBody, Request: r}, nil
		}
	}
	failure := func(err error) func(*http.Request) (*http.Response, error) {
		return func(*http.Request) (*http.Response, error) { return nil, err }
	}
	for name, test := range map[string]struct {
		instead  func(*http.Request) (*http.Response, error) // of the first responses
		attempts int
		lost     int
		wantSent int
		wantErr  bool
	}{
		"connection reset":          {failure(io.ErrUnexpectedEOF), 3, 2, 3, false},
		"each time":                 {failure(io.ErrUnexpectedEOF), 3, 3, 3, true},
		"the caller wants no more":  {failure(io.ErrUnexpectedEOF), 1, 1, 1, true},
		"502":                       {gateway(502), 3, 1, 2, false},
		"504":                       {gateway(504), 3, 1, 2, false},
		"500 is not lost":           {gateway(500), 3, 1, 1, true},
		"no connection is not lost": {failure(&net.OpError{Op: "dial", Err: errors.New("refused")}), 3, 1, 1, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s, sent := newService(), 0
				session := login(t, newClient(t, transport(func(r *http.Request) (*http.Response, error) {
					if r.URL.Path != "/v1/oauth/refresh" {
						return s.RoundTrip(r)
					}
					sent++
					if sent <= test.lost {
						return test.instead(r)
					}
					return s.RoundTrip(r)
				}), authclient.WithAttempts(test.attempts)))
				if _, err := session.Refresh(t.Context()); (err != nil) != test.wantErr || errors.Is(err, authclient.ErrLoggedOut) || sent != test.wantSent {
					t.Errorf("%v after %d requests", err, sent)
				}
				if _, err := session.Refresh(t.Context()); err != nil {
					t.Errorf("afterwards: %v", err)
				}
			})
		})
	}
}

// TestSessionEnds lists the responses after which the user has to log in.
func TestSessionEnds(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]string{
		"ended, unknown":    `{"code":404,"message":"USER_NOT_FOUND"}`,
		"expired, forged":   `{"code":400,"message":"BAD_PARAMETERS","parameters":["refreshToken"]}`,
		"and other defects": `{"code":400,"message":"BAD_PARAMETERS","parameters":["request-id","refreshToken"]}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s, store := newService(), &authclient.MemoryStore{}
				var reasons []error
				c := newClient(t, s, authclient.WithTokenStore(store), authclient.WithSessionEnded(func(err error) { reasons = append(reasons, err) }))
				session := login(t, c)
				s.respondWith(map[byte]int{'4': 404, '0': 400}[body[10]], "application/json", body)
				time.Sleep(time.Hour)
				var calls sync.WaitGroup
				for range 20 {
					calls.Go(func() {
						if _, err := get(t.Context(), session); !errors.Is(err, authclient.ErrLoggedOut) {
							t.Error(err)
						}
					})
				}
				calls.Wait()
				_, err := session.Sessions(t.Context())
				if !errors.Is(err, authclient.ErrLoggedOut) || s.count() != 1 {
					t.Errorf("%v, %d refreshes", err, s.count())
				}
				if len(reasons) != 1 || !errors.Is(reasons[0], authclient.ErrLoggedOut) {
					t.Fatalf("reasons: %v", reasons)
				}
				if failure, ok := errors.AsType[*authclient.Error](reasons[0]); !ok || failure.RequestID == "" {
					t.Errorf("the reason has no request ID: %v", reasons[0])
				}
				if _, err := c.Resume(t.Context()); !errors.Is(err, authclient.ErrLoggedOut) {
					t.Errorf("the store is not empty: %v", err)
				}
				if err := session.LogOut(t.Context()); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// flaky is a transport that fails with err, if there is one.
type flaky struct {
	next http.RoundTripper
	err  error
}

func (f *flaky) RoundTrip(r *http.Request) (*http.Response, error) {
	if f.err != nil {
		return nil, f.err
	}
	return f.next.RoundTrip(r)
}
