package db_test

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/financelime/authorization/db"
)

// equal compares rows deeply. Times must have the same value and be in UTC.
func equal(t *testing.T, what string, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s:\n got %+v\nwant %+v", what, got, want)
	}
}

func TestInviteRoundTrip(t *testing.T) {
	onBoth(t, func(t *testing.T, s *db.Store) {
		id, codeHash := insertInvite(t, s, 1<<60)
		got, err := s.Read().GetInviteByCode(t.Context(), codeHash)
		must(t, err)
		want := db.Invite{ID: id, CodeHash: codeHash, MaxUses: 1 << 60, CreatedAt: start, ExpiresAt: start.Add(time.Hour)}
		equal(t, "new invite", got, want)

		revoked := start.Add(time.Microsecond)
		write(t, s, func(q *db.Queries) error {
			n, err := q.RevokeInvite(t.Context(), db.RevokeInviteParams{ID: id, Now: &revoked})
			if n != 1 {
				t.Errorf("%d rows revoked", n)
			}
			return err
		})
		insertPending(t, s, &id)
		list, err := s.Read().ListInvites(t.Context(), db.ListInvitesParams{Now: new(start), Before: uuid.Max, MaxRows: 10})
		must(t, err)
		equal(t, "list", list, []db.ListInvitesRow{{
			ID: id, MaxUses: 1 << 60, CreatedAt: start, ExpiresAt: start.Add(time.Hour), RevokedAt: &revoked, Pending: 1,
		}})
	})
}

func TestAccountRoundTrip(t *testing.T) {
	onBoth(t, func(t *testing.T, s *db.Store) {
		invite, _ := insertInvite(t, s, 1)
		pending := insertPending(t, s, &invite)
		equal(t, "pending", pending, db.Account{
			ID: pending.ID, Email: pending.ID.String() + "@example.com", Language: "en", InviteID: &invite,
			CreatedAt: start, PendingUntil: new(start.Add(24 * time.Hour)),
		})

		var confirmed db.Account
		write(t, s, func(q *db.Queries) (err error) {
			confirmed, err = q.ConfirmAccount(t.Context(), pending.ID)
			return err
		})
		want := pending
		want.PendingUntil = nil
		equal(t, "confirmed", confirmed, want)

		mail := newID(t)
		write(t, s, func(q *db.Queries) error {
			_, err := q.SetPendingPassword(t.Context(), db.SetPendingPasswordParams{
				ID: pending.ID, PasswordHash: new("хеш $ ''"), MailID: &mail, Number: 7, ExpiresAt: new(start.Add(time.Minute)),
			})
			return err
		})
		write(t, s, func(q *db.Queries) error {
			_, err := q.SetPendingPasswordExpiry(t.Context(), db.SetPendingPasswordExpiryParams{
				ID: pending.ID, MailID: &mail, ExpiresAt: new(start.Add(time.Hour)),
			})
			return err
		})
		want.PendingPasswordHash, want.PendingPasswordMailID, want.PendingPasswordNumber, want.PendingPasswordExpiresAt = new("хеш $ ''"), &mail, 7, new(start.Add(time.Hour))
		got, err := s.Read().GetAccountByEmail(t.Context(), pending.Email)
		must(t, err)
		equal(t, "pending password", got, want)
	})
}

func TestMailRoundTrip(t *testing.T) {
	onBoth(t, func(t *testing.T, s *db.Store) {
		a := insertAccount(t, s)
		full := db.InsertMailParams{
			ID: newID(t), AccountID: a.ID, Kind: "signup_link", ConfirmationID: new(uuid.New()),
			Nonce: []byte{0, 1, 0xff}, PasswordNumber: 9, RequestID: "", Now: start,
		}
		bare := db.InsertMailParams{ID: newID(t), AccountID: a.ID, Kind: "password", RequestID: "r", Now: start.Add(time.Second)}
		empty := bare
		empty.ID, empty.Nonce, empty.Now = newID(t), []byte{}, start.Add(2*time.Second)
		for _, arg := range []db.InsertMailParams{full, bare, empty} {
			insertMail(t, s, arg)
			var got db.Mail
			lease := arg.Now.Add(time.Hour)
			write(t, s, func(q *db.Queries) (err error) {
				got, err = q.LeaseMail(t.Context(), db.LeaseMailParams{ID: arg.ID, Now: arg.Now, LeaseUntil: lease})
				return err
			})
			equal(t, "leased", got, db.Mail{
				ID: arg.ID, AccountID: a.ID, Kind: arg.Kind, ConfirmationID: arg.ConfirmationID, Nonce: arg.Nonce, PasswordNumber: arg.PasswordNumber,
				RequestID: arg.RequestID, CreatedAt: arg.Now, DueAt: lease, Attempts: 1,
			})
		}
	})
}

