package db_test

import (
	"os"
	"testing"
	"time"

	"github.com/financelime/authorization/db"
)

// However many sessions begin, no more than the greatest number are there after any of them (ASVS 7.1.2).
func TestSessionsAreCapped(t *testing.T) {
	const most = 100
	logins := 1000
	if os.Getenv("FINANCELIME_FULL") != "" {
		logins = 10_000
	}
	onBothURLs(t, func(t *testing.T, url string) {
		s := migrated(t, url)
		a, other := insertAccount(t, s), insertAccount(t, s)
		begin := func(q *db.Queries, account db.Account, i int) error {
			id := newID(t)
			err := q.InsertSession(t.Context(), db.InsertSessionParams{
				ID: id, AccountID: account.ID, Now: start.Add(time.Duration(i) * time.Second)})
			if err != nil {
				return err
			}
			_, err = q.DeleteExcessSessions(t.Context(), db.DeleteExcessSessionsParams{AccountID: account.ID, Keep: id, MaxOthers: most - 1})
			return err
		}
		must(t, s.InTx(t.Context(), func(q *db.Queries) error { return begin(q, other, 0) }))
		for done := 0; done < logins; done += 100 {
			must(t, s.InTx(t.Context(), func(q *db.Queries) error {
				for i := range 100 {
					if err := begin(q, a, done+i); err != nil {
						return err
					}
				}
				return nil
			}))
			if n := countRows(t, s, "session"); n != min(int64(done)+100, most)+1 {
				t.Fatalf("%d sessions after %d log-ins", n, done+100)
			}
		}
		left, err := s.Read().ListSessions(t.Context(), db.ListSessionsParams{AccountID: a.ID})
		must(t, err)
		if oldest := left[len(left)-1].RefreshedAt; !oldest.Equal(start.Add(time.Duration(logins-most) * time.Second)) {
			t.Errorf("the oldest that is left began at %s", oldest)
		}
	})
}
