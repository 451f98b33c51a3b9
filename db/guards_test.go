package db_test

import (
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/financelime/authorization/db"
)

// rounds is how often each race is run.
const rounds = 10

func TestRaceOneRefreshWins(t *testing.T) {
	onBoth(t, func(t *testing.T, s *db.Store) {
		session := insertSession(t, s, insertAccount(t, s).ID)
		for round := range int64(rounds) {
			generation := round + 1
			var won atomic.Int64
			atOnce(50, func(int) {
				var got db.Session
				err := s.Write(t.Context(), func(q *db.Queries) (err error) {
					got, err = q.RotateSession(t.Context(), db.RotateSessionParams{
						ID: session.ID, Generation: generation, Now: start.Add(time.Hour), CreatedAfter: start.Add(-time.Second),
					})
					return err
				})
				switch {
				case err == nil && got.Generation == generation+1:
					won.Add(1)
				case !errors.Is(err, db.ErrNotFound):
					t.Errorf("generation %d, error %v", got.Generation, err)
				}
			})
			if won.Load() != 1 {
				t.Fatalf("%d of the refreshes with one token won", won.Load())
			}
		}
	})
}

func TestRefreshGuards(t *testing.T) {
	onBoth(t, func(t *testing.T, s *db.Store) {
		session := insertSession(t, s, insertAccount(t, s).ID)
		rotate := func(generation int64, createdAfter time.Time) error {
			return s.Write(t.Context(), func(q *db.Queries) error {
				_, err := q.RotateSession(t.Context(), db.RotateSessionParams{
					ID: session.ID, Generation: generation, Now: start, CreatedAfter: createdAfter,
				})
				return err
			})
		}
		if err := rotate(1, start); !errors.Is(err, db.ErrNotFound) {
			t.Errorf("past its greatest age: %v", err)
		}
		if err := rotate(2, start.Add(-time.Second)); !errors.Is(err, db.ErrNotFound) {
			t.Errorf("a generation to come: %v", err)
		}
		must(t, rotate(1, start.Add(-time.Microsecond)))
		if err := rotate(1, start.Add(-time.Second)); !errors.Is(err, db.ErrNotFound) {
			t.Errorf("a past generation: %v", err)
		}
	})
}

// A replica whose clock is behind does not set the time of a refresh back, but a time that is far ahead gives way to any.
func TestARefreshDoesNotSetTimeBack(t *testing.T) {
	onBoth(t, func(t *testing.T, s *db.Store) {
		session := insertSession(t, s, insertAccount(t, s).ID)
		now := session.RefreshedAt
		for _, step := range []struct{ clock, want time.Duration }{
			{time.Hour, time.Hour},
			{time.Hour - 10*time.Minute, time.Hour},
			{0, time.Hour}, // just not too far ahead
			{-time.Microsecond, -time.Microsecond},
			{time.Second, time.Second},
		} {
			write(t, s, func(q *db.Queries) (err error) {
				clock := now.Add(step.clock)
				session, err = q.RotateSession(t.Context(), db.RotateSessionParams{
					ID: session.ID, Generation: session.Generation, Now: clock, FarAhead: clock.Add(time.Hour), CreatedAfter: now.AddDate(-1, 0, 0),
				})
				return err
			})
			if want := now.Add(step.want); !session.RefreshedAt.Equal(want) {
				t.Errorf("refreshed at %s by a clock at %s: %s", want, now.Add(step.clock), session.RefreshedAt)
			}
		}
	})
}

func TestRaceOneClickWins(t *testing.T) {
	onBoth(t, func(t *testing.T, s *db.Store) {
		for range rounds {
			a := insertPending(t, s, nil)
			write(t, s, func(q *db.Queries) error {
				return q.UpsertConfirmation(t.Context(), db.UpsertConfirmationParams{
					ID: uuid.New(), AccountID: a.ID, Purpose: "signup", KeyHash: a.ID[:], CreatedAt: start, ExpiresAt: start.Add(time.Hour),
				})
			})
			var won atomic.Int64
			atOnce(16, func(int) {
				err := s.InTx(t.Context(), func(q *db.Queries) error {
					used, err := q.ConsumeConfirmation(t.Context(), db.ConsumeConfirmationParams{KeyHash: a.ID[:], Now: start})
					if err != nil {
						return err
					}
					_, err = q.ConfirmAccount(t.Context(), used.AccountID)
					return err
				})
				if err == nil {
					won.Add(1)
				} else if !errors.Is(err, db.ErrNotFound) {
					t.Error(err)
				}
			})
			if won.Load() != 1 {
				t.Fatalf("%d clicks on one link won", won.Load())
			}
		}
	})
}

