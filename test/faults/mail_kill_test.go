package faults

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/financelime/authorization/test/harness"
	"github.com/financelime/authorization/test/harness/smtprecorder"
)

// The process is killed while many mails are due and some are being sent. Each mail is sent within 20 s of the kill: a lease ends 15 s after
// the kill, the poll takes up to 1 s, and the rest is for the backlog. A start that takes more than 5 s adds the excess: on SQLite it checks
// the file, for up to 15 s if the machine is busy and the file is large. No mail is lost, and none that was not being sent is sent twice.
func TestKillWithMailsDue(t *testing.T) {
	beside(t)
	const (
		due      = 200
		inFlight = 8 // what a replica sends at once
		within   = 20 * time.Second
		start    = 5 * time.Second // of the process, included in within
	)
	harness.EachEngine(t, func(t *testing.T, engine string) {
		w := newWorld(t, engine, 0, noInvites, "AUTH_MAIL_TIMEOUT=30s") // the lease does not depend on it
		slow := func(at smtprecorder.Moment) smtprecorder.Action {
			if at.Step == smtprecorder.Dot {
				time.Sleep(50*time.Millisecond + rand.N(100*time.Millisecond)) // what a relay takes
			}
			return smtprecorder.Usual
		}
		var slowest, slowestStart time.Duration
		doubles := 0
		for kill := range length(1, 100) {
			w.mails.Close()
			w.mails.SetPlan(slow)
			w.s.Run(t)
			emails := make([]string, due)
			for i := range emails {
				emails[i] = w.signUp("due")
			}
			w.s.Kill(t)
			w.gone(engine)
			if err := w.mails.Open(); err != nil {
				t.Fatal(err)
			}
			w.s.Run(t)
			eventually(t, "the mails leave", time.Minute, func() bool { return w.mails.To(emails[0]) != nil || w.owed() < due })
			time.Sleep(rand.N(time.Second)) // the moment is random
			w.s.Kill(t)
			killed := time.Now()
			w.gone(engine)
			w.s.Run(t)
			started := time.Since(killed)
			took := w.settle(time.Minute)
			var last time.Duration // when the last mail was sent, after the kill
			for _, email := range emails {
				mails := w.mails.To(email)
				if len(mails) == 0 || len(mails) > 2 {
					t.Fatalf("kill %d: %d mails to %s", kill, len(mails), email)
				}
				doubles += len(mails) - 1
				last = max(last, mails[len(mails)-1].At.Sub(killed))
				w.checkWire(email, len(mails))
			}
			if doubles > inFlight*(kill+1) {
				t.Errorf("kill %d: %d mails came twice", kill, doubles)
			}
			if last > within+max(0, started-start) {
				t.Errorf("kill %d: started %s and sent the last mail %s after it; settled in %s", kill, started, last, took)
			}
			slowest, slowestStart = max(slowest, last), max(slowestStart, started)
			w.s.Kill(t)
			w.gone(engine)
		}
		t.Logf("the last mail was sent %s after a kill at most, the process started after %s at most; %d mails were sent twice",
			slowest.Round(time.Millisecond), slowestStart.Round(time.Millisecond), doubles)
	})
}

// owed counts the mails that are not recorded as sent.
func (w *world) owed() int {
	w.t.Helper()
	return w.s.Count(w.t, "SELECT count(*) FROM mail WHERE sent_at IS NULL AND dead_at IS NULL")
}
