package authclient_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/financelime/authorization/api/authclient"
)

// TestStores checks the stores of this package: empty, saved, replaced, deleted.
func TestStores(t *testing.T) {
	t.Parallel()
	for name, store := range map[string]authclient.TokenStore{
		"memory": &authclient.MemoryStore{}, "file": authclient.FileStore{Path: filepath.Join(t.TempDir(), "shop", "tokens.json")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, seconds := t.Context(), int64(600)
			if tokens, err := store.Load(ctx); tokens != nil || err != nil {
				t.Errorf("empty: %v, %v", tokens, err)
			}
			if err := store.Delete(ctx); err != nil {
				t.Errorf("delete nothing: %v", err)
			}
			for _, refresh := range []string{"first", "second"} {
				want := authclient.Tokens{SessionID: "session-1", AccessToken: "access", RefreshToken: refresh, ExpiresIn: &seconds}
				if err := store.Save(ctx, want); err != nil {
					t.Fatal(err)
				}
				got, err := store.Load(ctx)
				if err != nil || got.RefreshToken != refresh || got.SessionID != want.SessionID || got.AccessToken != want.AccessToken || *got.ExpiresIn != 600 {
					t.Errorf("%+v, %v", got, err)
				}
			}
			if err := store.Delete(ctx); err != nil {
				t.Fatal(err)
			}
			if tokens, err := store.Load(ctx); tokens != nil || err != nil {
				t.Errorf("deleted: %v, %v", tokens, err)
			}
		})
	}
}

// TestFileStore checks that only its owner can read the file, that readers never see a part of it, and that nothing else remains.
func TestFileStore(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "shop")
	store := authclient.FileStore{Path: filepath.Join(dir, "tokens.json")}
	ctx := t.Context()
	var writers sync.WaitGroup
	for i := range 4 {
		writers.Go(func() {
			for j := range 25 {
				tokens := authclient.Tokens{SessionID: "session-1", AccessToken: "a", RefreshToken: fmt.Sprintf("%d-%d", i, j)}
				if err := store.Save(ctx, tokens); err != nil {
					t.Error(err)
				}
				if tokens, err := store.Load(ctx); err != nil || tokens == nil {
					t.Errorf("%v, %v", tokens, err)
				}
			}
		})
	}
	writers.Wait()
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != 1 {
		t.Fatalf("files %v, %v", files, err)
	}
	if info, err := files[0].Info(); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file has mode %s, %v", info.Mode(), err)
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the directory has mode %s, %v", info.Mode(), err)
	}
	for _, content := range []string{"", "{", "{}", "[]"} {
		if err := os.WriteFile(store.Path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if tokens, err := store.Load(ctx); err == nil {
			t.Errorf("a file with %q has the tokens %v", content, tokens)
		}
	}
	if _, err := (authclient.FileStore{}).Load(ctx); err == nil {
		t.Error("loaded without a path")
	}
	if err := (authclient.FileStore{}).Save(ctx, authclient.Tokens{RefreshToken: "r"}); err == nil {
		t.Error("saved without a path")
	}
	if err := (authclient.FileStore{}).Delete(ctx); err == nil {
		t.Error("deleted without a path")
	}
	blocked := authclient.FileStore{Path: filepath.Join(store.Path, "tokens.json")} // below a file
	if err := blocked.Save(ctx, authclient.Tokens{RefreshToken: "r"}); err == nil {
		t.Error("saved below a file")
	}
	if _, err := blocked.Load(ctx); err == nil {
		t.Error("loaded from below a file")
	}
}

// recorder is a store that can fail, and that knows with which token each request was sent.
type recorder struct {
	authclient.MemoryStore

	failure error
	saved   []string
}

func (r *recorder) Save(ctx context.Context, tokens authclient.Tokens) error {
	if r.failure != nil {
		return r.failure
	}
	r.saved = append(r.saved, tokens.AccessToken)
	return r.MemoryStore.Save(ctx, tokens)
}

