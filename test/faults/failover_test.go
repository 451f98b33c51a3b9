package faults

import (
	"testing"
	"time"

	"github.com/financelime/authorization/test/harness"
	"github.com/financelime/authorization/test/postgres"
)

// failoverLimit is how long after the promotion responses may still be 503.
const failoverLimit = 10 * time.Second

// TestFailover kills the primary under load and promotes its synchronous standby. Three replicas, whose database URL names both servers,
// continue without a restart. No session and no acknowledged write is lost.
func TestFailover(t *testing.T) {
	parallel(t)
	pair := postgres.NewPair(t)
	people := scaled(8, 40)
	sim := newSimulation(t, harness.Replicas, people)
	sim.thinkTime = scaled(20*time.Millisecond, 30*time.Millisecond)
	for _, m := range sim.s.Members() {
		m.DatabaseURL = pair.URL()
		m.Env = append(m.Env, "AUTH_DATABASE_URL="+m.DatabaseURL)
	}
	harness.RunTogether(t, sim.s.Members()...)
	sim.populate(people)

	log := new(results)
	sim.onResult = log.add
	began := time.Now()
	stop := sim.runInBackground()
	defer stop()
	eventually(t, "the load has started", time.Minute, func() bool { return log.count("refresh", 200) > scaled(100, 5000) })
	rate := float64(log.between(began, time.Now())) / time.Since(began).Seconds()

	pair.KillPrimary()
	killed := time.Now()
	eventually(t, "no replica is ready", requestLimit, func() bool {
		for _, m := range sim.s.Members() {
			if ready(t, m) {
				return false
			}
		}
		return true
	})
	time.Sleep(scaled(time.Second, 5*time.Second)) // the time until the standby is promoted
	pair.Promote()
	promoted := time.Now()
	recovered := eventually(t, "requests succeed again", scaled(time.Minute, failoverLimit), func() bool {
		return log.since(promoted, func(a result) bool { return a.status == 200 && a.operation == "refresh" }) > people
	})
	time.Sleep(scaled(2*time.Second, failoverLimit)) // load after the failover
	last := log.lastUnavailable(promoted)
	stop()
	sim.verifyThroughAPI()
	sim.waitForMail(time.Minute)
	sim.checkDatabase()
	t.Logf("%.0f requests a second; promoted %s after the kill; normal %s after that, the last 503 sent %s after it",
		rate, promoted.Sub(killed).Round(time.Millisecond), recovered.Round(time.Millisecond), last.Round(time.Millisecond))
	if last > failoverLimit {
		t.Errorf("a request sent %s after the promotion got 503", last)
	}
	if full && rate < 300 {
		t.Errorf("%.0f requests a second, want at least 300", rate)
	}
}