func TestSigningKeyRoundTrip(t *testing.T) {
	onBoth(t, func(t *testing.T, s *db.Store) {
		sealed := make([]byte, 4096)
		for i := range sealed {
			sealed[i] = byte(i)
		}
		arg := db.InsertSigningKeyParams{
			ID: "kid", Number: 7, Algorithm: "ES256", Sealed: sealed, CreatedAt: start, ActiveAt: start.Add(time.Hour), PreviousSecretFingerprint: sealed[:16],
		}
		empty, err := s.Read().ListSigningKeys(t.Context())
		must(t, err)
		equal(t, "no keys", empty, []db.SigningKey{})
		write(t, s, func(q *db.Queries) error {
			_, err := q.InsertSigningKey(t.Context(), arg)
			return err
		})
		keys, err := s.Read().ListSigningKeys(t.Context())
		must(t, err)
		equal(t, "keys", keys, []db.SigningKey{db.SigningKey(arg)})
	})
}

func TestTimeRoundTrip(t *testing.T) {
	onBoth(t, func(t *testing.T, s *db.Store) {
		a := insertAccount(t, s)
		for _, in := range []time.Time{
			time.Date(1969, 12, 31, 23, 59, 59, 999999000, time.UTC), // before the Unix epoch
			time.Date(1999, 12, 31, 23, 59, 59, 999999000, time.UTC), // before PostgreSQL's epoch
			time.Date(2262, 4, 12, 0, 0, 0, 1000, time.UTC),          // after the maximum of int64 nanoseconds
			time.Date(9999, 12, 31, 23, 59, 59, 999999000, time.UTC),
			start.In(time.FixedZone("east", 5*3600)),
		} {
			id := newID(t)
			write(t, s, func(q *db.Queries) error {
				return q.InsertSession(t.Context(), db.InsertSessionParams{ID: id, AccountID: a.ID, Now: in})
			})
			got, err := s.Read().GetSession(t.Context(), id)
			must(t, err)
			if !got.CreatedAt.Equal(in) || got.CreatedAt.Location() != time.UTC {
				t.Errorf("stored %v, got %v", in, got.CreatedAt)
			}
		}
	})
}

func TestErrNotFound(t *testing.T) {
	onBoth(t, func(t *testing.T, s *db.Store) {
		if _, err := s.Read().GetSession(t.Context(), newID(t)); !errors.Is(err, db.ErrNotFound) {
			t.Errorf("a read: %v", err)
		}
		if err := s.Write(t.Context(), func(q *db.Queries) error {
			_, err := q.ConfirmAccount(t.Context(), newID(t))
			return err
		}); !errors.Is(err, db.ErrNotFound) {
			t.Errorf("a conditional update: %v", err)
		}
		// It does not fail the transaction: later statements are committed.
		a := insertAccount(t, s)
		must(t, s.InTx(t.Context(), func(q *db.Queries) error {
			if _, err := q.ConfirmAccount(t.Context(), newID(t)); !errors.Is(err, db.ErrNotFound) {
				t.Errorf("in a transaction: %v", err)
			}
			return q.InsertSession(t.Context(), db.InsertSessionParams{ID: newID(t), AccountID: a.ID, Now: start})
		}))
		sessions, err := s.Read().ListSessions(t.Context(), db.ListSessionsParams{AccountID: a.ID})
		must(t, err)
		if len(sessions) != 1 {
			t.Errorf("%d sessions", len(sessions))
		}
	})
}

