package mail

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/password"
)

// queuePasswordAt owes a password as a click does on a replica whose clock is off by skew.
func (f *fixture) queuePasswordAt(t *testing.T, account uuid.UUID, skew time.Duration) uuid.UUID {
	t.Helper()
	now := f.Clock.Now().Add(skew)
	id := idAt(now)
	f.write(t, func(ctx context.Context, q *db.Queries) error {
		number, err := q.NextPasswordNumber(ctx, account)
		if err != nil {
			return err
		}
		return q.InsertMail(ctx, db.InsertMailParams{
			ID: id, AccountID: account, Kind: KindPassword, Nonce: password.NewNonce(f.Root), PasswordNumber: number,
			RequestID: "request-0001", Now: now, DueAt: dueAtOnce(now),
		})
	})
	return id
}

// disableAndEnable does what the commands do to an account and its mails.
func (f *fixture) disableAndEnable(t *testing.T, account uuid.UUID) {
	t.Helper()
	f.write(t, func(ctx context.Context, q *db.Queries) error {
		now := f.Clock.Now()
		_, err := q.DisableAccount(ctx, db.DisableAccountParams{Now: &now, ID: account})
		if err != nil {
			return err
		}
		_, err = q.DeleteUnsentMails(ctx, account)
		return err
	})
	f.write(t, func(ctx context.Context, q *db.Queries) error {
		_, err := q.EnableAccount(ctx, account)
		return err
	})
}

// The password that was queued last is the one that works, whatever the clocks of the replicas say that queued the two.
func TestClocksDoNotOrderPasswords(t *testing.T) {
	skews := map[string][2]time.Duration{
		"two replicas, 5 s apart":      {5 * time.Second, 0},
		"one, set back by 10 min":      {0, -10 * time.Minute},
		"one, an hour ahead, and back": {time.Hour, 0},
	}
	onBothEngines(t, func(t *testing.T, f *fixture) {
		for name, skew := range skews {
			account := f.account(t, uuid.NewString()+"@example.org", "en")
			before := len(f.out.sent())
			older := f.queuePasswordAt(t, account, skew[0])
			f.step(t)
			newer := f.queuePasswordAt(t, account, skew[1])
			f.step(t)
			f.expect(t, older, row{Sent: true, Attempts: 1})
			f.expect(t, newer, row{Sent: true, Attempts: 1})
			sent := f.out.sent()[before:]
			if f.opens(t, account, secretOf(t, sent[0], "-")) || !f.opens(t, account, secretOf(t, sent[1], "-")) {
				t.Errorf("%s: not the newer password opens the account", name)
			}
		}
	})
}

