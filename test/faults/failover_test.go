package faults

import (
	"context"
	"testing"
	"time"

	"github.com/financelime/authorization/test/harness"
	"github.com/financelime/authorization/test/postgres"
)

// failoverLimit is how long after the promotion somebody may still be told that the database is away.
const failoverLimit = 10 * time.Second

// The primary is killed under load and its synchronous standby promoted. Three replicas, which know both by their URL, go on
// without a restart; nobody loses a session or anything that was acknowledged.
func TestFailover(t *testing.T) {
	beside(t)
	pair := postgres.NewPair(t)
	people := length(8, 40)
	w := newWorld(t, harness.Replicas, people)
	w.think = length(20*time.Millisecond, 30*time.Millisecond)
	for _, m := range w.s.Members() {
		m.DatabaseURL = pair.URL()
		m.Env = append(m.Env, "AUTH_DATABASE_URL="+m.DatabaseURL)
	}
	harness.RunTogether(t, w.s.Members()...)
	w.populate(people)

	log := new(answers)
	w.saw = log.add
	ctx, cancel := context.WithCancel(t.Context())
	stopped := make(chan struct{})
	began := time.Now()
	go func() {
		defer close(stopped)
		w.live(ctx)
	}()
	defer func() { cancel(); <-stopped }()
	eventually(t, "the load is there", time.Minute, func() bool { return log.count("refresh", 200) > length(100, 5000) })
	rate := float64(log.between(began, time.Now())) / time.Since(began).Seconds()

	pair.KillPrimary()
	killed := time.Now()
	eventually(t, "no replica is ready", requestLimit, func() bool {
		for _, m := range w.s.Members() {
			if ready(t, m) {
				return false
			}
		}
		return true
	})
	time.Sleep(length(time.Second, 5*time.Second)) // until somebody promotes the standby
	pair.Promote()
	promoted := time.Now()
	normal := eventually(t, "everybody is answered again", length(time.Minute, failoverLimit), func() bool {
		return log.since(promoted, func(a answer) bool { return a.status == 200 && a.operation == "refresh" }) > people
	})
	time.Sleep(length(2*time.Second, failoverLimit)) // the load afterwards
	last := log.lastUnavailable(promoted)
	cancel()
	<-stopped
	w.verify()
	w.settle(time.Minute)
	w.check()
	t.Logf("%.0f requests a second; promoted %s after the kill; normal %s after that, the last 503 sent %s after it",
		rate, promoted.Sub(killed).Round(time.Millisecond), normal.Round(time.Millisecond), last.Round(time.Millisecond))
	if last > failoverLimit {
		t.Errorf("a request sent %s after the promotion was answered 503", last)
	}
	if full && rate < 300 {
		t.Errorf("%.0f requests a second are less than the promised load of 300", rate)
	}
}