func TestLinks(t *testing.T) {
	onBoth(t, func(t *testing.T, s *db.Store) {
		a := insertPending(t, s, nil)
		put := func(purpose, key string, expires time.Time) {
			write(t, s, func(q *db.Queries) error {
				return q.UpsertConfirmation(t.Context(), db.UpsertConfirmationParams{
					ID: uuid.New(), AccountID: a.ID, Purpose: purpose, KeyHash: []byte(key), CreatedAt: start, ExpiresAt: expires,
				})
			})
		}
		use := func(key string, now time.Time) error {
			return s.Write(t.Context(), func(q *db.Queries) error {
				_, err := q.ConsumeConfirmation(t.Context(), db.ConsumeConfirmationParams{KeyHash: []byte(key), Now: now})
				return err
			})
		}
		put("password", "older", start.Add(time.Hour))
		put("signup", "other", start.Add(time.Hour))
		put("password", "newer", start.Add(time.Hour))
		if err := use("older", start); !errors.Is(err, db.ErrNotFound) {
			t.Errorf("a replaced link: %v", err)
		}
		if err := use("newer", start.Add(time.Hour)); !errors.Is(err, db.ErrNotFound) {
			t.Errorf("an expired link: %v", err)
		}
		must(t, use("newer", start.Add(time.Hour-time.Microsecond)))
		must(t, use("other", start))
	})
}

// signUp is the transaction of a sign-up, as far as it concerns the invite.
func signUp(t *testing.T, s *db.Store, codeHash []byte, email string, now time.Time) (uuid.UUID, error) {
	errFull := errors.New("the invite has ended")
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
			return errFull
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
	if errors.Is(err, errFull) {
		return id, nil
	}
	return id, err
}

func TestRaceNoMoreSignUpsThanUses(t *testing.T) {
	onBoth(t, func(t *testing.T, s *db.Store) {
		for range 3 {
			invite, codeHash := insertInvite(t, s, 10)
			atOnce(60, func(int) {
				if _, err := signUp(t, s, codeHash, newID(t).String(), start); err != nil {
					t.Error(err)
				}
			})
			var pending int64
			must(t, db.QueryRaw(t.Context(), s.Read(), "SELECT count(*) FROM account WHERE invite_id = $1", invite).Scan(&pending))
			if pending != 10 {
				t.Fatalf("%d sign-ups on an invite with 10 uses", pending)
			}

			// All confirm at once; the uses move from the sign-ups to the invite, and an eleventh finds none.
			var spent, refused atomic.Int64
			atOnce(12, func(int) {
				write(t, s, func(q *db.Queries) error {
					n, err := q.ConsumeInvite(t.Context(), invite)
					spent.Add(n)
					refused.Add(1 - n)
					return err
				})
			})
			if spent.Load() != 10 || refused.Load() != 2 {
				t.Errorf("%d uses spent, %d refused", spent.Load(), refused.Load())
			}
		}
	})
}

func TestRaceOneSignUpForAnAddress(t *testing.T) {
	onBoth(t, func(t *testing.T, s *db.Store) {
		for range 3 {
			_, codeA := insertInvite(t, s, 100)
			_, codeB := insertInvite(t, s, 100)
			email := newID(t).String()
			var won, taken atomic.Int64
			atOnce(50, func(i int) {
				code := codeA
				if i%2 == 0 {
					code = codeB
				}
				switch _, err := signUp(t, s, code, email, start); {
				case err == nil:
					won.Add(1)
				case errors.Is(err, db.ErrConflict):
					taken.Add(1)
				default:
					t.Error(err)
				}
			})
			if won.Load() != 1 || taken.Load() != 49 {
				t.Fatalf("%d sign-ups won, %d found the address taken", won.Load(), taken.Load())
			}
		}
	})
}

