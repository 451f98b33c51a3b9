package admin_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/admin"
	"github.com/financelime/authorization/test/dbtest"
)

// begin inserts a session with the clock of a replica.
func begin(ctx context.Context, store *db.Store, account uuid.UUID, now time.Time) error {
	id, random := db.FirstIDAt(now), uuid.New()
	copy(id[6:], random[6:])
	return store.Write(ctx, func(q *db.Queries) error {
		return q.InsertSession(ctx, db.InsertSessionParams{ID: id, AccountID: account, ClientID: "c", Now: now})
	})
}

// Every existing session ends, whatever clock created it, and concurrent logins do not prolong the command.
func TestEndAllSessions(t *testing.T) {
	t.Parallel()
	dbtest.EachEngine(t, func(t *testing.T, url string) {
		store := dbtest.Open(t, url)
		if ended, err := admin.EndAllSessions(t.Context(), store); ended != 0 || err != nil {
			t.Errorf("without sessions: %d, %v", ended, err)
		}
		account := uuid.New()
		must(t, store.Write(t.Context(), func(q *db.Queries) error {
			_, err := q.InsertAccount(t.Context(), db.InsertAccountParams{ID: account, Email: "a@example.org", Language: "en"})
			return err
		}))

		now := time.Now().UTC()
		skews := []time.Duration{0, -10 * time.Minute, 5 * time.Second, 10 * time.Minute, 100 * 365 * 24 * time.Hour}
		var all sync.WaitGroup
		for _, skew := range skews {
			all.Go(func() {
				for range 250 { // more than one batch
					if err := begin(t.Context(), store, account, now.Add(skew)); err != nil {
						t.Error(err)
					}
				}
			})
		}
		all.Wait()
		want := int64(len(skews) * 250)

		ctx, stop := context.WithCancel(t.Context())
		var began int64
		all.Go(func() {
			for later := now; ctx.Err() == nil; later = later.Add(time.Millisecond) {
				if err := begin(t.Context(), store, account, later); err != nil {
					t.Error(err)
				}
				began++
			}
		})
		ended, err := admin.EndAllSessions(t.Context(), store)
		stop()
		all.Wait()
		left, listErr := store.Read().ListSessions(t.Context(), db.ListSessionsParams{AccountID: account})
		must(t, listErr)
		if err != nil || ended < want || ended > want+began || ended+int64(len(left)) != want+began {
			t.Errorf("%d of %d sessions ended, %d began meanwhile, %d are left: %v", ended, want, began, len(left), err)
		}
	})
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