func TestErrConflict(t *testing.T) {
	onBoth(t, func(t *testing.T, s *db.Store) {
		a := insertAccount(t, s)
		session := insertSession(t, s, a.ID)
		invite, code := insertInvite(t, s, 3)
		for name, statement := range map[string]func(q *db.Queries) error{
			"primary key": func(q *db.Queries) error {
				return q.InsertSession(t.Context(), db.InsertSessionParams{ID: session.ID, AccountID: a.ID, Now: start})
			},
			"unique": func(q *db.Queries) error {
				_, err := db.ExecRaw(t.Context(), q, `INSERT INTO invite (id, code_hash, max_uses, uses, reserved, created_at, expires_at)
					VALUES ($1, $2, 1, 0, 0, $3, $3)`, newID(t), code, start)
				return err
			},
			"foreign key": func(q *db.Queries) error {
				return q.InsertSession(t.Context(), db.InsertSessionParams{ID: newID(t), AccountID: newID(t), Now: start})
			},
			"foreign key of a parent": func(q *db.Queries) error {
				_, err := q.InsertAccount(t.Context(), db.InsertAccountParams{
					ID: newID(t), Email: "x@example.com", InviteID: new(newID(t)), CreatedAt: start,
				})
				return err
			},
			"check of a value": func(q *db.Queries) error {
				return q.UpsertConfirmation(t.Context(), db.UpsertConfirmationParams{
					ID: newID(t), AccountID: a.ID, Purpose: "spam", KeyHash: []byte("k"), CreatedAt: start, ExpiresAt: start,
				})
			},
			"check of a count": func(q *db.Queries) error {
				_, err := db.ExecRaw(t.Context(), q, "UPDATE invite SET uses = 4 WHERE id = $1", invite)
				return err
			},
		} {
			err := s.Write(t.Context(), statement)
			if !errors.Is(err, db.ErrConflict) {
				t.Errorf("%s: %v", name, err)
			} else if strings.Contains(err.Error(), a.Email) {
				t.Errorf("%s: the error contains values: %v", name, err)
			}
		}
		err := s.Write(t.Context(), func(q *db.Queries) error {
			_, err := db.ExecRaw(t.Context(), q, "UPDATE session SET platform = NULL")
			return err
		})
		if err == nil || errors.Is(err, db.ErrConflict) || errors.Is(err, db.ErrUnavailable) {
			t.Errorf("NULL in a NOT NULL column is a defect, not a conflict: %v", err)
		}
	})
}

func TestInvalidTextIsRefused(t *testing.T) {
	onBoth(t, func(t *testing.T, s *db.Store) {
		for _, text := range []string{"zero\x00byte", "broken \xff", "surrogate \xed\xa0\x80"} {
			_, err := s.Read().GetAccountByEmail(t.Context(), text)
			if err == nil || errors.Is(err, db.ErrNotFound) || errors.Is(err, db.ErrUnavailable) {
				t.Errorf("%q: %v", text, err)
			}
		}
	})
}

func TestDeleteAccountCascades(t *testing.T) {
	onBoth(t, func(t *testing.T, s *db.Store) {
		deleted, kept := insertPending(t, s, nil), insertPending(t, s, nil)
		for _, a := range []db.Account{deleted, kept} {
			insertSession(t, s, a.ID)
			insertMail(t, s, db.InsertMailParams{ID: newID(t), AccountID: a.ID, Kind: "signup_link", Now: start})
			write(t, s, func(q *db.Queries) error {
				return q.UpsertConfirmation(t.Context(), db.UpsertConfirmationParams{
					ID: uuid.New(), AccountID: a.ID, Purpose: "signup", KeyHash: a.ID[:], CreatedAt: start, ExpiresAt: start,
				})
			})
		}
		write(t, s, func(q *db.Queries) error {
			return q.DeleteExpiredSignUpByEmail(t.Context(), db.DeleteExpiredSignUpByEmailParams{Email: deleted.Email, Now: deleted.PendingUntil})
		})
		for _, table := range []string{"account", "session", "mail", "confirmation"} {
			var n int64
			must(t, db.QueryRaw(t.Context(), s.Read(), "SELECT count(*) FROM "+table).Scan(&n))
			if n != 1 {
				t.Errorf("%s: %d rows left", table, n)
			}
		}
	})
}

func TestListSessions(t *testing.T) {
	onBoth(t, func(t *testing.T, s *db.Store) {
		a, b := insertAccount(t, s), insertAccount(t, s)
		first, second, third := insertSession(t, s, a.ID), insertSession(t, s, a.ID), insertSession(t, s, a.ID)
		insertSession(t, s, b.ID)
		write(t, s, func(q *db.Queries) (err error) {
			first, err = q.RotateSession(t.Context(), db.RotateSessionParams{
				ID: first.ID, Generation: 1, Now: start.Add(time.Microsecond), RemoteAddr: "2001:db8::1", CreatedAfter: start.Add(-1),
			})
			return err
		})
		all := db.ListSessionsParams{AccountID: a.ID, CreatedAfter: start.Add(-time.Microsecond), RefreshedAfter: start.Add(-time.Microsecond)}
		list, err := s.Read().ListSessions(t.Context(), all)
		must(t, err)
		equal(t, "all", list, []db.Session{first, second, third})

		all.RefreshedAfter = start
		list, err = s.Read().ListSessions(t.Context(), all)
		must(t, err)
		equal(t, "refreshed since", list, []db.Session{first})

		all.CreatedAfter = start
		list, err = s.Read().ListSessions(t.Context(), all)
		must(t, err)
		equal(t, "created since", list, []db.Session{})
	})
}
