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

// rotation is a refresh token and the token that has replaced it.
type rotation struct{ replaced, successor string }

// rotate refreshes the person's session.
func (p *person) rotate() rotation {
	s := p.activeSessions()[0]
	r := rotation{replaced: s.refresh}
	p.refreshUntilAnswered(p.sim.t.Context(), s)
	r.successor = s.refresh
	return r
}

// repeats reports whether a replica returns the same successor for the replaced token. The only other valid response is 404.
func (r rotation) repeats(t *testing.T, s *harness.Service) bool {
	t.Helper()
	status, successor := refreshAt(t, s, r.replaced)
	if status != http.StatusNotFound && (status != http.StatusOK || successor != r.successor) {
		t.Errorf("a replaced token: %d, another successor: %t", status, successor != r.successor)
	}
	return status == http.StatusOK
}

func lastReplica(members []*harness.Service) *harness.Service { return members[len(members)-1] }

// TestReplacedTokenStaysInvalid checks that a replaced token stays invalid after its grace period: also after a restart, a crash, a
// failed readiness probe and cancelled requests.
func TestReplacedTokenStaysInvalid(t *testing.T) {
	parallel(t)
	const grace = 2 * time.Second
	faults := map[string]func(t *testing.T, sim *simulation, setOutage func(bool)){
		"restart": func(t *testing.T, sim *simulation, _ func(bool)) {
			for _, m := range sim.s.Members() {
				m.Signal(t, syscall.SIGTERM)
				if err := m.WaitExit(t, stopLimit); err != nil {
					t.Error(err)
				}
				m.Run(t)
			}
		},
		"crash": func(t *testing.T, sim *simulation, _ func(bool)) {
			for _, m := range sim.s.Members() {
				m.Kill(t)
			}
			for _, m := range sim.s.Members() {
				m.Run(t)
			}
		},
		"deadline of readyz": func(t *testing.T, sim *simulation, setOutage func(bool)) {
			setOutage(true)
			eventually(t, "not ready", 10*time.Second, func() bool { return !ready(t, sim.s) })
			setOutage(false)
			eventually(t, "ready", 30*time.Second, func() bool { return ready(t, sim.s) })
		},
		"cancelled requests": func(t *testing.T, sim *simulation, _ func(bool)) {
			sim.cancelRate = 1
			for _, p := range sim.people()[1:] {
				for range 30 {
					p.putRefresh(t.Context(), p.activeSessions()[0].refresh)
				}
			}
			sim.cancelRate = 0
			time.Sleep(2 * time.Second) // until the cancelled requests have ended in the service
		},
	}
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			parallel(t)
			harness.EachWay(t, func(t *testing.T, engine string) {
				sim := newSimulation(t, engine, 2, "AUTH_REFRESH_GRACE="+grace.String())
				setOutage := databaseOutage(t, sim)
				harness.RunTogether(t, sim.s.Members()...)
				sim.populate(2)
				p := sim.people()[0]
				old := p.rotate()
				other := p.activeSessions()[0].refresh
				time.Sleep(grace + 3*time.Second) // after the refresh
				fault(t, sim, setOutage)
				if old.repeats(t, lastReplica(sim.s.Members())) {
					t.Error("a token is valid again after its grace period")
				}
				if status, _ := refreshAt(t, sim.s, other); status != http.StatusNotFound {
					t.Errorf("the session of the replayed token: %d", status)
				}
			})
		})
	}
}