func TestAUseComesBackWhenItsSignUpExpires(t *testing.T) {
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
		third, err := signUp(t, s, codeHash, "a@example.com", start.Add(30*time.Minute)) // the same address, too
		must(t, err)
		account(t, s, third)
		if _, err := signUp(t, s, codeHash, "c@example.com", start.Add(time.Hour)); !errors.Is(err, db.ErrNotFound) {
			t.Errorf("an expired invite: %v", err)
		}
	})
}

func TestRaceOneWorkerLeasesAMail(t *testing.T) {
	onBoth(t, func(t *testing.T, s *db.Store) {
		const mails = 8
		a := insertAccount(t, s)
		for i := range mails {
			insertMail(t, s, db.InsertMailParams{
				ID: newID(t), AccountID: a.ID, Kind: "password_link", Now: start.Add(time.Duration(i) * time.Second),
			})
		}
		now := start.Add(time.Hour)
		leased := make([]atomic.Int64, mails)
		atOnce(6, func(int) {
			due, err := s.Read().ListDueMails(t.Context(), db.ListDueMailsParams{Now: now, MaxRows: mails})
			if err != nil {
				t.Error(err)
			}
			for _, id := range due {
				m, err := lease(t, s, id, now)
				if err == nil {
					leased[m.CreatedAt.Sub(start)/time.Second].Add(1)
				} else if !errors.Is(err, db.ErrNotFound) { // another one was faster
					t.Error(err)
				}
			}
		})
		for i := range leased {
			if n := leased[i].Load(); n != 1 {
				t.Errorf("mail %d was leased %d times", i, n)
			}
		}
	})
}

// lease takes a mail for a minute.
func lease(t *testing.T, s *db.Store, id uuid.UUID, now time.Time) (m db.Mail, err error) {
	t.Helper()
	err = s.Write(t.Context(), func(q *db.Queries) (err error) {
		m, err = q.LeaseMail(t.Context(), db.LeaseMailParams{ID: id, Now: now, LeaseUntil: now.Add(time.Minute)})
		return err
	})
	return m, err
}

