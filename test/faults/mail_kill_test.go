package faults

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/financelime/authorization/test/harness"
	"github.com/financelime/authorization/test/harness/smtprecorder"
)

// TestKillWithMailDue kills the process while many mails are due and some are being sent. Each mail is sent within 20 s of the kill: a lease
// ends 15 s after the kill, the poll takes up to 1 s, and the rest is for the backlog. A start that takes more than 5 s adds the excess: on
// SQLite it checks the file, for up to 15 s if the machine is busy and the file is large. No mail is lost, and only mails that were being
// sent are duplicated.
func TestKillWithMailDue(t *testing.T) {
	parallel(t)
	const (
		due      = 200
		inFlight = 8 // the number of mails that a replica sends at the same time
		within   = 20 * time.Second
		start    = 5 * time.Second // of the process, included in within
	)
	harness.EachEngine(t, func(t *testing.T, engine string) {
		sim := newSimulation(t, engine, 0, noInvites, "AUTH_MAIL_TIMEOUT=30s") // the lease does not depend on it
		slow := func(at smtprecorder.Moment) smtprecorder.Action {
			if at.Step == smtprecorder.Dot {
				time.Sleep(50*time.Millisecond + rand.N(100*time.Millisecond)) // the time of a relay
			}
			return smtprecorder.Usual
		}
		var slowest, slowestStart time.Duration
		duplicates := 0
		for kill := range scaled(1, 100) {
			sim.mails.Close()
			sim.mails.SetPlan(slow)
			sim.s.Run(t)
			emails := make([]string, due)
			for i := range emails {
				emails[i] = sim.signUp("due")
			}
			sim.s.Kill(t)
			sim.waitDisconnected(engine)
			if err := sim.mails.Open(); err != nil {
				t.Fatal(err)
			}
			sim.s.Run(t)
			eventually(t, "mails are sent", time.Minute, func() bool { return sim.mails.To(emails[0]) != nil || sim.queuedMails() < due })
			time.Sleep(rand.N(time.Second)) // the moment is random
			sim.s.Kill(t)
			killed := time.Now()
			sim.waitDisconnected(engine)
			sim.s.Run(t)
			started := time.Since(killed)
			took := sim.waitForMail(time.Minute)
			var last time.Duration // when the last mail was sent, after the kill
			for _, email := range emails {
				mails := sim.mails.To(email)
				if len(mails) == 0 || len(mails) > 2 {
					t.Fatalf("kill %d: %d mails to %s", kill, len(mails), email)
				}
				duplicates += len(mails) - 1
				last = max(last, mails[len(mails)-1].At.Sub(killed))
				sim.checkSMTP(email, len(mails))
			}
			if duplicates > inFlight*(kill+1) {
				t.Errorf("kill %d: %d duplicated mails", kill, duplicates)
			}
			if last > within+max(0, started-start) {
				t.Errorf("kill %d: started %s and sent the last mail %s after it; all mail sent in %s", kill, started, last, took)
			}
			slowest, slowestStart = max(slowest, last), max(slowestStart, started)
			sim.s.Kill(t)
			sim.waitDisconnected(engine)
		}
		t.Logf("the last mail was sent %s after a kill at most, the process started after %s at most; %d duplicated mails",
			slowest.Round(time.Millisecond), slowestStart.Round(time.Millisecond), duplicates)
	})
}

// queuedMails counts the mails that are neither recorded as sent nor permanently failed.
func (sim *simulation) queuedMails() int {
	sim.t.Helper()
	return sim.s.Count(sim.t, "SELECT count(*) FROM mail WHERE sent_at IS NULL AND dead_at IS NULL")
}
