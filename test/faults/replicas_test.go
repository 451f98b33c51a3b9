package faults

import (
	"context"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/financelime/authorization/api/client"
	"github.com/financelime/authorization/test/harness"
)

// Of three replicas one is killed again and again, whichever, while every request goes to any of them. What any of them has
// acknowledged holds.
func TestKillOneOfThree(t *testing.T) {
	beside(t)
	w := newWorld(t, harness.Replicas, 12)
	members := w.s.Members()
	harness.RunTogether(t, members...)
	w.populate(8)
	kills := length(4, 300)
	for range kills {
		w.setInvite(w.s.Invite(t, 1+rand.IntN(3)))
		w.newcomer.Store(2)
		ctx, cancel := context.WithCancel(t.Context())
		stopped := make(chan struct{})
		go func() {
			defer close(stopped)
			w.live(ctx)
		}()
		time.Sleep(100*time.Millisecond + rand.N(900*time.Millisecond)) // the moment is random
		killed := members[rand.IntN(len(members))]
		killed.Kill(t)
		time.Sleep(rand.N(200 * time.Millisecond)) // the others alone
		cancel()
		<-stopped
		eventually(t, "nobody is at work", time.Minute, func() bool {
			return w.s.Count(t, `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state <> 'idle'
				AND application_name = 'financelime-auth'`) == 0
		})
		w.check()
		killed.Run(t)
	}
	w.setInvite("")
	w.verify()
	w.settle(time.Minute)
	w.check()
	t.Logf("%d kills, %d people", kills, len(w.people()))
}

// Replicas are replaced one after another under load, as an upgrade does it. The balancer before them looks at readyz, and tries
// another one where it can not connect: no request fails.
func TestRollingRestart(t *testing.T) {
	w := newWorld(t, harness.Replicas, 1, "AUTH_SHUTDOWN_DELAY=1s")
	members := w.s.Members()
	harness.RunTogether(t, members...)
	people := length(8, 16)
	w.populate(people)
	var stop atomic.Bool
	var answered atomic.Int64
	var running sync.WaitGroup
	began := time.Now()
	api := w.s.API // a replica that starts anew has another one, and all of them lead anywhere
	for _, p := range w.people() {
		running.Go(func() {
			ticker := time.NewTicker(length(40*time.Millisecond, 45*time.Millisecond))
			defer ticker.Stop()
			for ; !stop.Load(); <-ticker.C {
				s := p.live()[0]
				r, err := api.RefreshAccessTokenWithResponse(t.Context(), &client.RefreshAccessTokenParams{RequestID: rid()},
					client.RefreshAccessTokenRequest{RefreshToken: s.refresh})
				if err != nil || r.StatusCode() != http.StatusOK {
					w.complainf("a refresh failed: %v %v", err, r)
					return
				}
				p.take(s, *r.JSON200)
				answered.Add(1)
			}
		})
	}
	for range length(1, 5) {
		for _, m := range members {
			m.Signal(t, syscall.SIGTERM)
			eventually(t, "readyz says no", 10*time.Second, func() bool { return !ready(t, m) })
			m.Withdraw()
			if err := m.WaitExit(t, stopLimit); err != nil {
				t.Errorf("a replica ended with %v", err)
			}
			m.Run(t)
		}
	}
	stop.Store(true)
	running.Wait()
	rate := float64(answered.Load()) / time.Since(began).Seconds()
	w.verify()
	w.check()
	t.Logf("%d refreshes, %.0f a second", answered.Load(), rate)
	if full && rate < 300 {
		t.Errorf("%.0f requests a second are less than the promised load of 300", rate)
	}
}
