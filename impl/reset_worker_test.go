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

// newResetService returns a service with a database of its own, a function that stores a reset request, and one that counts the requests.
func newResetService(t *testing.T) (*Service, func(email string, at time.Time) uuid.UUID, func() int) {
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
	request := func(email string, at time.Time) uuid.UUID {
		t.Helper()
		id := newID()
		if err := store.Write(t.Context(), func(q *db.Queries) error {
			return q.InsertResetRequest(t.Context(), db.InsertResetRequestParams{ID: id, Email: email, RequestID: "request-1", Now: at})
		}); err != nil {
			t.Fatal(err)
		}
		return id
	}
	count := func() int {
		t.Helper()
		future := time.Now().Add(1000 * time.Hour)
		rows, err := store.Read().ListResetRequests(t.Context(), db.ListResetRequestsParams{Now: &future, MaxRows: 1000})
		if err != nil {
			t.Fatal(err)
		}
		return len(rows)
	}
	return s, request, count
}

var errBroken = errors.New("broken")

// Resets that always fail do not delay other resets, and are dropped.
func TestFailingResetsDoNotStarveOthers(t *testing.T) {
	t.Parallel()
	s, request, count := newResetService(t)
	broken := map[uuid.UUID]bool{}
	for range resetBatch + 20 {
		broken[request("failing@example.org", time.Now())] = true
	}
	good := request("good@example.org", time.Now())
	var mu sync.Mutex
	done, attempts := false, 0
	s.resetFunc = func(ctx context.Context, id uuid.UUID) error {
		mu.Lock()
		defer mu.Unlock()
		if broken[id] {
			attempts++
			return errBroken
		}
		done = done || id == good
		return s.runReset(ctx, id)
	}
	for range 3 {
		if _, err := s.runDueResets(t.Context()); !errors.Is(err, errBroken) {
			t.Errorf("the failures are not returned: %v", err)
		}
		if done {
			break
		}
	}
	if !done {
		t.Error("the good reset is never tried")
	}
	if attempts > 2*len(broken) {
		t.Errorf("%d attempts at %d failing resets", attempts, len(broken))
	}
	if err := s.Store.InTx(t.Context(), func(q *db.Queries) error {
		for id := range broken {
			for n := range int64(maxResetAttempts) {
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
	if _, err := s.runDueResets(t.Context()); err != nil {
		t.Error(err)
	}
	if n := count(); n != 0 {
		t.Errorf("%d are left after %d attempts each", n, maxResetAttempts)
	}
}

// After a long outage, resets that were requested before it are dropped, and recent ones are done.
func TestOldResetsAreDropped(t *testing.T) {
	t.Parallel()
	s, request, count := newResetService(t)
	for n := range 250 {
		request("old@example.org", time.Now().Add(-maxResetAge-time.Duration(n)*time.Second))
	}
	recent := request("recent@example.org", time.Now().Add(-maxResetAge/2))
	var tried []uuid.UUID
	s.resetFunc = func(_ context.Context, id uuid.UUID) error {
		tried = append(tried, id)
		return nil
	}
	if _, err := s.runDueResets(t.Context()); err != nil {
		t.Error(err)
	}
	if len(tried) != 1 || tried[0] != recent {
		t.Errorf("tried %v", tried)
	}
	if n := count(); n != 1 {
		t.Errorf("%d are left", n)
	}
}
