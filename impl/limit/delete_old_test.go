package limit

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/financelime/authorization/db"
)

// More than a batch of expired rows is deleted, and nothing else.
func TestDeleteOld(t *testing.T) {
	rates := map[Name]Rate{LinkSource: {1, time.Hour}, LoginAccount: {10, time.Minute}, MailAddress: {1, 2 * failureRetention}}
	onEachDatabase(t, rates, func(t *testing.T, l *Limits, store *db.Store) {
		account, pending := uuid.Must(uuid.NewV7()), start
		err := store.InTx(t.Context(), func(q *db.Queries) error {
			_, err := q.InsertAccount(t.Context(), db.InsertAccountParams{
				ID: account, Email: "a@example.com", Language: "en", CreatedAt: start, PendingUntil: &pending,
			})
			for i := range db.BatchRows + 10 {
				if err == nil {
					err = l.Take(t.Context(), q, start, l.Quota(LinkSource, fmt.Sprint(i)))
				}
			}
			if err == nil {
				err = l.Take(t.Context(), q, start, l.Quota(MailAddress, "stays"))
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		for address, id := range map[string]uuid.UUID{"nobody@example.com": uuid.Nil, "a@example.com": account} {
			attempt, err := l.BeginLogin(t.Context(), store, at(0), Login{Address: address, AccountID: id, KnownClientIP: unknownClientIP})
			if err == nil {
				_, err = l.RecordLoginFailure(t.Context(), store, start, attempt)
			}
			if err == nil { // and a login whose process is killed
				_, err = l.BeginLogin(t.Context(), store, at(0), Login{Address: address, AccountID: id, KnownClientIP: unknownClientIP})
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		for _, step := range []struct {
			at   time.Duration
			want int64
		}{{0, 0}, {time.Hour, 0}, {2 * time.Hour, db.BatchRows + 10 + 2}, {failureRetention + time.Second, 1}, {failureRetention + time.Second, 0}} {
			if got, err := DeleteOld(t.Context(), store, start.Add(step.at)); err != nil || got != step.want {
				t.Errorf("after %s: %d, %v; want %d", step.at, got, err, step.want)
			}
		}
		if row, err := store.Read().GetLoginFailure(t.Context(), account[:]); err != nil || row.Failures != 1 {
			t.Errorf("the account's failures: %+v, %v", row, err)
		}
		if _, err := store.Read().GetRateLimit(t.Context(), l.key(MailAddress, "stays")); err != nil {
			t.Errorf("a quota that has not refilled: %v", err)
		}
	})
}
