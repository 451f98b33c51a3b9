package userdata_test

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/admin"
	"github.com/financelime/authorization/impl/link"
	"github.com/financelime/authorization/impl/userdata"
	"github.com/financelime/authorization/test/dbtest"
)

// Whichever comes first, an operator who disables a user beside the link that undoes the deletion has banned the user.
func TestRaceRestoreBesideABan(t *testing.T) {
	t.Parallel()
	dbtest.EachEngine(t, func(t *testing.T, url string) {
		store := dbtest.Open(t, url)
		now := time.Now().UTC().Truncate(time.Microsecond)
		until := now.Add(time.Hour)
		id := insertPerson(t, store).ID
		firsts := make(map[bool]int)
		for round := range 100 {
			must(t, store.InTx(t.Context(), func(q *db.Queries) error {
				closed, err := q.CloseAccount(t.Context(), db.CloseAccountParams{Now: &now, ClosingUntil: &until, ID: id})
				if err == nil && closed != 1 {
					err = errors.New("the account was not closed")
				}
				key := uuid.New()
				return errors.Join(err, q.UpsertLink(t.Context(), db.UpsertLinkParams{
					ID: key, AccountID: id, Purpose: string(link.DeletionUndo), KeyHash: key[:], CreatedAt: now, ExpiresAt: until,
				}))
			}))
			var restoreErr, disableErr error
			var both sync.WaitGroup
			starts := []func(){
				func() { restoreErr = admin.Restore(t.Context(), store, id) },
				func() { _, disableErr = admin.Disable(t.Context(), store, id, now) },
			}
			for i := range starts {
				both.Go(starts[(round+i)%2])
			}
			both.Wait()
			if disableErr != nil || restoreErr != nil && !errors.Is(restoreErr, userdata.ErrNotClosing) {
				t.Fatalf("disable: %v, restore: %v", disableErr, restoreErr)
			}
			firsts[restoreErr == nil]++
			account, err := store.Read().GetAccount(t.Context(), id)
			must(t, err)
			links, err := store.Read().ListLinks(t.Context(), id)
			must(t, err)
			if account.DisabledAt == nil || account.ClosingUntil != nil || len(links) != 0 {
				t.Fatalf("disabled at %v, closing until %v, %d links", account.DisabledAt, account.ClosingUntil, len(links))
			}
			_, err = admin.Enable(t.Context(), store, id, now)
			must(t, err)
		}
		t.Logf("the restore was first %d times of 100", firsts[true])
	})
}
