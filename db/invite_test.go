package db_test

import (
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/financelime/authorization/db"
)

// signUp runs the part of a sign-up that concerns the invite. If the invite has no uses left, it inserts no account.
func signUp(t *testing.T, s *db.Store, codeHash []byte, email string, now time.Time) (uuid.UUID, error) {
	errNoUsesLeft := errors.New("the invite has no uses left")
	id := newID(t)
	err := s.InTx(t.Context(), func(q *db.Queries) error {
		invite, err := q.LockInviteByCode(t.Context(), db.LockInviteByCodeParams{CodeHash: codeHash, Now: now})
		if err != nil {
			return err
		}
		pending, err := q.CountPendingSignUps(t.Context(), db.CountPendingSignUpsParams{InviteID: &invite.ID, Now: &now})
		if err != nil {
			return err
		}
		if invite.Uses+pending >= invite.MaxUses {
			return errNoUsesLeft
		}
		if err := q.DeleteExpiredSignUpByEmail(t.Context(), db.DeleteExpiredSignUpByEmailParams{Email: email, Now: &now}); err != nil {
			return err
		}
		n, err := q.InsertAccount(t.Context(), db.InsertAccountParams{
			ID: id, Email: email, Language: "ru", InviteID: &invite.ID, CreatedAt: now, PendingUntil: new(now.Add(30 * time.Minute)),
		})
		if err == nil && n == 0 {
			return db.ErrConflict
		}
		return err
	})
	if errors.Is(err, errNoUsesLeft) {
		return id, nil
	}
	return id, err
}

func TestRaceInviteUses(t *testing.T) {
	onBoth(t, func(t *testing.T, s *db.Store) {
		for range 3 {
			invite, codeHash := insertInvite(t, s, 10)
			concurrently(60, func(int) {
				if _, err := signUp(t, s, codeHash, newID(t).String(), start); err != nil {
					t.Error(err)
				}
			})
			var pending int64
			must(t, db.QueryRaw(t.Context(), s.Read(), "SELECT count(*) FROM account WHERE invite_id = $1", invite).Scan(&pending))
			if pending != 10 {
				t.Fatalf("%d sign-ups on an invite with 10 uses", pending)
			}

			// Twelve confirmations at the same time: ten consume a use of the invite, two are refused.
			var consumed, refused atomic.Int64
			concurrently(12, func(int) {
				write(t, s, func(q *db.Queries) error {
					n, err := q.ConsumeInvite(t.Context(), invite)
					consumed.Add(n)
					refused.Add(1 - n)
					return err
				})
			})
			if consumed.Load() != 10 || refused.Load() != 2 {
				t.Errorf("%d uses consumed, %d refused", consumed.Load(), refused.Load())
			}
		}
	})
}

func TestRaceSignUpsForOneAddress(t *testing.T) {
	onBoth(t, func(t *testing.T, s *db.Store) {
		for range 3 {
			_, codeA := insertInvite(t, s, 100)
			_, codeB := insertInvite(t, s, 100)
			email := newID(t).String()
			var succeeded, conflicts atomic.Int64
			concurrently(50, func(i int) {
				code := codeA
				if i%2 == 0 {
					code = codeB
				}
				switch _, err := signUp(t, s, code, email, start); {
				case err == nil:
					succeeded.Add(1)
				case errors.Is(err, db.ErrConflict):
					conflicts.Add(1)
				default:
					t.Error(err)
				}
			})
			if succeeded.Load() != 1 || conflicts.Load() != 49 {
				t.Fatalf("%d sign-ups succeeded, %d returned a conflict", succeeded.Load(), conflicts.Load())
			}
		}
	})
}

func TestExpiredSignUpReleasesInviteUse(t *testing.T) {
	onBoth(t, func(t *testing.T, s *db.Store) {
		_, codeHash := insertInvite(t, s, 1)
		first, err := signUp(t, s, codeHash, "a@example.com", start)
		must(t, err)
		account(t, s, first)
		second, err := signUp(t, s, codeHash, "b@example.com", start.Add(30*time.Minute-time.Microsecond))
		must(t, err)
		if _, err := s.Read().GetAccount(t.Context(), second); !errors.Is(err, db.ErrNotFound) {
			t.Errorf("the invite was used twice: %v", err)
		}
		third, err := signUp(t, s, codeHash, "a@example.com", start.Add(30*time.Minute)) // also for the same address
		must(t, err)
		account(t, s, third)
		if _, err := signUp(t, s, codeHash, "c@example.com", start.Add(time.Hour)); !errors.Is(err, db.ErrNotFound) {
			t.Errorf("an expired invite: %v", err)
		}
	})
}
