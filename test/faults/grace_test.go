package faults

import (
	"context"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/financelime/authorization/test/harness"
)

// rotation is a refresh token that another one has replaced.
type rotation struct{ replaced, successor string }

// rotate refreshes somebody's session.
func (p *person) rotate() rotation {
	s := p.live()[0]
	r := rotation{replaced: s.refresh}
	p.refreshUntilAnswered(p.w.t.Context(), s)
	r.successor = s.refresh
	return r
}

// repeats reports whether a replica gives the same successor again. Anything else but a refusal is an error.
func (r rotation) repeats(t *testing.T, s *harness.Service) bool {
	t.Helper()
	status, successor := refreshAt(t, s, r.replaced)
	if status != http.StatusNotFound && (status != http.StatusOK || successor != r.successor) {
		t.Errorf("a replaced token: %d, another successor: %t", status, successor != r.successor)
	}
	return status == http.StatusOK
}

func last(members []*harness.Service) *harness.Service { return members[len(members)-1] }

// A token whose grace is over stays useless, whatever comes afterwards: an orderly restart, a crash, a probe or callers who had too
// little time for the database.
func TestNothingRevivesAReplacedToken(t *testing.T) {
	beside(t)
	const grace = 2 * time.Second
	faults := map[string]func(t *testing.T, w *world, away func(bool)){
		"restart": func(t *testing.T, w *world, _ func(bool)) {
			for _, m := range w.s.Members() {
				m.Signal(t, syscall.SIGTERM)
				if err := m.WaitExit(t, stopLimit); err != nil {
					t.Error(err)
				}
				m.Run(t)
			}
		},
		"crash": func(t *testing.T, w *world, _ func(bool)) {
			for _, m := range w.s.Members() {
				m.Kill(t)
			}
			for _, m := range w.s.Members() {
				m.Run(t)
			}
		},
		"deadline of readyz": func(t *testing.T, w *world, away func(bool)) {
			away(true)
			eventually(t, "not ready", 10*time.Second, func() bool { return !ready(t, w.s) })
			away(false)
			eventually(t, "ready", 30*time.Second, func() bool { return ready(t, w.s) })
		},
		"callers who leave": func(t *testing.T, w *world, _ func(bool)) {
			w.hangUp = 1
			for _, p := range w.people()[1:] {
				for range 30 {
					p.putRefresh(t.Context(), p.live()[0].refresh)
				}
			}
			w.hangUp = 0
			time.Sleep(2 * time.Second) // what they asked for is done, or not
		},
	}
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			beside(t)
			harness.EachWay(t, func(t *testing.T, engine string) {
				w := newWorld(t, engine, 2, "AUTH_REFRESH_GRACE="+grace.String())
				away := databaseAway(t, w)
				harness.RunTogether(t, w.s.Members()...)
				w.populate(2)
				p := w.people()[0]
				old := p.rotate()
				other := p.live()[0].refresh
				time.Sleep(grace + 3*time.Second) // since the refresh, which is over
				fault(t, w, away)
				if old.repeats(t, last(w.s.Members())) {
					t.Error("a token that was replaced more than a grace ago is good again")
				}
				if status, _ := refreshAt(t, w.s, other); status != http.StatusNotFound {
					t.Errorf("the session of the replayed token: %d", status)
				}
			})
		})
	}
}

// databaseAway returns what takes the database away from all replicas, and brings it back: PostgreSQL does not answer, or somebody
// has SQLite's lock. It is called before they start.
func databaseAway(t *testing.T, w *world) func(bool) {
	t.Helper()
	if strings.HasPrefix(w.s.DatabaseURL, "sqlite:") {
		var release func()
		return func(away bool) {
			if !away {
				release()
				return
			}
			conn, err := w.s.DB(t).Conn(t.Context())
			if err == nil {
				_, err = conn.ExecContext(t.Context(), "BEGIN IMMEDIATE")
			}
			if err != nil {
				t.Fatal(err)
			}
			release = func() {
				if _, err := conn.ExecContext(context.WithoutCancel(t.Context()), "ROLLBACK"); err != nil {
					t.Error(err)
				}
				_ = conn.Close()
			}
		}
	}
	p, through := newProxy(t, w.s.DatabaseURL)
	for _, m := range w.s.Members() {
		m.Env = append(m.Env, "AUTH_DATABASE_URL="+through)
	}
	return func(away bool) {
		if away {
			p.set(blackHole)
		} else {
			p.set(pass)
		}
	}
}

