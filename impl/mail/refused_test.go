package mail

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
)

// says is a relay that answers the recipient of every mail, or the message, with that line.
func says(step, line string) func(context.Context, Envelope) error {
	return func(context.Context, Envelope) error {
		code, _, text, ok := parseReplyLine(line)
		if !ok {
			panic("not a reply: " + line)
		}
		return classify(step, fmt.Errorf("%s: %w", step, &replyError{reply{code, []string{text}}}))
	}
}

// awaitSent waits until that many mails were sent, and says for how long.
func (f *fixture) awaitSent(t *testing.T, mails int, limit time.Duration) time.Duration {
	t.Helper()
	start := time.Now()
	for len(f.out.sent()) < mails {
		if time.Since(start) > limit {
			t.Fatalf("after %s only %d of %d mails are sent", limit, len(f.out.sent()), mails)
		}
		time.Sleep(50 * time.Millisecond)
		synctest.Wait()
	}
	return time.Since(start)
}

// A relay that refuses everybody for ten minutes is in trouble: it is asked now and then, and when it works again all mails leave
// within a minute.
func TestRelayThatRefusesEverybody(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		refuse func(context.Context, Envelope) error
		die    int // so many mails at most, before it is clear that everybody gets it
	}{
		"451 at RCPT":                      {says(stepRecipient, "451 4.7.1 later"), 0},
		"450 alone":                        {says(stepRecipient, "450"), 0},
		"451 at the dot":                   {says(stepMessage, "451"), 0},
		"452 4.3.1 at the dot":             {says(stepMessage, "452 4.3.1 full"), 0},
		"530 at RCPT":                      {says(stepRecipient, "530 5.7.0 Authentication required"), 0},
		"554 5.7.1 relay access denied":    {says(stepRecipient, "554 5.7.1 Relay access denied"), 0},
		"550 5.7.1 at RCPT":                {says(stepRecipient, "550 5.7.1 no"), 0},
		"554 5.7.1 at the dot":             {says(stepMessage, "554 5.7.1 no"), refusedAll - 1},
		"550 without more":                 {says(stepRecipient, "550 no"), refusedAll - 1},
		"the connection is cut at the dot": {func(context.Context, Envelope) error { return classify(stepMessage, context.DeadlineExceeded) }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			inABubble(t, func(t *testing.T, f *fixture) {
				const mails = 80
				f.out.failWith(c.refuse)
				ids := f.queueMany(t, mails)
				running(t, f.Worker)
				time.Sleep(10 * time.Minute)
				synctest.Wait()
				if n := len(f.out.attempts()); n > 120 {
					t.Errorf("%d attempts in ten minutes", n)
				}
				if !f.RelayDown() || f.logged("mail.relay_down") != 1 || f.logged("mail.relay_up") != 0 {
					t.Errorf("down: %t, log: %s", f.RelayDown(), f.log)
				}
				if f.logged("mail.dead") > c.die {
					t.Errorf("%d mails are dead", f.logged("mail.dead"))
				}
				f.out.failWith(nil)
				took := f.awaitSent(t, mails-f.logged("mail.dead"), time.Minute)
				t.Logf("all sent after %s", took)
				if f.logged("mail.relay_down") != 1 || f.logged("mail.relay_up") != 1 {
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

// A mail that was alone with its relay, and so has waited longer and longer, need not wait on when it turns out that everybody was
// refused.
func TestMailThatWaitsLongestIsHurried(t *testing.T) {
	inABubble(t, func(t *testing.T, f *fixture) {
		f.out.failWith(says(stepRecipient, "451 later"))
		first := f.queueMany(t, 1)[0]
		running(t, f.Worker)
		time.Sleep(9 * time.Minute)
		synctest.Wait()
		if r := f.row(t, first); r.Attempts < 5 || f.RelayDown() {
			t.Errorf("a single mail: %+v, down: %t", r, f.RelayDown())
		}
		for i := range 3 {
			f.queueLink(t, f.account(t, fmt.Sprintf("other%d@example.org", i), "en"), "signup", 24*time.Hour)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if !f.RelayDown() {
			t.Fatal("not down")
		}
		f.out.failWith(nil)
		f.awaitSent(t, 4, 45*time.Second)
	})
}

// Where there are few mails, two recipients who were refused for long are everybody; and one alone is not.
func TestFewMails(t *testing.T) {
	inABubble(t, func(t *testing.T, f *fixture) {
		f.out.failWith(says(stepRecipient, "451 later"))
		f.queueMany(t, 2)
		running(t, f.Worker)
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if !f.RelayDown() || f.logged("mail.relay_down") != 1 {
			t.Errorf("down: %t, log: %s", f.RelayDown(), f.log)
		}
		f.out.failWith(nil)
		f.awaitSent(t, 2, 45*time.Second)
	})
}

// A recipient who is greylisted waits after pauses of their own, and delays nobody.
func TestGreylistedRecipient(t *testing.T) {
	inABubble(t, func(t *testing.T, f *fixture) {
		const mails = 60
		ids := f.queueMany(t, mails)
		grey := map[uuid.UUID]bool{ids[10]: true, ids[30]: true}
		f.out.failWith(func(ctx context.Context, env Envelope) error {
			if grey[env.ID] {
				return says(stepRecipient, "450 4.2.0 greylisted")(ctx, env)
			}
			return nil
		})
		running(t, f.Worker)
		f.awaitSent(t, mails-len(grey), 2*time.Second)
		for range 10 { // others go on all the time
			time.Sleep(30 * time.Second)
			f.queueLink(t, f.account(t, uuid.NewString()+"@example.org", "en"), "signup", time.Hour)
		}
		synctest.Wait()
		for id := range grey {
			if r := f.row(t, id); r.Sent || r.Attempts < 4 || r.Attempts > 8 { // 5, 10, 20, 40, 80, 160 s, or up to twice as long
				t.Errorf("%+v", r)
			}
		}
		if f.logged("mail.relay_down") != 0 {
			t.Errorf("log: %s", f.log)
		}
		f.out.failWith(nil)
		f.awaitSent(t, mails+10, 6*time.Minute)
	})
}

// Recipients who are greylisted one after the other may look like everybody. A mail to somebody else clears that up at once.
func TestManyGreylistedRecipients(t *testing.T) {
	inABubble(t, func(t *testing.T, f *fixture) {
		const mails = 60
		ids := f.queueMany(t, mails)
		grey := map[uuid.UUID]bool{}
		for _, id := range ids[:20] {
			grey[id] = true
		}
		f.out.failWith(func(ctx context.Context, env Envelope) error {
			if grey[env.ID] {
				return says(stepRecipient, "450 4.2.0 greylisted")(ctx, env)
			}
			return nil
		})
		running(t, f.Worker)
		f.awaitSent(t, mails-len(grey), 4*time.Minute)
	})
}
