package faults

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/financelime/authorization/test/harness"
)

// TestKill kills the process many times, at random moments under load. Acknowledged writes are durable after each start, and the service
// recovers without an operator.
func TestKill(t *testing.T) {
	kills := map[string]int{harness.SQLite: scaled(13, 1000), harness.Postgres: scaled(12, 1000)}
	harness.EachEngine(t, func(t *testing.T, engine string) {
		sim := newSimulation(t, engine, 12)
		sim.s.Run(t)
		sim.populate(8)
		var (
			loaded  time.Duration
			slowest time.Duration
			from    = sim.answered.Load()
			inStart int
		)
		for kill := 1; kill <= kills[engine] && !t.Failed(); kill++ {
			sim.setInvite(sim.s.Invite(t, 1+rand.IntN(3))) // sometimes too few uses for all new people
			sim.newcomers.Store(2)

			stop := sim.runInBackground()
			under := 100*time.Millisecond + rand.N(900*time.Millisecond)
			time.Sleep(under) // the moment is random
			sim.s.Kill(t)
			stop()
			loaded += under

			sim.waitDisconnected(engine)
			if rand.IntN(8) == 0 { // a second kill, while it starts
				inStart++
				sim.s.KillWhileStarting(t, rand.N(300*time.Millisecond))
				sim.waitDisconnected(engine)
			}
			sim.s.Run(t)
			slowest = max(slowest, sim.s.StartTook)
			sim.checkDatabase()
		}
		rate := float64(sim.answered.Load()-from) / loaded.Seconds()
		sim.setInvite("")
		sim.verifyThroughAPI()
		drained := sim.waitForMail(time.Minute)
		sim.checkDatabase()
		duplicates := sim.checkReceivedMails()
		t.Logf("%d kills under %.0f responses a second, %d more while starting; ready again within %s; %d people; all mail sent in %s; %d mails, %d of them duplicated",
			kills[engine], rate, inStart, slowest.Round(time.Millisecond), len(sim.people()), drained.Round(time.Millisecond), len(sim.mails.Messages()), duplicates)
		if slowest > scaled(30*time.Second, 5*time.Second) {
			t.Errorf("a start took %s", slowest)
		}
		if full && rate < 100 {
			t.Errorf("%.0f responses a second, want at least 100", rate)
		}
	})
}

// waitDisconnected waits until PostgreSQL has ended the connections of the killed process. It may still execute their last statements.
func (sim *simulation) waitDisconnected(engine string) {
	sim.t.Helper()
	if engine != harness.Postgres {
		return
	}
	eventually(sim.t, "the killed process's connections are gone", time.Minute, func() bool {
		return sim.s.Count(sim.t, `SELECT count(*) FROM pg_stat_activity
			WHERE datname = current_database() AND application_name = 'financelime-auth'`) == 0
	})
}

// checkReceivedMails checks that all acknowledged mails were received, that duplicates are identical, and that each mail has one
// recipient. It returns how many mails were duplicated.
func (sim *simulation) checkReceivedMails() (duplicates int) {
	sim.t.Helper()
	first := make(map[string]string)
	again := make(map[string]bool)
	for _, m := range sim.mails.Messages() {
		if err := m.Err(); err != nil {
			sim.errorf("%v", err)
			continue
		}
		what := m.To + " " + m.Link() + m.Password()
		if before, known := first[m.ID()]; known {
			again[m.ID()] = true
			if before != what {
				sim.errorf("the mail %s was first %q, then %q", m.ID(), before, what)
			}
		}
		first[m.ID()] = what
		if m.Recipients != 1 || m.To != strings.Trim(m.Header().Get("To"), "<>") {
			sim.errorf("a mail to %q for %d recipients, %q", m.To, m.Recipients, m.Header().Get("To"))
		}
	}
	for _, p := range sim.people() {
		var links, passwords int
		for _, m := range mailsOf(sim.mails, p.email) {
			if m.Link() != "" {
				links++
			}
			if m.Password() != "" {
				passwords++
			}
		}
		if p.signedUp == yes && links == 0 || p.confirmed == yes && passwords == 0 {
			sim.errorf("%s: signed up %d, confirmed %d, but received %d links and %d passwords", p.email, p.signedUp, p.confirmed, links, passwords)
		}
	}
	return len(again)
}