// An answer that an outage may have swallowed is given again, for a grace after the outage, and no longer.
func TestAnOutageSwallowsNoAnswer(t *testing.T) {
	beside(t)
	const grace = 10 * time.Second // it counts from the first start, and the last replica is asked within it
	faults := map[string]func(t *testing.T, w *world, away func(bool), ask func(*harness.Service)){
		"all replicas are killed, and start one after another": func(t *testing.T, w *world, _ func(bool), ask func(*harness.Service)) {
			for _, m := range w.s.Members() {
				m.Kill(t)
			}
			time.Sleep(grace + time.Second) // away for longer than the grace
			for _, m := range w.s.Members() {
				m.Run(t)
				ask(m)
			}
		},
		"the database is away": func(_ *testing.T, w *world, away func(bool), ask func(*harness.Service)) {
			away(true)
			time.Sleep(grace + 4*beat)
			away(false)
			for _, m := range w.s.Members() {
				ask(m)
			}
		},
	}
	for name, fault := range faults {
		for _, idle := range []bool{false, true} {
			if idle {
				name += ", just after a pause"
			}
			t.Run(name, func(t *testing.T) {
				beside(t)
				harness.EachWay(t, func(t *testing.T, engine string) {
					w := newWorld(t, engine, 1, "AUTH_REFRESH_GRACE="+grace.String())
					away := databaseAway(t, w)
					harness.RunTogether(t, w.s.Members()...)
					w.populate(1)
					if idle {
						time.Sleep(grace + 7*time.Second) // until no beat is written any more
					}
					swallowed := w.people()[0].rotate()
					fault(t, w, away, func(m *harness.Service) {
						if !swallowed.repeats(t, m) {
							t.Fatal("the session has ended")
						}
					})
					time.Sleep(grace + 2*beat) // after the end of the outage
					if swallowed.repeats(t, last(w.s.Members())) {
						t.Error("later than a grace after the outage the replaced token is still good")
					}
				})
			})
		}
	}
}

// beat is how often the service looks whether there is an outage.
const beat = time.Second

// Of three replicas one is killed. The service was never away: a replaced token is good for its grace, and not for longer.
func TestOneReplicaIsNotTheService(t *testing.T) {
	beside(t)
	const grace = 4 * time.Second
	w := newWorld(t, harness.Replicas, 2, "AUTH_REFRESH_GRACE="+grace.String())
	members := w.s.Members()
	harness.RunTogether(t, members...)
	w.populate(2)
	time.Sleep(grace + 7*time.Second) // until no beat is written any more
	first, second := w.people()[0], w.people()[1]
	s := first.live()[0]
	status, successor := refreshAt(t, members[0], s.refresh)
	killed := rotation{s.refresh, successor}
	members[0].Kill(t)
	if status != http.StatusOK || !killed.repeats(t, members[1]) || !killed.repeats(t, members[2]) {
		t.Error("the others do not give the same successor")
	}
	token := second.live()[0].refresh
	status, successor = refreshAt(t, members[1], token)
	lived := rotation{token, successor}
	time.Sleep(grace + 2*beat) // since both rotations
	members[0].Run(t)
	if status != http.StatusOK || lived.repeats(t, members[0]) || killed.repeats(t, members[0]) {
		t.Error("a replica that starts beside others revives a replaced token")
	}
}
