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

// enqueuePasswordAt enqueues a mail with a password on a replica whose clock differs by skew.
func (f *fixture) enqueuePasswordAt(t *testing.T, account uuid.UUID, skew time.Duration) uuid.UUID {
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
			RequestID: "request-0001", Now: now, DueAt: dueImmediately(now),
		})
	})
	return id
}

// disableAndEnable changes an account and its mails as the commands do.
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

// The password that was enqueued last is the one that works, whatever the clocks of the replicas are.
func TestClocksDoNotOrderPasswords(t *testing.T) {
	skews := map[string][2]time.Duration{
		"two replicas, 5 s apart":      {5 * time.Second, 0},
		"one, set back by 10 min":      {0, -10 * time.Minute},
		"one, an hour ahead, and back": {time.Hour, 0},
	}
	onBothEngines(t, func(t *testing.T, f *fixture) {
		for name, skew := range skews {
			account := f.account(t, uuid.NewString()+"@example.org", "en")
			before := len(f.transport.sent())
			older := f.enqueuePasswordAt(t, account, skew[0])
			f.deliverNext(t)
			newer := f.enqueuePasswordAt(t, account, skew[1])
			f.deliverNext(t)
			f.expectRow(t, older, row{Sent: true, Attempts: 1})
			f.expectRow(t, newer, row{Sent: true, Attempts: 1})
			sent := f.transport.sent()[before:]
			if f.passwordWorks(t, account, secretOf(t, sent[0], "-")) || !f.passwordWorks(t, account, secretOf(t, sent[1], "-")) {
				t.Errorf("%s: the newer password does not work, or the older one does", name)
			}
		}
	})
}

