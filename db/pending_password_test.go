package db_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/financelime/authorization/db"
)

// The number decides which of two mails is newer, not the ID: here the replica that enqueued the older mail has a clock that is ahead.
func TestPendingPasswordNeedsNewerMail(t *testing.T) {
	onBoth(t, func(t *testing.T, s *db.Store) {
		a := insertAccount(t, s)
		newer, older := newID(t), newID(t)
		numbers := map[uuid.UUID]int64{older: 1, newer: 2}
		setPending := func(mail uuid.UUID, hash string) (n int64) {
			write(t, s, func(q *db.Queries) (err error) {
				n, err = q.SetPendingPassword(t.Context(), db.SetPendingPasswordParams{
					ID: a.ID, MailID: &mail, Number: numbers[mail], PasswordHash: &hash, ExpiresAt: new(start)})
				return err
			})
			return n
		}
		if setPending(older, "old") != 1 || setPending(newer, "new") != 1 {
			t.Error("the first or the newer mail did not set the pending password")
		}
		if setPending(newer, "again") != 0 || setPending(older, "old") != 0 {
			t.Error("the same or an older mail set the pending password again")
		}
		for _, mail := range []uuid.UUID{older, newer} {
			var n int64
			write(t, s, func(q *db.Queries) (err error) {
				n, err = q.SetPendingPasswordExpiry(t.Context(), db.SetPendingPasswordExpiryParams{ID: a.ID, MailID: &mail, ExpiresAt: new(start.Add(time.Hour))})
				return err
			})
			if until := account(t, s, a.ID).PendingPasswordExpiresAt; until.Equal(start) != (mail == older) || n != numbers[mail]-1 {
				t.Errorf("pending until %v, %d rows", until, n)
			}
		}
		for _, mail := range []uuid.UUID{older, newer} {
			write(t, s, func(q *db.Queries) error {
				return q.ClearPendingPassword(t.Context(), db.ClearPendingPasswordParams{ID: a.ID, MailID: &mail})
			})
			if hash := account(t, s, a.ID).PendingPasswordHash; (hash == nil) != (mail == newer) {
				t.Errorf("pending hash %v", hash)
			}
		}
		if setPending(older, "old") != 0 {
			t.Error("an older mail set the pending password again after it was cleared")
		}
	})
}

func TestRaceSetPendingPassword(t *testing.T) {
	onBoth(t, func(t *testing.T, s *db.Store) {
		for range raceRounds {
			a := insertAccount(t, s)
			mails := make([]uuid.UUID, 8)
			for i := range mails {
				mails[i] = newID(t)
			}
			concurrently(len(mails), func(i int) {
				write(t, s, func(q *db.Queries) error {
					_, err := q.SetPendingPassword(t.Context(), db.SetPendingPasswordParams{
						ID: a.ID, MailID: &mails[i], Number: int64(len(mails) - i), PasswordHash: new(mails[i].String())})
					return err
				})
			})
			got := account(t, s, a.ID)
			newest := mails[0]
			if *got.PendingPasswordMailID != newest || *got.PendingPasswordHash != newest.String() {
				t.Fatalf("set by the mail %v, the newest is %v", got.PendingPasswordMailID, newest)
			}
		}
	})
}

// Mails that are numbered at the same time get different numbers. After an account was disabled, no mail with an earlier number sets the
// pending password.
func TestRaceNextPasswordNumber(t *testing.T) {
	onBoth(t, func(t *testing.T, s *db.Store) {
		a := insertAccount(t, s)
		numbers := make([]int64, 8)
		concurrently(len(numbers), func(i int) {
			write(t, s, func(q *db.Queries) (err error) {
				numbers[i], err = q.NextPasswordNumber(t.Context(), a.ID)
				return err
			})
		})
		slices.Sort(numbers)
		for i, number := range numbers {
			if number != int64(i+1) {
				t.Errorf("the numbers are %v", numbers)
			}
		}
		setPending := func(number int64) (n int64) {
			write(t, s, func(q *db.Queries) (err error) {
				n, err = q.SetPendingPassword(t.Context(), db.SetPendingPasswordParams{
					ID: a.ID, MailID: new(newID(t)), Number: number, PasswordHash: new("h"), ExpiresAt: new(start)})
				return err
			})
			return n
		}
		write(t, s, func(q *db.Queries) error {
			_, err := q.DisableAccount(t.Context(), db.DisableAccountParams{ID: a.ID, Now: new(start)})
			return err
		})
		err := s.Write(t.Context(), func(q *db.Queries) error {
			_, err := q.NextPasswordNumber(t.Context(), a.ID)
			return err
		})
		if !errors.Is(err, db.ErrNotFound) || setPending(9) != 0 {
			t.Errorf("a mail is numbered or a password pending for a disabled account: %v", err)
		}
		write(t, s, func(q *db.Queries) error {
			_, err := q.EnableAccount(t.Context(), a.ID)
			return err
		})
		if setPending(8) != 0 || setPending(9) != 1 {
			t.Error("want the pending password set only by a mail that was numbered after the account was disabled")
		}
	})
}
