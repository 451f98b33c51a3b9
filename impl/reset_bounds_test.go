package impl

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/financelime/authorization/db"
)

// resets makes a service with a database of its own, whose resets fail while fails says so of the one that is tried.
func resets(t *testing.T) (*Service, func(email string, at time.Time) uuid.UUID, func() int) {
	t.Helper()
	store, err := db.Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "auth.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	if err := store.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	s := &Service{Store: store, Log: slog.New(slog.DiscardHandler), HideAccounts: true}
	ask := func(email string, at time.Time) uuid.UUID {
		t.Helper()
		id := newID()
		if err := store.Write(t.Context(), func(q *db.Queries) error {
			return q.InsertResetRequest(t.Context(), db.InsertResetRequestParams{ID: id, Email: email, RequestID: "request-1", Now: at})
		}); err != nil {
			t.Fatal(err)
		}
		return id
	}
	left := func() int {
		t.Helper()
		far := time.Now().Add(1000 * time.Hour)
		rows, err := store.Read().ListResetRequests(t.Context(), db.ListResetRequestsParams{Now: &far, MaxRows: 1000})
		if err != nil {
			t.Fatal(err)
		}
		return len(rows)
	}
	return s, ask, left
}

var errBroken = errors.New("broken")

// Resets that fail for ever neither keep the others waiting nor stay.
func TestResetsThatFailDoNotStarveOthers(t *testing.T) {
	t.Parallel()
	s, ask, left := resets(t)
	broken := map[uuid.UUID]bool{}
	for range resetsAtOnce + 20 {
		broken[ask("nobody@example.org", time.Now())] = true
	}
	good := ask("somebody@example.org", time.Now())
	var mu sync.Mutex
	done, attempts := false, 0
	s.resetOne = func(ctx context.Context, id uuid.UUID) error {
		mu.Lock()
		defer mu.Unlock()
		if broken[id] {
			attempts++
			return errBroken
		}
		done = done || id == good
		return s.doReset(ctx, id)
	}
	for range 3 {
		if _, err := s.doResets(t.Context()); !errors.Is(err, errBroken) {
			t.Errorf("it says nothing: %v", err)
		}
		if done {
			break
		}
	}
	if !done {
		t.Error("the good one is never tried")
	}
	if attempts > 2*len(broken) {
		t.Errorf("%d attempts at %d", attempts, len(broken))
	}
	if err := s.Store.InTx(t.Context(), func(q *db.Queries) error {
		for id := range broken {
			for n := range int64(resetAttempts) {
				at := time.Now().Add(time.Duration(n+1) * 100 * time.Hour)
				if err := q.DeferResetRequest(t.Context(), db.DeferResetRequestParams{ID: id, Now: &at, DueAt: at}); err != nil {
					return err
				}
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.doResets(t.Context()); err != nil {
		t.Error(err)
	}
	if n := left(); n != 0 {
		t.Errorf("%d stay after %d attempts each", n, resetAttempts)
	}
}

// What was asked for before a long outage is forgotten, and what was asked for a moment ago is not.
func TestOldResetsAreGivenUp(t *testing.T) {
	t.Parallel()
	s, ask, left := resets(t)
	for n := range 250 {
		ask("old@example.org", time.Now().Add(-resetMaxAge-time.Duration(n)*time.Second))
	}
	fresh := ask("fresh@example.org", time.Now().Add(-resetMaxAge/2))
	var tried []uuid.UUID
	s.resetOne = func(_ context.Context, id uuid.UUID) error {
		tried = append(tried, id)
		return nil
	}
	if _, err := s.doResets(t.Context()); err != nil {
		t.Error(err)
	}
	if len(tried) != 1 || tried[0] != fresh {
		t.Errorf("tried %v", tried)
	}
	if n := left(); n != 1 {
		t.Errorf("%d are left", n)
	}
}