// The older mail is being sent when the newer one is enqueued: the older one must not replace its password.
func TestClocksDoNotOrderPasswordsInProgress(t *testing.T) {
	onBothEngines(t, func(t *testing.T, f *fixture) {
		account := f.account(t, "jane@example.org", "en")
		older := f.enqueuePasswordAt(t, account, 5*time.Second)
		slow, err := f.leaseNext(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		newer := f.enqueuePasswordAt(t, account, 0)
		f.deliverNext(t)
		f.deliver(t.Context(), t.Context(), slow)
		f.expectRow(t, older, row{Dead: true, Attempts: 1, LastError: "superseded"})
		f.expectRow(t, newer, row{Sent: true, Attempts: 1})
		f.expectCannotRetry(t, older, errReplaced) // not by an operator's retry either
		if sent := f.transport.attempts(); len(sent) != 1 || !f.passwordWorks(t, account, secretOf(t, sent[0], "-")) {
			t.Error("not only the newer password was sent")
		}
	})
}

// A worker is suspended with a leased mail. If the mail is withdrawn or taken over meanwhile, its password does not become pending and it is
// not sent.
func TestWithdrawnMailIsNotSent(t *testing.T) {
	for name, meanwhile := range map[string]func(t *testing.T, f *fixture, account, mail uuid.UUID){
		"disabled and enabled": func(t *testing.T, f *fixture, account, _ uuid.UUID) {
			t.Helper()
			f.disableAndEnable(t, account)
		},
		"disabled and enabled by the previous version, which has no password numbers": func(t *testing.T, f *fixture, account, _ uuid.UUID) {
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
		"completed by another worker": func(t *testing.T, f *fixture, _, mail uuid.UUID) {
			t.Helper()
			if _, err := f.raw.ExecContext(t.Context(), "UPDATE mail SET dead_at = due_at, nonce = NULL"); err != nil {
				t.Fatal(err, mail)
			}
		},
	} {
		for _, earlier := range []bool{false, true} { // whether an earlier attempt has set the pending password
			attempt := "at the first attempt"
			if earlier {
				attempt = "at the second attempt"
			}
			t.Run(name+" "+attempt, func(t *testing.T) {
				onBothEngines(t, func(t *testing.T, f *fixture) {
					account := f.account(t, "jane@example.org", "en")
					mail := f.enqueuePassword(t, account)
					if earlier {
						f.transport.failWith(func(context.Context, Envelope) error { return errors.New("450 greylisted") })
						f.deliverNext(t)
						f.transport.failWith(nil)
						f.clock.Advance(retryMax)
					}
					attempts := len(f.transport.attempts())
					suspended, err := f.leaseNext(t.Context())
					if err != nil {
						t.Fatal(err)
					}
					meanwhile(t, f, account, mail)
					before := f.readAccount(t, account)
					f.deliver(t.Context(), t.Context(), suspended)
					if n := len(f.transport.attempts()); n != attempts {
						t.Error("the mail was sent")
					}
					if after := f.readAccount(t, account); (after.PendingPasswordHash == nil) != (before.PendingPasswordHash == nil) || after.PendingPasswordNumber != before.PendingPasswordNumber {
						t.Errorf("%+v\nwas\n%+v", after, before)
					}
					if f.countLogged("mail.lease_lost") != 1 {
						t.Errorf("log: %s", f.log)
					}
				})
			})
		}
	}
}

// A link that was withdrawn after a worker leased its mail is not sent.
func TestWithdrawnLinkIsNotSent(t *testing.T) {
	onBothEngines(t, func(t *testing.T, f *fixture) {
		account := f.account(t, "jane@example.org", "en")
		f.enqueueLink(t, account, "password", time.Hour)
		suspended, err := f.leaseNext(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		f.write(t, func(ctx context.Context, q *db.Queries) error {
			_, err := q.DeletePasswordConfirmations(ctx, account)
			return err
		})
		f.disableAndEnable(t, account)
		f.deliver(t.Context(), t.Context(), suspended)
		if n := len(f.transport.attempts()); n != 0 || f.countLogged("mail.lease_lost") != 1 {
			t.Errorf("%d attempts, log: %s", n, f.log)
		}
	})
}

// Mails that the previous version has enqueued have no number. They get one when their password becomes pending.
func TestMailsOfPreviousVersion(t *testing.T) {
	onBothEngines(t, func(t *testing.T, f *fixture) {
		account := f.account(t, "jane@example.org", "en")
		enqueue := func() uuid.UUID { // as the previous version does
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
		expectWorks := func(what string, mails int) {
			t.Helper()
			sent := f.transport.sent()
			if len(sent) != mails || !f.passwordWorks(t, account, secretOf(t, sent[mails-1], "-")) {
				t.Errorf("%s: %d mails were sent, or the last one does not work", what, len(sent))
			}
		}
		enqueue()
		f.deliverNext(t)
		expectWorks("a mail of the previous version", 1)
		f.enqueuePasswordAt(t, account, -10*time.Minute)
		f.deliverNext(t)
		expectWorks("one of this version after it", 2)
		third := enqueue()
		f.transport.failWith(func(context.Context, Envelope) error { return errors.New("450 greylisted") })
		f.deliverNext(t)
		f.transport.failWith(nil)
		f.clock.Advance(retryMax)
		f.deliverNext(t)
		expectWorks("one of the previous version again, at the second attempt", 3)
		if a := f.readAccount(t, account); a.LastPasswordNumber != 3 || a.PendingPasswordNumber != 3 || *a.PendingPasswordMailID != third {
			t.Errorf("%+v", a)
		}

		// The previous version sets the pending password of a mail, and this version makes the second attempt.
		fourth := f.enqueuePassword(t, account)
		m, err := f.leaseNext(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := (&delivery{Worker: f.Worker, mail: m, log: f.Log}).complete(t.Context(), errors.New("450 greylisted")); err != nil {
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
		f.deliverNext(t)
		expectWorks("one whose password the previous version has set", 4)
	})
}

// A new mail is due by every clock that differs by less than an hour. A retry is due by the clock that scheduled it: by another clock, or if
// the clock was set back, it waits longer by the difference.
func TestClocksDoNotDelayNewMails(t *testing.T) {
	onBothEngines(t, func(t *testing.T, f *fixture) {
		account := f.account(t, "jane@example.org", "en")
		for _, skew := range []time.Duration{5 * time.Second, 10 * time.Minute, 59 * time.Minute} {
			mail := f.enqueuePassword(t, account)
			f.clock.Advance(-skew)
			if !f.deliverNext(t) {
				t.Errorf("set back by %s: not due", skew)
			}
			f.expectRow(t, mail, row{Sent: true, Attempts: 1})
		}

		mail := f.enqueuePassword(t, account)
		f.transport.failWith(func(context.Context, Envelope) error { return errors.New("450 greylisted") })
		f.deliverNext(t)
		f.transport.failWith(nil)
		f.clock.Advance(-10 * time.Minute)
		if f.deliverNext(t) {
			t.Error("retried immediately")
		}
		f.clock.Advance(10*time.Minute + 2*retryMin)
		if !f.deliverNext(t) {
			t.Error("a retry waits longer than its delay and the step of the clock")
		}
		f.expectRow(t, mail, row{Sent: true, Attempts: 2})
	})
}

// Mails are sent in the order in which they were enqueued, before retries.
func TestQueueOrder(t *testing.T) {
	onBothEngines(t, func(t *testing.T, f *fixture) {
		f.transport.failWith(func(context.Context, Envelope) error { return errors.New("450 greylisted") })
		want := []uuid.UUID{f.enqueuePassword(t, f.account(t, "a@example.org", "en"))}
		f.deliverNext(t)
		f.transport.failWith(nil)
		for _, email := range []string{"b@example.org", "c@example.org", "d@example.org"} {
			f.clock.Advance(time.Second)
			want = append(want, f.enqueuePassword(t, f.account(t, email, "en")))
		}
		f.clock.Advance(2 * retryMin)
		for f.deliverNext(t) {
		}
		sent := f.transport.sent()
		for i, mail := range append(want[1:], want[0]) {
			if len(sent) != len(want) || sent[i].ID != mail {
				t.Errorf("mail %d of %d is in the wrong order", i, len(sent))
			}
		}
		m, err := f.Store.Read().MailQueueStats(t.Context(), db.MailQueueStatsParams{Now: f.Clock.Now(), MaxRows: 10})
		if err != nil || len(m) != 0 {
			t.Errorf("%+v, %v", m, err)
		}
		f.enqueuePassword(t, f.account(t, "e@example.org", "en"))
		m, err = f.Store.Read().MailQueueStats(t.Context(), db.MailQueueStatsParams{Now: f.Clock.Now(), MaxRows: 10})
		if err != nil || len(m) != 1 || m[0].State != "due" || !m[0].Oldest.Equal(f.Clock.Now()) {
			t.Errorf("one new mail: %+v, %v", m, err)
		}
	})
}
