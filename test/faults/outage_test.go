package faults

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/financelime/authorization/test/harness"
)

// requestLimit is the service's time limit for a request.
const requestLimit = 10 * time.Second

// TestPostgresOutage makes PostgreSQL unavailable under load. During the outage requests get 503 and change nothing; requests that need
// no database succeed. Afterwards all sessions continue, including those with a refresh in progress when the outage began.
func TestPostgresOutage(t *testing.T) {
	parallel(t)
	for _, fault := range []mode{blackHole, reset, refuse} {
		t.Run(fault.String(), func(t *testing.T) {
			parallel(t)
			testPostgresOutage(t, fault)
		})
	}
}

func testPostgresOutage(t *testing.T, fault mode) {
	t.Helper()
	// The grace period is longer than a request and shorter than the outage. If it did not count from the end of the outage,
	// every session with a refresh in progress would be lost.
	people, outage, grace := scaled(8, 24), scaled(14*time.Second, time.Minute), "11s"
	if !full && fault != blackHole {
		outage, grace = 5*time.Second, "3s"
	}
	sim := newSimulation(t, harness.Postgres, people, "AUTH_REFRESH_GRACE="+grace)
	p, through := newProxy(t, sim.s.DatabaseURL)
	sim.s.Env = append(sim.s.Env, "AUTH_DATABASE_URL="+through)
	sim.s.Run(t)
	sim.populate(people)

	log := new(results)
	sim.onResult = log.add
	stop := sim.runInBackground()
	defer stop()
	eventually(t, "the load has started", time.Minute, func() bool { return log.count("refresh", 200) > 100 })
	stopGets := sim.getWithoutDatabase()
	defer stopGets()

	// First only the responses are lost, so that refreshes are committed without the clients receiving the tokens.
	p.set(dropResponses)
	start := time.Now()
	time.Sleep(300 * time.Millisecond)
	before := sim.s.Count(t, "SELECT count(*) FROM session")
	began := time.Now()
	p.set(fault)
	sim.waitNotReady()
	time.Sleep(outage - time.Since(began)) // the length of the outage

	end := time.Now()
	p.set(pass)
	took := eventually(t, "ready again", 30*time.Second, func() bool { return ready(t, sim.s) })
	if took > scaled(20*time.Second, 5*time.Second) {
		t.Errorf("ready only %s after the end of the outage", took)
	}
	recovered := eventually(t, "requests succeed again", 30*time.Second, func() bool {
		return log.since(end, func(r result) bool { return r.status == 200 && r.operation == "refresh" }) > people
	})
	lastUnavailable := log.lastUnavailable(end)
	stop()
	stopGets()
	sim.checkOutage(log, start, end)
	sim.newcomers.Store(0)
	sim.verifyThroughAPI()
	sim.checkDatabase()
	t.Logf("%d requests in an outage of %s, the slowest took %s; after the outage: ready in %s, last 503 for a request sent after %s, normal load in %s",
		log.between(start, end), outage, log.slowest().Round(time.Millisecond), took.Round(time.Millisecond), lastUnavailable.Round(time.Millisecond), recovered.Round(time.Millisecond))
	if lastUnavailable > scaled(20*time.Second, 5*time.Second) {
		t.Errorf("a request sent %s after the end of the outage got 503", lastUnavailable)
	}
	if after := sim.s.Count(t, "SELECT count(*) FROM session"); after < before/2 {
		t.Errorf("%d sessions before, %d after", before, after)
	}
}

// getWithoutDatabase starts a client whose requests need no database. The returned function stops it and waits for its end; it may be
// called more than once.
func (sim *simulation) getWithoutDatabase() (stop func()) {
	ctx, cancel := context.WithCancel(sim.t.Context())
	client := newPerson(sim)
	var running sync.WaitGroup
	running.Go(func() {
		for ctx.Err() == nil {
			for _, path := range []string{"/v1/version", "/.well-known/jwks.json", "/openapi.yaml", "/openapi.json"} {
				client.get(ctx, path)
				sim.pause(ctx)
			}
		}
	})
	return func() { cancel(); running.Wait() }
}

