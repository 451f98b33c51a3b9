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

// Of all clients, 30 % hang up in the middle of their requests. Every answer still belongs to whoever asked, nothing leaks, and
// what was acknowledged holds. (CVE-2025-47907: a query that was cancelled could give its rows to another.)
func TestHangUps(t *testing.T) {
	harness.EachEngine(t, func(t *testing.T, engine string) {
		w := newWorld(t, engine, 10)
		w.think = 5 * time.Millisecond
		w.s.Run(t)
		w.populate(10)
		w.hangUp = 0.3
		log := new(answers)
		w.saw = log.add
		var files [2]int
		for storm := range files {
			ctx, cancel := context.WithTimeout(t.Context(), length(2500*time.Millisecond, 30*time.Second))
			w.live(ctx)
			cancel()
			w.s.HTTP.CloseIdleConnections()
			w.idle(engine)
			files[storm] = w.steadyFiles()
		}
		w.hangUp, w.saw = 0, nil
		if files[1] > files[0]+8 {
			t.Errorf("%d open files after one storm, %d after the second", files[0], files[1])
		}
		hungUp := log.since(time.Time{}, func(a answer) bool { return a.err != nil })
		answered := log.since(time.Time{}, func(a answer) bool { return a.err == nil })
		if hungUp == 0 || answered == 0 {
			t.Errorf("%d hung up, %d were answered: nothing was tried", hungUp, answered)
		}
		w.verify()
		w.settle(time.Minute)
		w.check()
		if !ready(t, w.s) {
			t.Error("not ready")
		}
		if i := strings.Index(w.s.Log(), "request.failed"); i >= 0 {
			t.Errorf("hanging up is logged as a defect: %.1000s", w.s.Log()[i:])
		}
		t.Logf("%d requests were answered, %d hung up; open files %v", answered, hungUp, files)
	})
}

// idle waits until no connection to PostgreSQL does anything, and checks that there are not more than the service may have.
func (w *world) idle(engine string) {
	w.t.Helper()
	if engine != harness.Postgres {
		return
	}
	const own = " FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'financelime-auth'"
	eventually(w.t, "all connections to the database are idle for a moment", 30*time.Second, func() bool {
		return w.s.Count(w.t, "SELECT count(*)"+own+" AND state <> 'idle'") == 0
	})
	if n := w.s.Count(w.t, "SELECT count(*)"+own); n > 16 {
		w.t.Errorf("%d connections to the database", n)
	}
}

// steadyFiles is the number of the service's open files, sockets among them, when it has come to rest; 0 on systems that do not
// tell.
func (w *world) steadyFiles() int {
	w.t.Helper()
	count := func() int {
		files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", w.s.PID()))
		if err != nil {
			return 0
		}
		return len(files)
	}
	last, since := count(), time.Now()
	eventually(w.t, "the number of open files is steady", time.Minute, func() bool {
		if n := count(); n != last {
			last, since = n, time.Now()
		}
		return time.Since(since) > 500*time.Millisecond
	})
	return last
}
