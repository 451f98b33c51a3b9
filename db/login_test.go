package db_test

import (
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/financelime/authorization/db"
)

func TestRecordLoginConditions(t *testing.T) {
	onBoth(t, func(t *testing.T, s *db.Store) {
		mail := newID(t)
		setPending := func(a db.Account, until *time.Time) db.Account {
			write(t, s, func(q *db.Queries) error {
				_, err := q.SetPendingPassword(t.Context(), db.SetPendingPasswordParams{ID: a.ID, MailID: &mail, Number: 1, PasswordHash: new("pending hash")})
				return err
			})
			if until != nil {
				write(t, s, func(q *db.Queries) error {
					_, err := q.SetPendingPasswordExpiry(t.Context(), db.SetPendingPasswordExpiryParams{ID: a.ID, MailID: &mail, ExpiresAt: until})
					return err
				})
			}
			return a
		}
		loginWithPending := func(a db.Account, hash string) (n int64) {
			write(t, s, func(q *db.Queries) (err error) {
				n, err = q.RecordLoginWithPendingPassword(t.Context(), db.RecordLoginWithPendingPasswordParams{ID: a.ID, VerifiedHash: &hash, Now: new(start)})
				return err
			})
			return n
		}
		login := func(a db.Account, hash string) (n int64) {
			write(t, s, func(q *db.Queries) (err error) {
				n, err = q.RecordLogin(t.Context(), db.RecordLoginParams{ID: a.ID, VerifiedHash: &hash, Now: new(start)})
				return err
			})
			return n
		}
		disable := func(a db.Account) db.Account {
			write(t, s, func(q *db.Queries) error {
				_, err := db.ExecRaw(t.Context(), q, "UPDATE account SET disabled_at = $1 WHERE id = $2", start, a.ID)
				return err
			})
			return a
		}

		for name, a := range map[string]db.Account{
			"pending":  setPending(insertPending(t, s, nil), new(start.Add(time.Hour))),
			"disabled": disable(setPending(insertAccount(t, s), new(start.Add(time.Hour)))),
			"expired":  setPending(insertAccount(t, s), new(start)),
		} {
			if loginWithPending(a, "pending hash") != 0 {
				t.Errorf("%s: logged in with the pending password", name)
			}
		}

		a := setPending(insertAccount(t, s), new(start.Add(time.Microsecond)))
		if loginWithPending(a, "other") != 0 || login(a, "pending hash") != 0 {
			t.Error("logged in with a hash that is not the account's")
		}
		if loginWithPending(a, "pending hash") != 1 || loginWithPending(a, "pending hash") != 0 {
			t.Error("want the pending password to become the password exactly once")
		}
		got := account(t, s, a.ID)
		if got.PasswordHash == nil || *got.PasswordHash != "pending hash" || got.PendingPasswordHash != nil || got.PendingPasswordExpiresAt != nil ||
			*got.PendingPasswordMailID != mail || got.LastLoginAt == nil || !got.LastLoginAt.Equal(start) {
			t.Errorf("after the login: %+v", got)
		}
		if login(a, "pending hash") != 1 {
			t.Error("cannot log in with the new password")
		}
		rehash := func(verified, hash string) {
			write(t, s, func(q *db.Queries) error {
				return q.RehashPassword(t.Context(), db.RehashPasswordParams{ID: a.ID, VerifiedHash: &verified, PasswordHash: &hash})
			})
		}
		rehash("other", "wrong")
		rehash("pending hash", "stronger")
		if login(a, "pending hash") != 0 || login(a, "stronger") != 1 {
			t.Error("the password was not rehashed")
		}
		if login(disable(a), "stronger") != 0 {
			t.Error("logged in to a disabled account")
		}
	})
}

func TestRaceFirstLoginEndsOldSessions(t *testing.T) {
	onBoth(t, func(t *testing.T, s *db.Store) {
		for range raceRounds {
			a := insertAccount(t, s)
			old := insertSession(t, s, a.ID)
			write(t, s, func(q *db.Queries) error {
				_, err := q.SetPendingPassword(t.Context(), db.SetPendingPasswordParams{ID: a.ID, MailID: new(newID(t)), Number: 1, PasswordHash: new("h"), ExpiresAt: new(start.Add(time.Hour))})
				return err
			})
			var ended atomic.Int64
			concurrently(8, func(int) {
				id := newID(t)
				if err := s.InTx(t.Context(), func(q *db.Queries) error {
					n, err := q.RecordLoginWithPendingPassword(t.Context(), db.RecordLoginWithPendingPasswordParams{ID: a.ID, VerifiedHash: new("h"), Now: new(start)})
					if err != nil {
						return err
					}
					if n == 1 {
						ended.Add(1)
						if _, err := q.DeleteAccountSessions(t.Context(), a.ID); err != nil {
							return err
						}
					} else if n, err = q.RecordLogin(t.Context(), db.RecordLoginParams{ID: a.ID, VerifiedHash: new("h"), Now: new(start)}); err != nil || n != 1 {
						t.Errorf("the password is neither pending nor set: %v", err)
						return err
					}
					return q.InsertSession(t.Context(), db.InsertSessionParams{ID: id, AccountID: a.ID, Now: start})
				}); err != nil {
					t.Error(err)
				}
			})
			list, err := s.Read().ListSessions(t.Context(), db.ListSessionsParams{AccountID: a.ID})
			must(t, err)
			if ended.Load() != 1 || len(list) != 8 {
				t.Fatalf("%d logins ended the old sessions, %d sessions are left", ended.Load(), len(list))
			}
			if _, err := s.Read().GetSession(t.Context(), old.ID); !errors.Is(err, db.ErrNotFound) {
				t.Fatalf("the old session: %v", err)
			}
		}
	})
}