// databaseOutage returns a function that starts and ends an outage of the database for all replicas: PostgreSQL does not respond, or
// another connection holds SQLite's write lock. Call databaseOutage before the replicas start.
func databaseOutage(t *testing.T, sim *simulation) func(bool) {
	t.Helper()
	if strings.HasPrefix(sim.s.DatabaseURL, "sqlite:") {
		var release func()
		return func(outage bool) {
			if !outage {
				release()
				return
			}
			conn, err := sim.s.DB(t).Conn(t.Context())
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
	p, through := newProxy(t, sim.s.DatabaseURL)
	for _, m := range sim.s.Members() {
		m.Env = append(m.Env, "AUTH_DATABASE_URL="+through)
	}
	return func(outage bool) {
		if outage {
			p.set(blackHole)
		} else {
			p.set(pass)
		}
	}
}

// TestOutageExtendsGrace checks that a refresh whose response may have been lost in an outage can be repeated until one grace period after
// the outage, and not longer.
func TestOutageExtendsGrace(t *testing.T) {
	parallel(t)
	const grace = 10 * time.Second // it starts with the first replica, and must include the request to the last one
	faults := map[string]func(t *testing.T, sim *simulation, setOutage func(bool), retry func(*harness.Service)){
		"all replicas are killed and start one after another": func(t *testing.T, sim *simulation, _ func(bool), retry func(*harness.Service)) {
			for _, m := range sim.s.Members() {
				m.Kill(t)
			}
			time.Sleep(grace + time.Second) // an outage longer than the grace period
			for _, m := range sim.s.Members() {
				m.Run(t)
				retry(m)
			}
		},
		"the database is unavailable": func(_ *testing.T, sim *simulation, setOutage func(bool), retry func(*harness.Service)) {
			setOutage(true)
			time.Sleep(grace + 4*heartbeatInterval)
			setOutage(false)
			for _, m := range sim.s.Members() {
				retry(m)
			}
		},
	}
	for name, fault := range faults {
		for _, idle := range []bool{false, true} {
			if idle {
				name += ", after an idle period"
			}
			t.Run(name, func(t *testing.T) {
				parallel(t)
				harness.EachWay(t, func(t *testing.T, engine string) {
					sim := newSimulation(t, engine, 1, "AUTH_REFRESH_GRACE="+grace.String())
					setOutage := databaseOutage(t, sim)
					harness.RunTogether(t, sim.s.Members()...)
					sim.populate(1)
					if idle {
						time.Sleep(grace + 7*time.Second) // until the idle service writes no heartbeat any more
					}
					lostResponse := sim.people()[0].rotate()
					fault(t, sim, setOutage, func(m *harness.Service) {
						if !lostResponse.repeats(t, m) {
							t.Fatal("the session has ended")
						}
					})
					time.Sleep(grace + 2*heartbeatInterval) // after the outage
					if lostResponse.repeats(t, lastReplica(sim.s.Members())) {
						t.Error("the replaced token is still valid later than one grace period after the outage")
					}
				})
			})
		}
	}
}

// heartbeatInterval is how often the service checks whether there is an outage.
const heartbeatInterval = time.Second

// TestCrashOfOneReplicaDoesNotExtendGrace kills one of three replicas. The service was always available, so a replaced token is valid for
// its grace period and not longer.
func TestCrashOfOneReplicaDoesNotExtendGrace(t *testing.T) {
	parallel(t)
	const grace = 4 * time.Second
	sim := newSimulation(t, harness.Replicas, 2, "AUTH_REFRESH_GRACE="+grace.String())
	members := sim.s.Members()
	harness.RunTogether(t, members...)
	sim.populate(2)
	time.Sleep(grace + 7*time.Second) // until the idle service writes no heartbeat any more
	first, second := sim.people()[0], sim.people()[1]
	s := first.activeSessions()[0]
	status, successor := refreshAt(t, members[0], s.refresh)
	killed := rotation{s.refresh, successor}
	members[0].Kill(t)
	if status != http.StatusOK || !killed.repeats(t, members[1]) || !killed.repeats(t, members[2]) {
		t.Error("the other replicas do not return the same successor")
	}
	token := second.activeSessions()[0].refresh
	status, successor = refreshAt(t, members[1], token)
	lived := rotation{token, successor}
	time.Sleep(grace + 2*heartbeatInterval) // after both rotations
	members[0].Run(t)
	if status != http.StatusOK || lived.repeats(t, members[0]) || killed.repeats(t, members[0]) {
		t.Error("a replica that starts while others run accepts an expired replaced token")
	}
}
