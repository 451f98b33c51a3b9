package authclient_test

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/financelime/authorization/api/authclient"
)

const (
	chosen       = "seven green boats at noon"
	passwordPath = "/v1/user/password"
	refreshPath  = "/v1/oauth/refresh"
	stepUpPath   = "/v1/oauth/step_up"
)

func wantTokens(t *testing.T, store authclient.TokenStore, access, refresh string) {
	t.Helper()
	if tokens, err := store.Load(t.Context()); err != nil || tokens == nil || tokens.AccessToken != access || tokens.RefreshToken != refresh {
		t.Errorf("the store has %+v, %v; want %s and %s", tokens, err, access, refresh)
	}
}

// TestChangePassword checks that a change of the password saves the new tokens, and that a refused one changes nothing.
func TestChangePassword(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, store := newService(), &authclient.MemoryStore{}
		session := login(t, newClient(t, s, authclient.WithTokenStore(store)))
		if err := session.ChangePassword(t.Context(), "wrong", chosen); !errors.Is(err, authclient.ErrWrongPassword) {
			t.Errorf("a wrong password: %v", err)
		}
		if err := session.ChangePassword(t.Context(), password, "short"); !errors.Is(err, authclient.ErrPasswordTooShort) {
			t.Errorf("a short password: %v", err)
		}
		wantTokens(t, store, "access-1", "refresh-1")
		if err := session.ChangePassword(t.Context(), password, chosen); err != nil {
			t.Fatal(err)
		}
		wantTokens(t, store, "access-2", "refresh-2")
		if _, err := get(t.Context(), session); err != nil || s.count() != 0 {
			t.Errorf("%v, %d refreshes", err, s.count())
		}
		time.Sleep(time.Hour)
		if _, err := get(t.Context(), session); err != nil {
			t.Errorf("after an hour: %v", err)
		}
		wantTokens(t, store, "access-3", "refresh-3")
	})
}

// TestStepUp checks that a step-up saves the new access token and keeps the refresh token, also if the access token has expired.
func TestStepUp(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		age             time.Duration
		expire          bool
		access, refresh string
	}{
		"a good token":                {0, false, "access-2", "refresh-1"},
		"one that is about to expire": {9*time.Minute + 50*time.Second, false, "access-3", "refresh-2"},
		"one that is rejected":        {0, true, "access-3", "refresh-2"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s, store := newService(), &authclient.MemoryStore{}
				session := login(t, newClient(t, s, authclient.WithTokenStore(store)))
				time.Sleep(test.age)
				if test.expire {
					s.change(func() { s.expires = time.Now() })
				}
				if err := session.StepUp(t.Context(), password); err != nil {
					t.Fatal(err)
				}
				wantTokens(t, store, test.access, test.refresh)
				if err := session.StepUp(t.Context(), "wrong"); !errors.Is(err, authclient.ErrAuthenticationFailed) {
					t.Errorf("a wrong password: %v", err)
				}
				before := s.count()
				time.Sleep(9 * time.Minute) // the age of the token begins anew
				if _, err := get(t.Context(), session); err != nil || s.count() != before {
					t.Errorf("%v, %d more refreshes", err, s.count()-before)
				}
				if _, err := session.Refresh(t.Context()); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// TestRefreshDuringStepUp checks that of a refresh and a step-up, or a change of the password, at the same time the second waits, so that
// no response replaces newer tokens.
func TestRefreshDuringStepUp(t *testing.T) {
	t.Parallel()
	refresh := func(ctx context.Context, session *authclient.Session) error {
		_, err := session.Refresh(ctx)
		return err
	}
	stepUp := func(ctx context.Context, session *authclient.Session) error { return session.StepUp(ctx, password) }
	change := func(ctx context.Context, session *authclient.Session) error {
		return session.ChangePassword(ctx, password, chosen)
	}
	for name, test := range map[string]struct {
		first, second   func(context.Context, *authclient.Session) error
		held            string
		access, refresh string
	}{
		"refresh, then step-up":                  {refresh, stepUp, refreshPath, "access-3", "refresh-2"},
		"step-up, then refresh":                  {stepUp, refresh, stepUpPath, "access-3", "refresh-2"},
		"refresh, then change of the password":   {refresh, change, refreshPath, "access-3", "refresh-3"},
		"change of the password, then refresh":   {change, refresh, passwordPath, "access-2", "refresh-2"}, // a refresh is not needed any more
		"step-up, then a change of the password": {stepUp, change, stepUpPath, "access-3", "refresh-2"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s, store := newService(), &authclient.MemoryStore{}
				release := make(chan struct{})
				session := login(t, newClient(t, holdResponse(s, test.held, release), authclient.WithTokenStore(store)))
				var calls sync.WaitGroup
				run := func(call func(context.Context, *authclient.Session) error) {
					calls.Go(func() {
						if err := call(t.Context(), session); err != nil {
							t.Error(err)
						}
					})
					synctest.Wait()
				}
				run(test.first)
				run(test.second)
				if n := len(statuses(s)); n != 2 { // the login and the first
					t.Errorf("%d requests, want the second to wait", n)
				}
				close(release)
				calls.Wait()
				wantTokens(t, store, test.access, test.refresh)
				if _, err := session.Refresh(t.Context()); err != nil {
					t.Errorf("afterwards: %v", err)
				}
			})
		})
	}
}

