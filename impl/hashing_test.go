package impl

import (
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/financelime/authorization/api"
	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/limit"
	"github.com/financelime/authorization/impl/password"
	"github.com/financelime/authorization/impl/secret"
	"github.com/financelime/authorization/test/postgres"
)

// A log-in that waits for its turn to hash holds no connection: with a pool of one, others go on.
func TestHashingHoldsNoConnection(t *testing.T) {
	t.Parallel()
	root, err := secret.Generate()
	if err != nil {
		t.Fatal(err)
	}
	store, err := db.Open(t.Context(), postgres.URL(t)+"&pool_max_conns=1")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	if err := store.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	// Slow enough to be at work for all of the test, whatever the machine.
	hasher := password.NewHasher(password.Options{Slots: 1, Queue: 1, Params: password.Params{Memory: 128 * 1024, Time: 10, Threads: 1}})
	s := &Service{
		Store: store, Hasher: hasher, Log: slog.New(slog.DiscardHandler),
		Limits: limit.New(root, map[limit.Name]limit.Rate{limit.LoginAccount: {Count: 10, Per: time.Minute}}),
	}

	held := make(chan error, 1)
	go func() {
		_, err := hasher.Hash(t.Context(), "somebody else's", "")
		held <- err
	}()
	until(t, func() bool { return hasher.Load().Busy == 1 })
	loggedIn := make(chan error, 1)
	go func() {
		response, err := s.CreateAccessToken(t.Context(), api.CreateAccessTokenRequestObject{Body: &api.CreateAccessTokenRequest{
			Email: "nobody@example.com", Password: "x", ClientID: "test",
		}})
		if _, refused := response.(api.CreateAccessToken404JSONResponse); err == nil && !refused {
			err = errors.New("not refused")
		}
		loggedIn <- err
	}()
	until(t, func() bool { return hasher.Load().Waiting == 1 })
	if _, err := store.Read().GetAccountByEmail(t.Context(), "other@example.com"); !errors.Is(err, db.ErrNotFound) {
		t.Errorf("another look into the database: %v", err)
	}
	if hasher.Load().Waiting != 1 {
		t.Error("the look into the database has waited for the log-in")
	}
	for _, done := range []chan error{held, loggedIn} {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

func until(t *testing.T, come func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !come(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it did not come")
		}
	}
}
