package mail

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/financelime/authorization/db"
)

// replying is a relay that replies to a step of every mail with line.
func replying(step, line string) func(context.Context, Envelope) error {
	return func(context.Context, Envelope) error {
		code, _, text, ok := parseReplyLine(line)
		if !ok {
			panic("not a reply: " + line)
		}
		return classify(step, fmt.Errorf("%s: %w", step, &replyError{reply{code, []string{text}}}))
	}
}

// awaitSent waits until a number of mails is sent, and returns how long that took.
func (f *fixture) awaitSent(t *testing.T, mails int, limit time.Duration) time.Duration {
	t.Helper()
	start := time.Now()
	for len(f.transport.sent()) < mails {
		if time.Since(start) > limit {
			t.Fatalf("after %s only %d of %d mails are sent", limit, len(f.transport.sent()), mails)
		}
		time.Sleep(50 * time.Millisecond)
		synctest.Wait()
	}
	return time.Since(start)
}

// A relay that refuses every recipient for ten minutes is down: it is probed, and when it works again all mails are sent within a minute.
func TestRelayRefusesEveryone(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		refuse func(context.Context, Envelope) error
		dead   int // how many mails may fail permanently before the breaker opens
	}{
		"451 at RCPT":                      {replying(stepRecipient, "451 4.7.1 later"), 0},
		"450 alone":                        {replying(stepRecipient, "450"), 0},
		"451 at the dot":                   {replying(stepMessage, "451"), 0},
		"452 4.3.1 at the dot":             {replying(stepMessage, "452 4.3.1 full"), 0},
		"530 at RCPT":                      {replying(stepRecipient, "530 5.7.0 Authentication required"), 0},
		"554 5.7.1 relay access denied":    {replying(stepRecipient, "554 5.7.1 Relay access denied"), 0},
		"550 5.7.1 at RCPT":                {replying(stepRecipient, "550 5.7.1 no"), 0},
		"554 5.7.1 at the dot":             {replying(stepMessage, "554 5.7.1 no"), refusedAll - 1},
		"550 without more":                 {replying(stepRecipient, "550 no"), refusedAll - 1},
		"the connection is cut at the dot": {func(context.Context, Envelope) error { return classify(stepMessage, context.DeadlineExceeded) }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			withFakeTime(t, func(t *testing.T, f *fixture) {
				const mails = 80
				f.transport.failWith(c.refuse)
				ids := f.enqueueMany(t, mails)
				runWorker(t, f.Worker)
				time.Sleep(10 * time.Minute)
				synctest.Wait()
				if n := len(f.transport.attempts()); n > 120 {
					t.Errorf("%d attempts in ten minutes", n)
				}
				if !f.RelayDown() || f.countLogged("mail.relay_down") != 1 || f.countLogged("mail.relay_up") != 0 {
					t.Errorf("down: %t, log: %s", f.RelayDown(), f.log)
				}
				if f.countLogged("mail.dead") > c.dead {
					t.Errorf("%d mails are dead", f.countLogged("mail.dead"))
				}
				f.transport.failWith(nil)
				took := f.awaitSent(t, mails-f.countLogged("mail.dead"), time.Minute)
				t.Logf("all sent after %s", took)
				if f.countLogged("mail.relay_down") != 1 || f.countLogged("mail.relay_up") != 1 {
					t.Errorf("log: %s", f.log)
				}
				for _, id := range ids {
					if r := f.row(t, id); r.Attempts > 3 || !r.Sent && !r.Dead {
						t.Errorf("%+v", r)
					}
				}
			})
		})
	}
}