// holdResponse returns a transport whose responses from a path wait for a channel.
func holdResponse(s *service, path string, release <-chan struct{}) transport {
	return func(r *http.Request) (*http.Response, error) {
		response, err := s.RoundTrip(r)
		if r.URL.Path == path {
			<-release
		}
		return response, err
	}
}

// TestChangeWaitsNoLongerThanItsCaller checks that a call that waits for another one ends with its context.
func TestChangeWaitsNoLongerThanItsCaller(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, release := newService(), make(chan struct{})
		session := login(t, newClient(t, holdResponse(s, stepUpPath, release)))
		var first sync.WaitGroup
		first.Go(func() {
			if err := session.StepUp(t.Context(), password); err != nil {
				t.Error(err)
			}
		})
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := session.ChangePassword(ctx, password, chosen); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		close(release)
		first.Wait()
		if err := session.ChangePassword(t.Context(), password, chosen); err != nil {
			t.Error(err)
		}
	})
}

// TestLostChange checks that after a change of the password whose response was lost the session fetches its new tokens soon: later the older
// refresh token would count as stolen.
func TestLostChange(t *testing.T) {
	t.Parallel()
	for name, lose := range map[string]func(cancel context.CancelFunc) (*http.Response, error){
		"connection reset": func(context.CancelFunc) (*http.Response, error) { return nil, errors.New("connection reset") },
		"502": func(context.CancelFunc) (*http.Response, error) {
			return &http.Response{StatusCode: http.StatusBadGateway, Header: http.Header{}, Body: http.NoBody}, nil
		},
		"the caller has left": func(cancel context.CancelFunc) (*http.Response, error) { cancel(); return nil, context.Canceled },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s, store := newService(), &authclient.MemoryStore{}
				s.grace = true
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				changes := 0
				session := login(t, newClient(t, transport(func(r *http.Request) (*http.Response, error) {
					response, err := s.RoundTrip(r)
					if r.URL.Path == passwordPath {
						changes++
						return lose(cancel)
					}
					return response, err
				}), authclient.WithTokenStore(store)))
				if err := session.ChangePassword(ctx, password, chosen); err == nil || errors.Is(err, authclient.ErrLoggedOut) {
					t.Error(err)
				}
				synctest.Wait()
				wantTokens(t, store, "access-2", "refresh-2")
				if n := s.count(); n != 1 || changes != 1 {
					t.Errorf("%d refreshes, %d changes", n, changes)
				}
				if _, err := session.Refresh(t.Context()); err != nil {
					t.Errorf("afterwards: %v", err)
				}
			})
		})
	}
}

// TestLogoutDuringChange checks that tokens in a late response do not replace those of a newer login, and do not restore a session that the
// user has left.
func TestLogoutDuringChange(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		meanwhile func(t *testing.T, c *authclient.Client, session *authclient.Session)
		want      string // the session in the store
	}{
		"forget": {func(t *testing.T, _ *authclient.Client, session *authclient.Session) {
			t.Helper()
			if err := session.Forget(t.Context()); err != nil {
				t.Error(err)
			}
		}, ""},
		"log in": {func(t *testing.T, c *authclient.Client, _ *authclient.Session) {
			t.Helper()
			if _, err := c.Login(t.Context(), authclient.LoginRequest{Email: email, Password: chosen, ClientID: "shop_v1"}); err != nil {
				t.Error(err)
			}
		}, "session-2"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s, store, release := newService(), &authclient.MemoryStore{}, make(chan struct{})
				c := newClient(t, holdResponse(s, passwordPath, release), authclient.WithTokenStore(store))
				session := login(t, c)
				var change sync.WaitGroup
				change.Go(func() {
					if err := session.ChangePassword(t.Context(), password, chosen); err != nil {
						t.Error(err)
					}
				})
				synctest.Wait()
				test.meanwhile(t, c, session)
				close(release)
				change.Wait()
				if stored, err := store.Load(t.Context()); err != nil || (stored == nil) != (test.want == "") || stored != nil && stored.SessionID != test.want {
					t.Errorf("the store has %+v, %v", stored, err)
				}
			})
		})
	}
}

