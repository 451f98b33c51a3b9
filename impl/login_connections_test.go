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
	"github.com/financelime/authorization/test/dbtest"
	"github.com/financelime/authorization/test/postgres"
)

// A login that waits for a hashing slot holds no database connection: with a pool of one connection, other requests continue.
func TestHashingHoldsNoConnection(t *testing.T) {
	t.Parallel()
	root, err := secret.Generate()
	if err != nil {
		t.Fatal(err)
	}
	store := dbtest.Open(t, postgres.URL(t)+"&pool_max_conns=1")
	// Slow enough to run during the whole test on any machine.
	hasher := password.NewHasher(password.Options{Slots: 1, Queue: 1, Params: password.Params{Memory: 128 * 1024, Time: 10, Threads: 1}})
	now := time.Now() // stands still, so that the reservation does not expire, however slow the machine is
	s := &Service{
		Store: store, Hasher: hasher, Log: slog.New(slog.DiscardHandler), Clock: func() time.Time { return now },
		Limits: limit.New(root, map[limit.Name]limit.Rate{limit.LoginAccount: {Count: 10, Per: time.Minute}}),
	}

	hashed := make(chan error, 1)
	go func() {
		_, err := hasher.Hash(t.Context(), "another password", "")
		hashed <- err
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
		t.Errorf("another query: %v", err)
	}
	if hasher.Load().Waiting != 1 {
		t.Error("the query has waited for the login")
	}
	for _, done := range []chan error{hashed, loggedIn} {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// until waits until the condition is true.
func until(t *testing.T, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !condition(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the condition did not become true")
		}
	}
}