// A single refused mail backs off. When it turns out that the relay refused every recipient, it is rescheduled after the relay is up.
func TestDelayedMailIsRescheduled(t *testing.T) {
	withFakeTime(t, func(t *testing.T, f *fixture) {
		f.transport.failWith(replying(stepRecipient, "451 later"))
		first := f.enqueueMany(t, 1)[0]
		runWorker(t, f.Worker)
		time.Sleep(9 * time.Minute)
		synctest.Wait()
		if r := f.row(t, first); r.Attempts < 5 || f.RelayDown() {
			t.Errorf("a single mail: %+v, down: %t", r, f.RelayDown())
		}
		for i := range 3 {
			f.enqueueLink(t, f.account(t, fmt.Sprintf("other%d@example.org", i), "en"), "signup", 24*time.Hour)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if !f.RelayDown() {
			t.Fatal("not down")
		}
		f.transport.failWith(nil)
		f.awaitSent(t, 4, 45*time.Second)
	})
}

// If few mails are queued, two recipients refused for some time count as every recipient; one alone does not.
func TestTwoRefusedRecipientsOpenBreaker(t *testing.T) {
	withFakeTime(t, func(t *testing.T, f *fixture) {
		f.transport.failWith(replying(stepRecipient, "451 later"))
		f.enqueueMany(t, 2)
		runWorker(t, f.Worker)
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if !f.RelayDown() || f.countLogged("mail.relay_down") != 1 {
			t.Errorf("down: %t, log: %s", f.RelayDown(), f.log)
		}
		f.transport.failWith(nil)
		f.awaitSent(t, 2, 45*time.Second)
	})
}

// A greylisted recipient is retried with backoff and delays no other mail.
func TestGreylistedRecipient(t *testing.T) {
	withFakeTime(t, func(t *testing.T, f *fixture) {
		const mails = 60
		ids := f.enqueueMany(t, mails)
		grey := map[uuid.UUID]bool{ids[10]: true, ids[30]: true}
		f.transport.failWith(func(ctx context.Context, env Envelope) error {
			if grey[env.ID] {
				return replying(stepRecipient, "450 4.2.0 greylisted")(ctx, env)
			}
			return nil
		})
		runWorker(t, f.Worker)
		f.awaitSent(t, mails-len(grey), 2*time.Second)
		for range 10 { // meanwhile, other mails are sent
			time.Sleep(30 * time.Second)
			f.enqueueLink(t, f.account(t, uuid.NewString()+"@example.org", "en"), "signup", time.Hour)
		}
		synctest.Wait()
		for id := range grey {
			if r := f.row(t, id); r.Sent || r.Attempts < 4 || r.Attempts > 8 { // delays of 5, 10, 20, 40, 80, 160 s, or up to twice as long
				t.Errorf("%+v", r)
			}
		}
		if f.countLogged("mail.relay_down") != 0 {
			t.Errorf("log: %s", f.log)
		}
		f.transport.failWith(nil)
		f.awaitSent(t, mails+10, 6*time.Minute)
	})
}

// Several greylisted recipients in a row can look like every recipient. A mail to another recipient closes the breaker.
func TestManyGreylistedRecipients(t *testing.T) {
	withFakeTime(t, func(t *testing.T, f *fixture) {
		const mails = 60
		ids := f.enqueueMany(t, mails)
		grey := map[uuid.UUID]bool{}
		for _, id := range ids[:20] {
			grey[id] = true
		}
		f.transport.failWith(func(ctx context.Context, env Envelope) error {
			if grey[env.ID] {
				return replying(stepRecipient, "450 4.2.0 greylisted")(ctx, env)
			}
			return nil
		})
		runWorker(t, f.Worker)
		f.awaitSent(t, mails-len(grey), 4*time.Minute)
	})
}

// The mails that waited for a retry because the relay refused every recipient are spread over 10 s, behind the mails that are due already.
func TestDelayedMailsAreSpread(t *testing.T) {
	onBothEngines(t, func(t *testing.T, f *fixture) {
		const mails = 20
		ids := f.enqueueMany(t, mails)
		f.transport.failWith(func(context.Context, Envelope) error { return errors.New("450 greylisted") })
		for range 5 { // so that the next delay is more than 10 s
			f.clock.Advance(time.Hour)
			for f.deliverNext(t) {
			}
		}
		f.breaker.rescheduling = make(map[uuid.UUID]bool)
		for _, id := range ids {
			f.breaker.rescheduling[id] = true
		}
		(&delivery{Worker: f.Worker}).rescheduleDelayed(t.Context())
		for after, want := range map[time.Duration][2]int{0: {0, 2}, 5 * time.Second: {1, mails - 1}, 10 * time.Second: {mails, mails}} {
			due, err := f.Store.Read().ListDueMails(t.Context(), db.ListDueMailsParams{Now: f.Clock.Now().Add(after), MaxRows: 100})
			if err != nil || len(due) < want[0] || len(due) > want[1] {
				t.Errorf("after %s, %d mails are due, want %d to %d; %v", after, len(due), want[0], want[1], err)
			}
		}
	})
}