// full is a store that fails to save.
type full struct {
	authclient.MemoryStore

	err error
}

func (f *full) Save(ctx context.Context, tokens authclient.Tokens) error {
	if f.err != nil {
		return f.err
	}
	return f.MemoryStore.Save(ctx, tokens)
}

// TestChangeThatCannotBeSaved checks that the tokens of a change that the store could not save are saved by the next refresh.
func TestChangeThatCannotBeSaved(t *testing.T) {
	t.Parallel()
	s, store := newService(), &full{}
	session := login(t, newClient(t, s, authclient.WithTokenStore(store)))
	store.err = errors.New("the disk is full")
	if err := session.ChangePassword(t.Context(), password, chosen); !errors.Is(err, store.err) {
		t.Error(err)
	}
	store.err = nil
	if _, err := session.Refresh(t.Context()); err != nil {
		t.Error(err)
	}
	wantTokens(t, store, "access-2", "refresh-2")
	if s.count() != 0 {
		t.Error("the service refused the older refresh token")
	}
}

// TestWithRecentAuthentication checks that the password is asked for only if it must be, again after a wrong one, and that the operation is
// repeated once.
func TestWithRecentAuthentication(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, store := newService(), &authclient.MemoryStore{}
		session := login(t, newClient(t, s, authclient.WithTokenStore(store),
			authclient.WithSessionEnded(func(err error) { t.Errorf("the session has ended: %v", err) })))
		time.Sleep(time.Hour)
		var asked []string
		ask := func(passwords ...string) func(context.Context, error) (string, error) {
			return func(_ context.Context, failure error) (string, error) {
				code, _ := errors.AsType[authclient.Code](failure)
				asked = append(asked, string(code))
				next := passwords[0]
				passwords = passwords[1:]
				return next, nil
			}
		}
		runs := 0
		remove := func(ctx context.Context) error { runs++; return session.DeleteUser(ctx) }
		harmless := func(ctx context.Context) error { _, err := session.Sessions(ctx); return err }
		if err := session.WithRecentAuthentication(t.Context(), harmless, ask()); err != nil || len(asked) != 0 {
			t.Errorf("%v, asked %q", err, asked)
		}
		errCancelled := errors.New("cancelled")
		cancel := func(context.Context, error) (string, error) { return "", errCancelled }
		if err := session.WithRecentAuthentication(t.Context(), remove, cancel); !errors.Is(err, errCancelled) || runs != 1 {
			t.Errorf("%v, %d runs", err, runs)
		}
		if err := remove(t.Context()); !errors.Is(err, authclient.ErrRecentAuthenticationRequired) {
			t.Error(err)
		}
		runs = 0
		if err := session.WithRecentAuthentication(t.Context(), remove, ask("wrong", password)); err != nil || runs != 2 {
			t.Errorf("%v, %d runs", err, runs)
		}
		if len(asked) != 2 || asked[0] != "" || asked[1] != string(authclient.ErrAuthenticationFailed) {
			t.Errorf("asked %q", asked)
		}
		if stored, err := store.Load(t.Context()); err != nil || stored != nil {
			t.Errorf("the store has %+v, %v", stored, err)
		}
		if err := session.WithRecentAuthentication(t.Context(), remove, ask()); !errors.Is(err, authclient.ErrLoggedOut) {
			t.Error(err)
		}
	})
}

// TestNeedsRecentAuthentication checks the headers of a caller's own API, and that its second refusal is returned.
func TestNeedsRecentAuthentication(t *testing.T) {
	t.Parallel()
	for header, want := range map[string]bool{
		"": false, "Bearer": false, `Bearer error="invalid_token"`: false,
		`Bearer error="insufficient_user_authentication", max_age=600`: true,
	} {
		s := newService()
		calls := 0
		s.api = func(w http.ResponseWriter, _ *http.Request) {
			calls++
			w.Header().Add("WWW-Authenticate", "Basic")
			w.Header().Add("WWW-Authenticate", header)
			w.WriteHeader(http.StatusForbidden)
		}
		session := login(t, newClient(t, s))
		err := session.WithRecentAuthentication(t.Context(), func(context.Context) error {
			response, err := session.HTTPClient().Get(apiURL + "/payout")
			if err != nil {
				return err
			}
			defer response.Body.Close()
			if authclient.NeedsRecentAuthentication(response) {
				return authclient.ErrRecentAuthenticationRequired
			}
			return nil
		}, func(context.Context, error) (string, error) { return password, nil })
		if errors.Is(err, authclient.ErrRecentAuthenticationRequired) != want || calls != map[bool]int{false: 1, true: 2}[want] {
			t.Errorf("%q: %v, %d calls", header, err, calls)
		}
	}
}