// TestTokensAreSavedBeforeTheirUse checks that no request has an access token that is not stored, and that tokens that could not be
// stored are stored later, without another refresh.
func TestTokensAreSavedBeforeTheirUse(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, store := newService(), &recorder{}
		session := login(t, newClient(t, s, authclient.WithTokenStore(store)))
		time.Sleep(time.Hour)
		store.failure = errors.New("the disk is full")
		before := len(s.seen)
		for range 3 {
			if _, err := get(t.Context(), session); !errors.Is(err, store.failure) {
				t.Errorf("%v", err)
			}
		}
		if n := len(s.seen) - before; n != 1 || s.count() != 1 {
			t.Errorf("%d requests, want one refresh", n)
		}
		store.failure = nil
		if _, err := get(t.Context(), session); err != nil || s.count() != 1 {
			t.Errorf("%v, %d refreshes", err, s.count())
		}
		if fmt.Sprint(store.saved) != "[access-1 access-2]" {
			t.Errorf("saved: %v", store.saved)
		}
		if _, err := newClient(t, s, authclient.WithTokenStore(&recorder{failure: errors.New("full")})).Login(t.Context(),
			authclient.LoginRequest{Email: email, Password: password, ClientID: "shop_v1"}); err == nil {
			t.Error("a login whose tokens are not stored")
		}
	})
}

// TestProcessesShareAStore checks that a session notices what another process does with the store.
func TestProcessesShareAStore(t *testing.T) {
	t.Parallel()
	start := func(t *testing.T, s *service) (c *authclient.Client, mine, other *authclient.Session, ended *int) {
		t.Helper()
		ended = new(int)
		c = newClient(t, s, authclient.WithTokenStore(&authclient.MemoryStore{}), authclient.WithSessionEnded(func(error) { *ended++ }))
		mine = login(t, c)
		other, err := c.Resume(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return c, mine, other, ended
	}
	t.Run("it refreshes", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			s := newService()
			_, mine, other, ended := start(t, s)
			if _, err := other.Refresh(t.Context()); err != nil {
				t.Fatal(err)
			}
			time.Sleep(9 * time.Minute)
			if _, err := get(t.Context(), mine); err != nil || s.count() != 1 {
				t.Errorf("with the other's tokens: %v, %d refreshes", err, s.count())
			}
			if _, err := other.Refresh(t.Context()); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Hour) // the other's token has expired too
			if _, err := get(t.Context(), mine); err != nil || s.count() != 3 || *ended != 0 {
				t.Errorf("with an old token of the other's: %v, %d refreshes", err, s.count())
			}
		})
	})
	t.Run("it refreshes meanwhile", func(t *testing.T) {
		t.Parallel()
		s, store, newer := newService(), &authclient.MemoryStore{}, int64(600)
		mine := login(t, newClient(t, s, authclient.WithTokenStore(store)))
		s.change(func() {
			s.instead = func(w http.ResponseWriter, _ *http.Request) { // the token is too old when it arrives
				if err := store.Save(t.Context(), authclient.Tokens{SessionID: "session-1", AccessToken: "b", RefreshToken: "c", ExpiresIn: &newer}); err != nil {
					t.Error(err)
				}
				fail(w, 404, "USER_NOT_FOUND")
			}
		})
		if tokens, err := mine.Refresh(t.Context()); err != nil || tokens.RefreshToken != "c" {
			t.Errorf("%+v, %v", tokens, err)
		}
	})
	t.Run("it logs out", func(t *testing.T) {
		t.Parallel()
		s := newService()
		c, mine, other, ended := start(t, s)
		if err := other.LogOut(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := mine.Refresh(t.Context()); !errors.Is(err, authclient.ErrLoggedOut) || s.count() != 0 || *ended != 1 {
			t.Errorf("%v, %d refreshes, %d calls", err, s.count(), *ended)
		}
		if _, err := c.Resume(t.Context()); !errors.Is(err, authclient.ErrLoggedOut) {
			t.Errorf("resume: %v", err)
		}
	})
	t.Run("it logs in", func(t *testing.T) {
		t.Parallel()
		s, store := newService(), &authclient.MemoryStore{}
		mine := login(t, newClient(t, s, authclient.WithTokenStore(store)))
		if err := store.Save(t.Context(), authclient.Tokens{SessionID: "session-2", AccessToken: "b", RefreshToken: "c"}); err != nil {
			t.Fatal(err)
		}
		if _, err := mine.Refresh(t.Context()); !errors.Is(err, authclient.ErrLoggedOut) {
			t.Errorf("%v", err)
		}
		if tokens, err := store.Load(t.Context()); err != nil || tokens.SessionID != "session-2" {
			t.Errorf("the other's tokens are gone: %v, %v", tokens, err)
		}
	})
}

