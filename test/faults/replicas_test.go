package faults

import (
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/financelime/authorization/api/client"
	"github.com/financelime/authorization/test/harness"
)

// TestKillOneOfThree kills one of three replicas many times, while requests go to all of them. Acknowledged writes are durable.
func TestKillOneOfThree(t *testing.T) {
	parallel(t)
	sim := newSimulation(t, harness.Replicas, 12)
	members := sim.s.Members()
	harness.RunTogether(t, members...)
	sim.populate(8)
	kills := scaled(4, 300)
	for range kills {
		sim.setInvite(sim.s.Invite(t, 1+rand.IntN(3)))
		sim.newcomers.Store(2)
		stop := sim.runInBackground()
		time.Sleep(100*time.Millisecond + rand.N(900*time.Millisecond)) // the moment is random
		killed := members[rand.IntN(len(members))]
		killed.Kill(t)
		time.Sleep(rand.N(200 * time.Millisecond)) // only the other replicas run
		stop()
		eventually(t, "all connections to the database are idle", time.Minute, func() bool {
			return sim.s.Count(t, `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state <> 'idle'
				AND application_name = 'financelime-auth'`) == 0
		})
		sim.checkDatabase()
		killed.Run(t)
	}
	sim.setInvite("")
	sim.verifyThroughAPI()
	sim.waitForMail(time.Minute)
	sim.checkDatabase()
	t.Logf("%d kills, %d people", kills, len(sim.people()))
}

// TestRollingRestart replaces the replicas one after another under load, like an upgrade. The load balancer checks readyz and tries another
// replica if it cannot connect: no request fails.
func TestRollingRestart(t *testing.T) {
	sim := newSimulation(t, harness.Replicas, 1, "AUTH_SHUTDOWN_DELAY=1s")
	members := sim.s.Members()
	harness.RunTogether(t, members...)
	people := scaled(8, 16)
	sim.populate(people)
	var stop atomic.Bool
	var answered atomic.Int64
	var running sync.WaitGroup
	began := time.Now()
	const refreshed = `"operation":"refresh_access_token"`
	api := sim.s.API // a restarted replica gets a new client, but each client can reach all replicas
	for _, p := range sim.people() {
		running.Go(func() {
			ticker := time.NewTicker(scaled(40*time.Millisecond, 45*time.Millisecond))
			defer ticker.Stop()
			for ; !stop.Load(); <-ticker.C {
				s := p.activeSessions()[0]
				r, err := api.RefreshAccessTokenWithResponse(t.Context(), &client.RefreshAccessTokenParams{RequestID: newRequestID()},
					client.RefreshAccessTokenRequest{RefreshToken: s.refresh})
				if err != nil || r.StatusCode() != http.StatusOK {
					sim.errorf("a refresh failed: %v %v", err, r)
					return
				}
				p.storeTokens(s, *r.JSON200)
				answered.Add(1)
			}
		})
	}
	for range scaled(1, 5) {
		for _, m := range members {
			m.Signal(t, syscall.SIGTERM)
			eventually(t, "readyz fails", 10*time.Second, func() bool { return !ready(t, m) })
			m.Withdraw()
			if err := m.WaitExit(t, stopLimit); err != nil {
				t.Errorf("a replica ended with %v", err)
			}
			before := strings.Count(m.Log(), refreshed)
			m.Run(t)
			// nginx tries the replica again after its fail_timeout. Without the wait, all replicas may be unavailable to it.
			eventually(t, "nginx sends requests to the replica again", 10*time.Second, func() bool {
				return strings.Count(m.Log(), refreshed) > before
			})
		}
	}
	stop.Store(true)
	running.Wait()
	rate := float64(answered.Load()) / time.Since(began).Seconds()
	sim.verifyThroughAPI()
	sim.checkDatabase()
	t.Logf("%d refreshes, %.0f a second", answered.Load(), rate)
	if full && rate < 300 {
		t.Errorf("%.0f requests a second, want at least 300", rate)
	}
}