// waitNotReady waits until readyz and the metrics report that the database is unavailable.
func (sim *simulation) waitNotReady() {
	sim.t.Helper()
	took := eventually(sim.t, "not ready", requestLimit, func() bool { return !ready(sim.t, sim.s) })
	sim.t.Logf("readyz failed after %s", took.Round(time.Millisecond))
	if took > scaled(requestLimit, 2*time.Second) {
		sim.t.Errorf("readyz failed only %s after the loss of the database", took)
	}
	if text := metrics(sim.t, sim.s); !strings.Contains(text, "\nfinancelime_auth_ready 0\n") || !strings.Contains(text, "\nfinancelime_auth_database_up 0\n") {
		sim.t.Error("the metrics differ from readyz")
	}
}

// checkOutage checks the results of the requests during an outage.
func (sim *simulation) checkOutage(log *results, from, to time.Time) {
	sim.t.Helper()
	log.mu.Lock()
	defer log.mu.Unlock()
	unavailable := 0
	for _, a := range log.all {
		needsNoDatabase := a.operation == "v1" || a.operation == ".well-known" || strings.HasPrefix(a.operation, "openapi.")
		if a.err != nil {
			sim.errorf("%s: no response: %v", a.operation, a.err)
		}
		if a.took > requestLimit+5*time.Second {
			sim.errorf("%s: response after %s", a.operation, a.took)
		}
		if a.sent.Before(from) || !a.sent.Add(a.took).Before(to) {
			continue
		}
		switch {
		case needsNoDatabase && a.status != http.StatusOK:
			sim.errorf("%s: %d, although it needs no database", a.operation, a.status)
		case !needsNoDatabase && a.status == http.StatusServiceUnavailable:
			unavailable++
		case !needsNoDatabase:
			sim.errorf("%s: %d while the database was unavailable", a.operation, a.status)
		}
	}
	if unavailable == 0 {
		sim.errorf("no request got 503")
	}
}

// ready reports whether readyz returns 200.
func ready(t testing.TB, s *harness.Service) bool {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.Admin+"/readyz", nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return false
	}
	_ = response.Body.Close()
	return response.StatusCode == http.StatusOK
}

// results collects the results of requests.
type results struct {
	mu  sync.Mutex
	all []result
}

func (l *results) add(a result) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, a)
}

func (l *results) since(from time.Time, which func(result) bool) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, a := range l.all {
		if !a.sent.Before(from) && which(a) {
			n++
		}
	}
	return n
}

func (l *results) count(operation string, status int) int {
	return l.since(time.Time{}, func(a result) bool { return a.operation == operation && a.status == status })
}

func (l *results) between(from, to time.Time) int {
	return l.since(from, func(a result) bool { return a.sent.Before(to) })
}

func (l *results) slowest() time.Duration {
	var slowest time.Duration
	l.since(time.Time{}, func(a result) bool {
		slowest = max(slowest, a.took)
		return false
	})
	return slowest
}

// lastUnavailable returns how long after a moment the last request with response 503 was sent.
func (l *results) lastUnavailable(from time.Time) time.Duration {
	var last time.Duration
	l.since(from, func(a result) bool {
		if a.status == http.StatusServiceUnavailable {
			last = max(last, a.sent.Sub(from))
		}
		return false
	})
	return last
}

// TestPostgresSlow checks that a database that responds slowly, but in time, is not treated as unavailable.
func TestPostgresSlow(t *testing.T) {
	parallel(t)
	sim := newSimulation(t, harness.Postgres, 8)
	p, through := newProxy(t, sim.s.DatabaseURL)
	sim.s.Env = append(sim.s.Env, "AUTH_DATABASE_URL="+through)
	sim.s.Run(t)
	sim.populate(8)
	log := new(results)
	sim.onResult = log.add
	p.setDelay(250 * time.Millisecond) // in each direction
	ctx, cancel := context.WithTimeout(t.Context(), scaled(5*time.Second, 30*time.Second))
	defer cancel()
	sim.run(ctx)
	p.setDelay(0)
	if n := log.since(time.Time{}, func(a result) bool { return a.status == http.StatusServiceUnavailable }); n > 0 {
		t.Errorf("%d of %d requests got 503", n, len(log.all))
	}
	sim.verifyThroughAPI()
	sim.checkDatabase()
	t.Logf("%d requests, the slowest took %s", len(log.all), log.slowest().Round(time.Millisecond))
}