func TestMailLeaseIsAFence(t *testing.T) {
	onBoth(t, func(t *testing.T, s *db.Store) {
		a := insertAccount(t, s)
		younger, older := newID(t), newID(t)
		for id, now := range map[uuid.UUID]time.Time{older: start, younger: start.Add(time.Second)} {
			insertMail(t, s, db.InsertMailParams{ID: id, AccountID: a.ID, Kind: "password", Nonce: []byte("nonce"), Now: now})
		}
		expectDue := func(now time.Time, want ...uuid.UUID) {
			t.Helper()
			due, err := s.Read().ListDueMails(t.Context(), db.ListDueMailsParams{Now: now, MaxRows: 10})
			must(t, err)
			if !slices.Equal(due, want) {
				t.Errorf("due are %v, want %v", due, want)
			}
		}
		settle := func(fn func(q *db.Queries) (int64, error)) (n int64) {
			write(t, s, func(q *db.Queries) (err error) {
				n, err = fn(q)
				return err
			})
			return n
		}
		// everySettlement tries all of them with a lease that is none.
		everySettlement := func(m db.Mail) {
			t.Helper()
			for name, fn := range map[string]func(q *db.Queries) (int64, error){
				"sent": func(q *db.Queries) (int64, error) {
					return q.MarkMailSent(t.Context(), db.MarkMailSentParams{ID: m.ID, Attempts: m.Attempts, LeaseUntil: m.DueAt, Now: new(start)})
				},
				"dead": func(q *db.Queries) (int64, error) {
					return q.MarkMailDead(t.Context(), db.MarkMailDeadParams{ID: m.ID, Attempts: m.Attempts, LeaseUntil: m.DueAt, Now: new(start)})
				},
				"retried": func(q *db.Queries) (int64, error) {
					return q.RescheduleMail(t.Context(), db.RescheduleMailParams{ID: m.ID, Attempts: m.Attempts, LeaseUntil: m.DueAt, DueAt: start})
				},
				"returned": func(q *db.Queries) (int64, error) {
					return q.ReleaseMail(t.Context(), db.ReleaseMailParams{ID: m.ID, Attempts: m.Attempts, LeaseUntil: m.DueAt, DueAt: start})
				},
			} {
				if n := settle(fn); n != 0 {
					t.Errorf("a worker without the lease %s the mail", name)
				}
			}
		}

		number := func(m db.Mail) int64 {
			t.Helper()
			return settle(func(q *db.Queries) (int64, error) {
				return q.SetMailPasswordNumber(t.Context(), db.SetMailPasswordNumberParams{ID: m.ID, Attempts: m.Attempts, Number: 1})
			})
		}

		expectDue(start, older)
		expectDue(start.Add(time.Second), older, younger)
		first, err := lease(t, s, older, start)
		must(t, err)
		if _, err := lease(t, s, older, start); !errors.Is(err, db.ErrNotFound) {
			t.Errorf("a mail that is leased: %v", err)
		}
		if _, err := lease(t, s, younger, start); !errors.Is(err, db.ErrNotFound) {
			t.Errorf("a mail that is not due: %v", err)
		}
		expectDue(start.Add(time.Hour), younger, older) // a lease that ran out has not waited for so long
		second, err := lease(t, s, younger, start.Add(time.Hour))
		must(t, err)
		retaken, err := lease(t, s, older, start.Add(time.Hour))
		must(t, err)
		if retaken.Attempts != 2 || !retaken.DueAt.Equal(start.Add(time.Hour+time.Minute)) {
			t.Fatalf("the lease that ran out was not taken over: %+v", retaken)
		}
		everySettlement(first)
		if number(first) != 0 || number(retaken) != 1 {
			t.Error("the lease does not decide who numbers the mail")
		}
		if n := settle(func(q *db.Queries) (int64, error) {
			return q.MarkMailDead(t.Context(), db.MarkMailDeadParams{
				ID: second.ID, Attempts: 1, LeaseUntil: second.DueAt, Now: new(start), LastError: new("550 no"),
			})
		}); n != 1 {
			t.Errorf("%d mails died", n)
		}

		// A mail that is returned has as many attempts as before. Whoever had it then has it no more.
		if n := settle(func(q *db.Queries) (int64, error) {
			return q.ReleaseMail(t.Context(), db.ReleaseMailParams{
				ID: older, Attempts: 2, LeaseUntil: retaken.DueAt, DueAt: start, LastError: new("421 not now"),
			})
		}); n != 1 {
			t.Errorf("%d mails returned", n)
		}
		if number(first) != 0 || number(retaken) != 0 {
			t.Error("a mail that nobody has is numbered")
		}
		again, err := lease(t, s, older, start.Add(90*time.Minute))
		must(t, err)
		if again.Attempts != 2 || again.LastError != nil {
			t.Errorf("leased again: %+v", again)
		}
		everySettlement(retaken)
		if n := settle(func(q *db.Queries) (int64, error) {
			return q.RescheduleMail(t.Context(), db.RescheduleMailParams{
				ID: older, Attempts: 2, LeaseUntil: again.DueAt, DueAt: start.Add(2 * time.Hour), LastError: new("451 later"),
			})
		}); n != 1 {
			t.Errorf("%d mails retried", n)
		}
		expectDue(start.Add(2*time.Hour), older) // the dead one does not come again
		third, err := lease(t, s, older, start.Add(2*time.Hour))
		must(t, err)
		if third.Attempts != 3 {
			t.Errorf("third attempt: %+v", third)
		}
		if n := settle(func(q *db.Queries) (int64, error) {
			return q.MarkMailSent(t.Context(), db.MarkMailSentParams{
				ID: older, Attempts: 3, LeaseUntil: third.DueAt, Now: new(start.Add(3 * time.Hour)),
			})
		}); n != 1 {
			t.Errorf("%d mails sent", n)
		}
		everySettlement(third) // once is enough
		var nonces int64
		must(t, db.QueryRaw(t.Context(), s.Read(), "SELECT count(nonce) FROM mail WHERE id = $1", older).Scan(&nonces))
		if nonces != 0 {
			t.Errorf("the nonce outlived the mail")
		}
	})
}

