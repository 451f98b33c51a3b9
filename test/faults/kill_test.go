package faults

import (
	"context"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/financelime/authorization/test/harness"
)

// The process is killed again and again, at random moments under load. Whatever was acknowledged before holds after each
// start, and the service needs nobody's help.
func TestKill(t *testing.T) {
	kills := map[string]int{harness.SQLite: length(13, 1000), harness.Postgres: length(12, 1000)}
	harness.EachEngine(t, func(t *testing.T, engine string) {
		w := newWorld(t, engine, 12)
		w.s.Run(t)
		w.populate(8)
		var (
			loaded  time.Duration
			slowest time.Duration
			from    = w.answered.Load()
			inStart int
		)
		for kill := 1; kill <= kills[engine] && !t.Failed(); kill++ {
			w.setInvite(w.s.Invite(t, 1+rand.IntN(3))) // sometimes too few uses for all who come
			w.newcomer.Store(2)

			ctx, cancel := context.WithCancel(t.Context())
			stopped := make(chan struct{})
			go func() {
				defer close(stopped)
				w.live(ctx)
			}()
			under := 100*time.Millisecond + rand.N(900*time.Millisecond)
			time.Sleep(under) // the moment is random
			w.s.Kill(t)
			cancel()
			<-stopped
			loaded += under

			w.gone(engine)
			if rand.IntN(8) == 0 { // and once more, while it starts
				inStart++
				w.s.KillWhileStarting(t, rand.N(300*time.Millisecond))
				w.gone(engine)
			}
			w.s.Run(t)
			slowest = max(slowest, w.s.StartTook)
			w.check()
		}
		rate := float64(w.answered.Load()-from) / loaded.Seconds()
		w.setInvite("")
		w.verify()
		settled := w.settle(time.Minute)
		w.check()
		doubles := w.checkMails()
		t.Logf("%d kills under %.0f answers a second, %d more while starting; ready again in %s at most; %d people; settled in %s; %d mails, %d of them twice or more",
			kills[engine], rate, inStart, slowest.Round(time.Millisecond), len(w.people()), settled.Round(time.Millisecond), len(w.mails.Messages()), doubles)
		if slowest > length(30*time.Second, 5*time.Second) {
			t.Errorf("a start took %s", slowest)
		}
		if full && rate < 100 {
			t.Errorf("%.0f answers a second are less than the promised load of 100", rate)
		}
	})
}

// gone waits until nothing of the killed process is left: PostgreSQL may still be at work on its last statements.
func (w *world) gone(engine string) {
	w.t.Helper()
	if engine != harness.Postgres {
		return
	}
	eventually(w.t, "the killed process's connections are gone", time.Minute, func() bool {
		return w.s.Count(w.t, `SELECT count(*) FROM pg_stat_activity
			WHERE datname = current_database() AND application_name = 'financelime-auth'`) == 0
	})
}

// checkMails: everybody has got the mails that they were owed, one that came twice is the same twice, and each was for one
// recipient. It returns how many came more than once.
func (w *world) checkMails() (doubles int) {
	w.t.Helper()
	first := make(map[string]string)
	again := make(map[string]bool)
	for _, m := range w.mails.Messages() {
		if err := m.Err(); err != nil {
			w.complainf("%v", err)
			continue
		}
		what := m.To + " " + m.Link() + m.Password()
		if before, known := first[m.ID()]; known {
			again[m.ID()] = true
			if before != what {
				w.complainf("the mail %s was first %q, then %q", m.ID(), before, what)
			}
		}
		first[m.ID()] = what
		if m.Recipients != 1 || m.To != strings.Trim(m.Header().Get("To"), "<>") {
			w.complainf("a mail to %q for %d recipients, %q", m.To, m.Recipients, m.Header().Get("To"))
		}
	}
	for _, p := range w.people() {
		var links, passwords int
		for _, m := range mailsOf(w.mails, p.email) {
			if m.Link() != "" {
				links++
			}
			if m.Password() != "" {
				passwords++
			}
		}
		if p.signedUp == yes && links == 0 || p.confirmed == yes && passwords == 0 {
			w.complainf("%s: signed up %d, confirmed %d, but got %d links and %d passwords", p.email, p.signedUp, p.confirmed, links, passwords)
		}
	}
	return len(again)
}
