package authclient_test

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/financelime/authorization/api/authclient"
)

// TestLoginDuringARefresh checks that the late tokens of an older session do not replace those of a newer login.
func TestLoginDuringARefresh(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, store, ended := newService(), &authclient.MemoryStore{}, 0
		c := newClient(t, s, authclient.WithTokenStore(store), authclient.WithSessionEnded(func(error) { ended++ }))
		older := login(t, c)
		release := make(chan struct{})
		s.change(func() {
			s.instead = func(w http.ResponseWriter, r *http.Request) { // a slow response
				recorder := httptest.NewRecorder()
				s.respond(recorder, r)
				<-release
				maps.Copy(w.Header(), recorder.Header())
				_, _ = w.Write(recorder.Body.Bytes())
			}
		})
		var refreshing sync.WaitGroup
		refreshing.Go(func() {
			if _, err := older.Refresh(t.Context()); !errors.Is(err, authclient.ErrLoggedOut) {
				t.Errorf("the older session's refresh: %v", err)
			}
		})
		synctest.Wait()
		s.recover()
		newer := login(t, c)
		close(release)
		refreshing.Wait()
		wantStored(t, store, "session-2")
		if ended != 1 {
			t.Errorf("%d calls", ended)
		}
		time.Sleep(time.Hour)
		if _, err := get(t.Context(), newer); err != nil {
			t.Errorf("the newer session: %v", err)
		}
	})
}

// TestLogOutOfAReplacedSession checks that the end of an older session does not delete the tokens of a newer login.
func TestLogOutOfAReplacedSession(t *testing.T) {
	t.Parallel()
	for name, leave := range map[string]func(*authclient.Session, context.Context) error{
		"log out": (*authclient.Session).LogOut,
		"forget":  (*authclient.Session).Forget,
		"forget twice": func(session *authclient.Session, ctx context.Context) error {
			return errors.Join(session.Forget(ctx), session.Forget(ctx))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, store := newService(), &authclient.MemoryStore{}
			c := newClient(t, s, authclient.WithTokenStore(store))
			older, newer := login(t, c), login(t, c)
			if err := leave(older, t.Context()); err != nil {
				t.Error(err)
			}
			wantStored(t, store, "session-2")
			if _, err := newer.Refresh(t.Context()); err != nil {
				t.Errorf("the newer session: %v", err)
			}
		})
	}
}

func wantStored(t *testing.T, store authclient.TokenStore, sessionID string) {
	t.Helper()
	if tokens, err := store.Load(t.Context()); err != nil || tokens == nil || tokens.SessionID != sessionID {
		t.Errorf("the store has %+v, %v; want %s", tokens, err, sessionID)
	}
}