// The number decides which of two mails is the newer one, and not the id: here the older mail comes from a clock that is ahead.
func TestOnlyANewerMailArmsAPassword(t *testing.T) {
	onBoth(t, func(t *testing.T, s *db.Store) {
		a := insertAccount(t, s)
		newer, older := newID(t), newID(t)
		numbers := map[uuid.UUID]int64{older: 1, newer: 2}
		arm := func(mail uuid.UUID, hash string) (n int64) {
			write(t, s, func(q *db.Queries) (err error) {
				n, err = q.SetPendingPassword(t.Context(), db.SetPendingPasswordParams{
					ID: a.ID, MailID: &mail, Number: numbers[mail], PasswordHash: &hash, ExpiresAt: new(start)})
				return err
			})
			return n
		}
		if arm(older, "old") != 1 || arm(newer, "new") != 1 {
			t.Error("the first mail, or the newer one after it, did not arm")
		}
		if arm(newer, "again") != 0 || arm(older, "old") != 0 {
			t.Error("the same or an older mail armed again")
		}
		for _, mail := range []uuid.UUID{older, newer} {
			var n int64
			write(t, s, func(q *db.Queries) (err error) {
				n, err = q.SetPendingPasswordExpiry(t.Context(), db.SetPendingPasswordExpiryParams{ID: a.ID, MailID: &mail, ExpiresAt: new(start.Add(time.Hour))})
				return err
			})
			if until := account(t, s, a.ID).PendingPasswordExpiresAt; until.Equal(start) != (mail == older) || n != numbers[mail]-1 {
				t.Errorf("armed until %v, %d rows", until, n)
			}
		}
		for _, mail := range []uuid.UUID{older, newer} {
			write(t, s, func(q *db.Queries) error {
				return q.ClearPendingPassword(t.Context(), db.ClearPendingPasswordParams{ID: a.ID, MailID: &mail})
			})
			if hash := account(t, s, a.ID).PendingPasswordHash; (hash == nil) != (mail == newer) {
				t.Errorf("armed hash %v", hash)
			}
		}
		if arm(older, "old") != 0 {
			t.Error("a disarmed password was armed again by an older mail")
		}
	})
}

func TestRaceTheNewestMailArms(t *testing.T) {
	onBoth(t, func(t *testing.T, s *db.Store) {
		for range rounds {
			a := insertAccount(t, s)
			mails := make([]uuid.UUID, 8)
			for i := range mails {
				mails[i] = newID(t)
			}
			atOnce(len(mails), func(i int) {
				write(t, s, func(q *db.Queries) error {
					_, err := q.SetPendingPassword(t.Context(), db.SetPendingPasswordParams{
						ID: a.ID, MailID: &mails[i], Number: int64(len(mails) - i), PasswordHash: new(mails[i].String())})
					return err
				})
			})
			got := account(t, s, a.ID)
			newest := mails[0]
			if *got.PendingPasswordMailID != newest || *got.PendingPasswordHash != newest.String() {
				t.Fatalf("armed by %v, the newest is %v", got.PendingPasswordMailID, newest)
			}
		}
	})
}

