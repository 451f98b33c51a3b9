package faults

import (
	"strings"
	"testing"
	"time"

	"github.com/financelime/authorization/test/harness"
	"github.com/financelime/authorization/test/harness/smtprecorder"
)

// TestRelayRefusesEveryone lets the relay reply 451 to every recipient, for ten minutes at full length. No mail fails permanently, the service
// reports the relay as down once, and within 60 s of the recovery each mail is sent once.
func TestRelayRefusesEveryone(t *testing.T) {
	parallel(t)
	const mails = 200
	harness.EachEngine(t, func(t *testing.T, engine string) {
		sim := newSimulation(t, engine, 0, noInvites)
		sim.mails.SetPlan(func(at smtprecorder.Moment) smtprecorder.Action {
			if at.Step == smtprecorder.RCPT {
				return "451 4.7.1 try again later"
			}
			return smtprecorder.Usual
		})
		sim.s.Run(t)
		emails := make([]string, mails)
		for i := range emails {
			emails[i] = sim.signUp("refused")
		}
		time.Sleep(scaled(20*time.Second, 10*time.Minute)) // the outage
		if n := sim.queuedMails(); n != mails {
			t.Fatalf("%d mails are queued during the outage, want %d", n, mails)
		}
		if n := strings.Count(sim.s.Log(), `"mail.relay_down"`); n != 1 {
			t.Errorf("the relay was reported down %d times", n)
		}
		sim.mails.SetPlan(nil)
		took := sim.waitForMail(time.Minute)
		for _, email := range emails {
			sim.checkSMTP(email, 1)
		}
		if strings.Contains(sim.s.Log(), `"mail.dead"`) {
			t.Error("a mail failed permanently")
		}
		t.Logf("all %d mails were sent %s after the recovery", mails, took.Round(time.Millisecond))
	})
}
