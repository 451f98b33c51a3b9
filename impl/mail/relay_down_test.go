package mail

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/financelime/authorization/db"
)

// While the relay is down, few attempts are made and none is counted. When it is up, all mails are sent soon.
func TestRelayDown(t *testing.T) {
	withFakeTime(t, func(t *testing.T, f *fixture) {
		const mails = 100
		f.transport.failWith(unreachable)
		ids := f.enqueueMany(t, mails)
		stop := runWorker(t, f.Worker)

		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if n := len(f.transport.attempts()); n < 40 || n > 100 {
			t.Errorf("%d attempts in 10 minutes", n)
		}
		if f.countLogged("mail.relay_down") != 1 || f.countLogged("mail.relay_up") != 0 || f.countLogged("mail.retried") != 0 {
			t.Errorf("log: %s", f.log)
		}
		for _, id := range ids { // no attempt is counted
			r := f.row(t, id)
			if want := (row{LastError: r.LastError}); r != want {
				t.Fatalf("%+v", r)
			}
		}
		if r := f.row(t, ids[0]); r.LastError != "connect to the mail relay: connection refused" {
			t.Errorf("the probe: %+v", r)
		}
		tried := len(f.transport.attempts())
		f.transport.failWith(nil)
		back := time.Now()
		for len(f.transport.sent()) < mails {
			time.Sleep(time.Millisecond)
			synctest.Wait()
		}
		if took := time.Since(back); took > probeMax+time.Second {
			t.Errorf("the last mail was sent after %s", took)
		}
		stop()
		if len(f.transport.attempts()) != tried+mails || f.countLogged("mail.relay_up") != 1 || f.countLogged("mail.relay_down") != 1 {
			t.Errorf("%d attempts, log: %s", len(f.transport.attempts()), f.log)
		}
		// The oldest are sent first; the order is not exact, because several are sent at the same time.
		for _, env := range f.transport.sent()[:mails/4] {
			if place := slices.Index(ids, env.ID); place > mails/2 {
				t.Errorf("the mail %d was among the first", place)
			}
		}
		for _, id := range ids {
			f.expectRow(t, id, row{Sent: true, Attempts: 1})
		}
	})
}

// A mail that makes the relay close the connection at each attempt does not delay the others.
func TestMailThatLooksLikeAnOutage(t *testing.T) {
	withFakeTime(t, func(t *testing.T, f *fixture) {
		const mails = 50
		ids := f.enqueueMany(t, mails)
		f.transport.failWith(func(_ context.Context, env Envelope) error {
			if env.ID == ids[0] {
				return &RelayError{Err: errors.New("RCPT TO: 421 bye"), AfterRecipient: true}
			}
			return nil
		})
		runWorker(t, f.Worker)
		start := time.Now()
		for len(f.transport.sent()) < mails-1 && time.Since(start) < time.Minute {
			time.Sleep(10 * time.Millisecond)
			synctest.Wait()
		}
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("the others took %s", took)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		attempts := 0
		for _, env := range f.transport.attempts() {
			if env.ID == ids[0] {
				attempts++
			}
		}
		if attempts < 200 || attempts > 600 {
			t.Errorf("%d attempts in an hour", attempts)
		}
		f.expectRow(t, ids[0], row{LastError: "RCPT TO: 421 bye"})
	})
}

// After an outage of more than a day, each mail that was never tried is tried once.
func TestOutageLongerThanADay(t *testing.T) {
	onBothEngines(t, func(t *testing.T, f *fixture) {
		probe := f.enqueuePassword(t, f.account(t, "a@example.org", "en"))
		f.clock.Advance(time.Second)
		other := f.enqueuePassword(t, f.account(t, "b@example.org", "en"))
		f.clock.Advance(giveUpAfter + time.Hour)
		f.transport.failWith(unreachable)
		f.deliverNext(t)
		f.expectRow(t, probe, row{Dead: true, Attempts: 1, LastError: "connect to the mail relay: connection refused"})
		f.transport.failWith(nil)
		f.deliverNext(t)
		f.expectRow(t, other, row{Sent: true, Attempts: 1})
	})
}

// A busy password hasher is a problem of neither the relay nor the mail.
func TestBusyHashingDoesNotCount(t *testing.T) {
	onBothEngines(t, func(t *testing.T, f *fixture) {
		mailID := f.enqueuePassword(t, f.account(t, "jane@example.org", "en"))
		m, err := f.leaseNext(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		d := &delivery{Worker: f.Worker, mail: m, log: f.Log}
		if err := d.complete(t.Context(), fmt.Errorf("hash the password: %w", busyError{})); err != nil {
			t.Fatal(err)
		}
		f.expectRow(t, mailID, row{Nonce: true, LastError: "hash the password: busy"})
		if f.deliverNext(t) {
			t.Error("retried immediately")
		}
		f.clock.Advance(2 * time.Second)
		if !f.deliverNext(t) {
			t.Error("not retried soon")
		}
		f.expectRow(t, mailID, row{Sent: true, Attempts: 1})
	})
}

// Shutdown is fast while the relay is down.
func TestShutdownWhileRelayIsDown(t *testing.T) {
	withFakeTime(t, func(t *testing.T, f *fixture) {
		f.transport.failWith(unreachable)
		ids := f.enqueueMany(t, 20)
		stop := runWorker(t, f.Worker)
		time.Sleep(time.Minute)
		synctest.Wait()
		start := time.Now()
		stop()
		if took := time.Since(start); took > time.Second {
			t.Errorf("took %s", took)
		}
		due, err := f.Store.Read().ListDueMails(t.Context(), db.ListDueMailsParams{Now: time.Now(), MaxRows: 100})
		if err != nil || len(due) != 20 || due[0] != ids[0] {
			t.Errorf("%d mails are due, %v", len(due), err)
		}
	})
}