// Of mails that are numbered at once none gets the number of another one, and after the account was disabled none that was
// numbered before arms its password any more.
func TestRaceTheNumbersOfMails(t *testing.T) {
	onBoth(t, func(t *testing.T, s *db.Store) {
		a := insertAccount(t, s)
		numbers := make([]int64, 8)
		atOnce(len(numbers), func(i int) {
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
		arm := func(number int64) (n int64) {
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
		if !errors.Is(err, db.ErrNotFound) || arm(9) != 0 {
			t.Errorf("a password is queued or armed for somebody who is disabled: %v", err)
		}
		write(t, s, func(q *db.Queries) error {
			_, err := q.EnableAccount(t.Context(), a.ID)
			return err
		})
		if arm(8) != 0 || arm(9) != 1 {
			t.Error("not the mails alone that were queued after it arm their passwords")
		}
	})
}

func TestLoginGuards(t *testing.T) {
	onBoth(t, func(t *testing.T, s *db.Store) {
		mail := newID(t)
		armed := func(a db.Account, until *time.Time) db.Account {
			write(t, s, func(q *db.Queries) error {
				_, err := q.SetPendingPassword(t.Context(), db.SetPendingPasswordParams{ID: a.ID, MailID: &mail, Number: 1, PasswordHash: new("armed")})
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
		withArmed := func(a db.Account, hash string) (n int64) {
			write(t, s, func(q *db.Queries) (err error) {
				n, err = q.RecordLoginWithPendingPassword(t.Context(), db.RecordLoginWithPendingPasswordParams{ID: a.ID, VerifiedHash: &hash, Now: new(start)})
				return err
			})
			return n
		}
		withPassword := func(a db.Account, hash string) (n int64) {
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
			"pending":  armed(insertPending(t, s, nil), new(start.Add(time.Hour))),
			"disabled": disable(armed(insertAccount(t, s), new(start.Add(time.Hour)))),
			"expired":  armed(insertAccount(t, s), new(start)),
		} {
			if withArmed(a, "armed") != 0 {
				t.Errorf("%s: logged in with the armed password", name)
			}
		}

		a := armed(insertAccount(t, s), new(start.Add(time.Microsecond)))
		if withArmed(a, "other") != 0 || withPassword(a, "armed") != 0 {
			t.Error("logged in with a hash that is not the account's")
		}
		if withArmed(a, "armed") != 1 || withArmed(a, "armed") != 0 {
			t.Error("an armed password becomes the password once")
		}
		got := account(t, s, a.ID)
		if got.PasswordHash == nil || *got.PasswordHash != "armed" || got.PendingPasswordHash != nil || got.PendingPasswordExpiresAt != nil ||
			*got.PendingPasswordMailID != mail || got.LastLoginAt == nil || !got.LastLoginAt.Equal(start) {
			t.Errorf("after the log-in: %+v", got)
		}
		if withPassword(a, "armed") != 1 {
			t.Error("cannot log in with the new password")
		}
		rehash := func(verified, hash string) {
			write(t, s, func(q *db.Queries) error {
				return q.RehashPassword(t.Context(), db.RehashPasswordParams{ID: a.ID, VerifiedHash: &verified, PasswordHash: &hash})
			})
		}
		rehash("other", "wrong")
		rehash("armed", "stronger")
		if withPassword(a, "armed") != 0 || withPassword(a, "stronger") != 1 {
			t.Error("the password was not rehashed")
		}
		if withPassword(disable(a), "stronger") != 0 {
			t.Error("logged in to a disabled account")
		}
	})
}

func TestRaceTheFirstLoginEndsTheOldSessions(t *testing.T) {
	onBoth(t, func(t *testing.T, s *db.Store) {
		for range rounds {
			a := insertAccount(t, s)
			old := insertSession(t, s, a.ID)
			write(t, s, func(q *db.Queries) error {
				_, err := q.SetPendingPassword(t.Context(), db.SetPendingPasswordParams{ID: a.ID, MailID: new(newID(t)), Number: 1, PasswordHash: new("h"), ExpiresAt: new(start.Add(time.Hour))})
				return err
			})
			var ended atomic.Int64
			atOnce(8, func(int) {
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
						t.Errorf("the password is neither armed nor set: %v", err)
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
				t.Fatalf("%d log-ins ended the old sessions, %d sessions are left", ended.Load(), len(list))
			}
			if _, err := s.Read().GetSession(t.Context(), old.ID); !errors.Is(err, db.ErrNotFound) {
				t.Fatalf("the old session: %v", err)
			}
		}
	})
}

func TestRaceReplicasMakeOneSigningKey(t *testing.T) {
	onBoth(t, func(t *testing.T, s *db.Store) {
		for number := range int64(rounds) {
			var made atomic.Int64
			atOnce(8, func(int) {
				write(t, s, func(q *db.Queries) error {
					n, err := q.InsertSigningKey(t.Context(), db.InsertSigningKeyParams{
						ID: newID(t).String(), Number: number, Algorithm: "ES256", Sealed: []byte("s"), CreatedAt: start, ActiveAt: start,
					})
					made.Add(n)
					return err
				})
			})
			if made.Load() != 1 {
				t.Fatalf("%d keys with number %d", made.Load(), number)
			}
		}
		keys, err := s.Read().ListSigningKeys(t.Context())
		must(t, err)
		for i, key := range keys {
			if key.Number != int64(i) {
				t.Fatalf("key %d has number %d", i, key.Number)
			}
		}
		if len(keys) != rounds {
			t.Errorf("%d keys", len(keys))
		}
	})
}