// Both mails are under way when the newer one is queued: the older one must not replace its password.
func TestClocksDoNotOrderPasswordsUnderWay(t *testing.T) {
	onBothEngines(t, func(t *testing.T, f *fixture) {
		account := f.account(t, "jane@example.org", "en")
		older := f.queuePasswordAt(t, account, 5*time.Second)
		slow, err := f.leaseAny(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		newer := f.queuePasswordAt(t, account, 0)
		f.step(t)
		f.deliver(t.Context(), t.Context(), slow)
		f.expect(t, older, row{Dead: true, Attempts: 1, LastError: "superseded"})
		f.expect(t, newer, row{Sent: true, Attempts: 1})
		f.expectRefusal(t, older, errReplaced) // nor when an operator retries it
		if sent := f.out.attempts(); len(sent) != 1 || !f.opens(t, account, secretOf(t, sent[0], "-")) {
			t.Error("not the newer password alone was sent")
		}
	})
}

// A worker stops for some time with a mail that it has leased. What happens to the mail meanwhile decides: a mail that was
// withdrawn, or that another worker has now, arms no password and is not sent.
func TestWithdrawnMailIsNotSent(t *testing.T) {
	for name, meanwhile := range map[string]func(t *testing.T, f *fixture, account, mail uuid.UUID){
		"disabled and enabled": func(t *testing.T, f *fixture, account, _ uuid.UUID) {
			t.Helper()
			f.disableAndEnable(t, account)
		},
		"disabled and enabled by the version before, which knows no numbers": func(t *testing.T, f *fixture, account, _ uuid.UUID) {
			t.Helper()
			f.write(t, func(ctx context.Context, q *db.Queries) error {
				_, err := q.DeleteUnsentMails(ctx, account)
				return err
			})
		},
		"replaced by a newer one": func(t *testing.T, f *fixture, account, _ uuid.UUID) {
			t.Helper()
			f.write(t, func(ctx context.Context, q *db.Queries) error {
				if _, err := q.NextPasswordNumber(ctx, account); err != nil {
					return err
				}
				return q.DeleteOlderPasswordMails(ctx, account)
			})
		},
		"leased by another worker": func(t *testing.T, f *fixture, _, mail uuid.UUID) {
			t.Helper()
			f.clock.Advance(leaseLength + maxClockSkew)
			if _, err := f.lease(t.Context(), mail); err != nil {
				t.Fatal(err)
			}
			f.clock.Advance(-leaseLength - maxClockSkew)
		},
		"settled by another worker": func(t *testing.T, f *fixture, _, mail uuid.UUID) {
			t.Helper()
			if _, err := f.raw.ExecContext(t.Context(), "UPDATE mail SET dead_at = due_at, nonce = NULL"); err != nil {
				t.Fatal(err, mail)
			}
		},
	} {
		for _, earlier := range []bool{false, true} { // whether an earlier attempt has armed the password
			attempt := "at the first attempt"
			if earlier {
				attempt = "at the second attempt"
			}
			t.Run(name+" "+attempt, func(t *testing.T) {
				onBothEngines(t, func(t *testing.T, f *fixture) {
					account := f.account(t, "jane@example.org", "en")
					mail := f.queuePassword(t, account)
					if earlier {
						f.out.failWith(func(context.Context, Envelope) error { return errors.New("450 greylisted") })
						f.step(t)
						f.out.failWith(nil)
						f.clock.Advance(retryMax)
					}
					attempts := len(f.out.attempts())
					stopped, err := f.leaseAny(t.Context())
					if err != nil {
						t.Fatal(err)
					}
					meanwhile(t, f, account, mail)
					before := f.readAccount(t, account)
					f.deliver(t.Context(), t.Context(), stopped)
					if n := len(f.out.attempts()); n != attempts {
						t.Error("the mail was sent")
					}
					if after := f.readAccount(t, account); (after.PendingPasswordHash == nil) != (before.PendingPasswordHash == nil) || after.PendingPasswordNumber != before.PendingPasswordNumber {
						t.Errorf("%+v\nwas\n%+v", after, before)
					}
					if f.logged("mail.lease_lost") != 1 {
						t.Errorf("log: %s", f.log)
					}
				})
			})
		}
	}
}

// A link that was withdrawn while a worker had its mail is not sent.
func TestWithdrawnLinkIsNotSent(t *testing.T) {
	onBothEngines(t, func(t *testing.T, f *fixture) {
		account := f.account(t, "jane@example.org", "en")
		f.queueLink(t, account, "password", time.Hour)
		stopped, err := f.leaseAny(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		f.write(t, func(ctx context.Context, q *db.Queries) error {
			_, err := q.DeletePasswordConfirmations(ctx, account)
			return err
		})
		f.disableAndEnable(t, account)
		f.deliver(t.Context(), t.Context(), stopped)
		if n := len(f.out.attempts()); n != 0 || f.logged("mail.lease_lost") != 1 {
			t.Errorf("%d attempts, log: %s", n, f.log)
		}
	})
}

// Mails that the version before has queued, or has armed, carry no number. They are numbered when they arm their passwords.
func TestMailsOfTheVersionBefore(t *testing.T) {
	onBothEngines(t, func(t *testing.T, f *fixture) {
		account := f.account(t, "jane@example.org", "en")
		queue := func() uuid.UUID { // as that version did
			id := uuid.Must(uuid.NewV7())
			f.write(t, func(ctx context.Context, q *db.Queries) error {
				if err := q.DeleteOlderPasswordMails(ctx, account); err != nil {
					return err
				}
				return q.InsertMail(ctx, db.InsertMailParams{
					ID: id, AccountID: account, Kind: KindPassword, Nonce: password.NewNonce(f.Root), RequestID: "request-0001",
					Now: f.Clock.Now(), DueAt: f.Clock.Now(),
				})
			})
			return id
		}
		works := func(what string, mails int) {
			t.Helper()
			sent := f.out.sent()
			if len(sent) != mails || !f.opens(t, account, secretOf(t, sent[mails-1], "-")) {
				t.Errorf("%s: %d mails were sent, or the last one does not open the account", what, len(sent))
			}
		}
		queue()
		f.step(t)
		works("a mail of the version before", 1)
		f.queuePasswordAt(t, account, -10*time.Minute)
		f.step(t)
		works("one of this version after it", 2)
		third := queue()
		f.out.failWith(func(context.Context, Envelope) error { return errors.New("450 greylisted") })
		f.step(t)
		f.out.failWith(nil)
		f.clock.Advance(retryMax)
		f.step(t)
		works("one of the version before again, at the second attempt", 3)
		if a := f.readAccount(t, account); a.LastPasswordNumber != 3 || a.PendingPasswordNumber != 3 || *a.PendingPasswordMailID != third {
			t.Errorf("%+v", a)
		}

		// The version before arms the password of a mail, and this one makes the second attempt at it.
		fourth := f.queuePassword(t, account)
		m, err := f.leaseAny(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := (&delivery{Worker: f.Worker, mail: m, log: f.Log}).settle(t.Context(), errors.New("450 greylisted")); err != nil {
			t.Fatal(err)
		}
		word, err := password.Mailed(f.Root, m.Nonce)
		if err != nil {
			t.Fatal(err)
		}
		hash, err := f.Hasher.Hash(t.Context(), word, "")
		if err != nil {
			t.Fatal(err)
		}
		f.write(t, func(ctx context.Context, q *db.Queries) error {
			_, err := q.SetPendingPassword(ctx, db.SetPendingPasswordParams{ID: account, MailID: &fourth, Number: 4, PasswordHash: &hash, ExpiresAt: new(f.Clock.Now())})
			return err
		})
		if _, err := f.raw.ExecContext(t.Context(), "UPDATE account SET pending_password_number = 3"); err != nil {
			t.Fatal(err)
		}
		f.clock.Advance(retryMax)
		f.step(t)
		works("one that the version before has armed", 4)
	})
}

// A mail that was just queued is due by every clock within an hour. A retry keeps its pause by the clock that set it: where
// another clock decides, or the clock was set back, it waits for as much longer.
func TestClocksDoNotDelayNewMails(t *testing.T) {
	onBothEngines(t, func(t *testing.T, f *fixture) {
		account := f.account(t, "jane@example.org", "en")
		for _, skew := range []time.Duration{5 * time.Second, 10 * time.Minute, 59 * time.Minute} {
			mail := f.queuePassword(t, account)
			f.clock.Advance(-skew)
			if !f.step(t) {
				t.Errorf("set back by %s: not due", skew)
			}
			f.expect(t, mail, row{Sent: true, Attempts: 1})
		}

		mail := f.queuePassword(t, account)
		f.out.failWith(func(context.Context, Envelope) error { return errors.New("450 greylisted") })
		f.step(t)
		f.out.failWith(nil)
		f.clock.Advance(-10 * time.Minute)
		if f.step(t) {
			t.Error("tried again at once")
		}
		f.clock.Advance(10*time.Minute + 2*retryMin)
		if !f.step(t) {
			t.Error("a retry waits for longer than its pause and the step of the clock")
		}
		f.expect(t, mail, row{Sent: true, Attempts: 2})
	})
}

// Mails are sent in the order in which they were queued, before those that are tried again.
func TestOrderOfTheQueue(t *testing.T) {
	onBothEngines(t, func(t *testing.T, f *fixture) {
		f.out.failWith(func(context.Context, Envelope) error { return errors.New("450 greylisted") })
		want := []uuid.UUID{f.queuePassword(t, f.account(t, "a@example.org", "en"))}
		f.step(t)
		f.out.failWith(nil)
		for _, email := range []string{"b@example.org", "c@example.org", "d@example.org"} {
			f.clock.Advance(time.Second)
			want = append(want, f.queuePassword(t, f.account(t, email, "en")))
		}
		f.clock.Advance(2 * retryMin)
		for f.step(t) {
		}
		sent := f.out.sent()
		for i, mail := range append(want[1:], want[0]) {
			if len(sent) != len(want) || sent[i].ID != mail {
				t.Errorf("mail %d of %d is not the one that was queued as such", i, len(sent))
			}
		}
		m, err := f.Store.Read().MailQueueStats(t.Context(), db.MailQueueStatsParams{Now: f.Clock.Now(), MaxRows: 10})
		if err != nil || len(m) != 0 {
			t.Errorf("%+v, %v", m, err)
		}
		f.queuePassword(t, f.account(t, "e@example.org", "en"))
		m, err = f.Store.Read().MailQueueStats(t.Context(), db.MailQueueStatsParams{Now: f.Clock.Now(), MaxRows: 10})
		if err != nil || len(m) != 1 || m[0].State != "due" || !m[0].Oldest.Equal(f.Clock.Now()) {
			t.Errorf("one mail that was just queued: %+v, %v", m, err)
		}
	})
}