// TestLogOutDuringARefresh checks that the tokens of a late refresh do not bring a session back.
func TestLogOutDuringARefresh(t *testing.T) {
	t.Parallel()
	for name, leave := range map[string]func(*authclient.Session, context.Context) error{
		"log out": (*authclient.Session).LogOut, "forget": (*authclient.Session).Forget,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			testLogOutDuringARefresh(t, leave)
		})
	}
}

func testLogOutDuringARefresh(t *testing.T, leave func(*authclient.Session, context.Context) error) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s, store := newService(), &authclient.MemoryStore{}
		session := login(t, newClient(t, s, authclient.WithTokenStore(store),
			authclient.WithSessionEnded(func(err error) { t.Errorf("the session has ended: %v", err) })))
		release := make(chan struct{})
		s.instead = holdUntil(s, release)
		var refreshing sync.WaitGroup
		refreshing.Go(func() {
			if _, err := session.Refresh(t.Context()); !errors.Is(err, authclient.ErrLoggedOut) {
				t.Errorf("the refresh: %v", err)
			}
		})
		synctest.Wait()
		if err := leave(session, t.Context()); err != nil {
			t.Error(err)
		}
		close(release)
		refreshing.Wait()
		if tokens, err := store.Load(t.Context()); tokens != nil || err != nil {
			t.Errorf("the store has %v, %v", tokens, err)
		}
		if _, err := get(t.Context(), session); !errors.Is(err, authclient.ErrLoggedOut) {
			t.Errorf("%v", err)
		}
	})
}

// TestLogOutWithoutTheService checks that LogOut can be repeated, and that Forget needs no service.
func TestLogOutWithoutTheService(t *testing.T) {
	t.Parallel()
	s := newService()
	down, store := &flaky{next: s}, &authclient.MemoryStore{}
	c := newClient(t, down, authclient.WithTokenStore(store),
		authclient.WithSessionEnded(func(err error) { t.Errorf("the user knows: %v", err) }))
	session := login(t, c)
	down.err = errors.New("no network")
	if err := session.LogOut(t.Context()); !errors.Is(err, down.err) {
		t.Errorf("%v", err)
	}
	if tokens, err := store.Load(t.Context()); err != nil || tokens == nil {
		t.Error("the tokens are lost")
	}
	down.err = nil
	if err := session.LogOut(t.Context()); err != nil || !s.ended {
		t.Errorf("the second time: %v", err)
	}
	if err := session.LogOut(t.Context()); err != nil {
		t.Errorf("after it: %v", err)
	}
	session = login(t, c)
	down.err = errors.New("no network")
	if err := session.Forget(t.Context()); err != nil {
		t.Error(err)
	}
	if tokens, err := store.Load(t.Context()); tokens != nil || err != nil {
		t.Errorf("the store has %v, %v", tokens, err)
	}
	down.err = nil
	session = login(t, c)
	s.change(func() { s.ended, s.expires = true, time.Now() })
	if err := session.LogOut(t.Context()); err != nil {
		t.Errorf("of a session that has ended: %v", err)
	}
}
