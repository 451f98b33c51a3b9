package faults

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/financelime/authorization/test/harness"
)

// TestCancelledRequests cancels 30 % of all requests while they are in progress. Each response still belongs to its request, no connection
// or file leaks, and acknowledged writes are durable. (CVE-2025-47907: a cancelled query could return its rows to another one.)
func TestCancelledRequests(t *testing.T) {
	harness.EachEngine(t, func(t *testing.T, engine string) {
		sim := newSimulation(t, engine, 10)
		sim.thinkTime = 5 * time.Millisecond
		sim.s.Run(t)
		sim.populate(10)
		sim.cancelRate = 0.3
		log := new(results)
		sim.onResult = log.add
		var files [2]int
		for round := range files {
			ctx, cancel := context.WithTimeout(t.Context(), scaled(2500*time.Millisecond, 30*time.Second))
			sim.run(ctx)
			cancel()
			sim.s.HTTP.CloseIdleConnections()
			sim.waitIdle(engine)
			files[round] = sim.stableOpenFiles()
		}
		sim.cancelRate, sim.onResult = 0, nil
		if files[1] > files[0]+8 {
			t.Errorf("%d open files after the first round, %d after the second", files[0], files[1])
		}
		cancelled := log.since(time.Time{}, func(a result) bool { return a.err != nil })
		answered := log.since(time.Time{}, func(a result) bool { return a.err == nil })
		if cancelled == 0 || answered == 0 {
			t.Errorf("%d requests were cancelled and %d completed, want both", cancelled, answered)
		}
		sim.verifyThroughAPI()
		sim.waitForMail(time.Minute)
		sim.checkDatabase()
		if !ready(t, sim.s) {
			t.Error("not ready")
		}
		if i := strings.Index(sim.s.Log(), "request.failed"); i >= 0 {
			t.Errorf("a cancelled request is logged as a failure: %.1000s", sim.s.Log()[i:])
		}
		t.Logf("%d requests completed, %d were cancelled; open files %v", answered, cancelled, files)
	})
}

// waitIdle waits until all connections to PostgreSQL are idle, and checks that there are not more than allowed.
func (sim *simulation) waitIdle(engine string) {
	sim.t.Helper()
	if engine != harness.Postgres {
		return
	}
	const own = " FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'financelime-auth'"
	eventually(sim.t, "all connections to the database are idle", 30*time.Second, func() bool {
		return sim.s.Count(sim.t, "SELECT count(*)"+own+" AND state <> 'idle'") == 0
	})
	if n := sim.s.Count(sim.t, "SELECT count(*)"+own); n > 16 {
		sim.t.Errorf("%d connections to the database", n)
	}
}

// stableOpenFiles waits until the number of the service's open files, including sockets, is stable and returns it; 0 on systems
// without /proc.
func (sim *simulation) stableOpenFiles() int {
	sim.t.Helper()
	count := func() int {
		files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", sim.s.PID()))
		if err != nil {
			return 0
		}
		return len(files)
	}
	last, since := count(), time.Now()
	eventually(sim.t, "the number of open files is stable", time.Minute, func() bool {
		if n := count(); n != last {
			last, since = n, time.Now()
		}
		return time.Since(since) > 500*time.Millisecond
	})
	return last
}
