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

// requestLimit is how long the service works on one request at most.
const requestLimit = 10 * time.Second

// PostgreSQL goes away under load and comes back. Meanwhile the service says that it can not tell, and decides nothing; what
// needs no database goes on. Afterwards everybody goes on where they were, those included whose refresh was under way.
func TestPostgresOutage(t *testing.T) {
	beside(t)
	for _, fault := range []mode{blackHole, reset, refuse} {
		t.Run(fault.String(), func(t *testing.T) {
			beside(t)
			// The grace is longer than a request takes, and shorter than the outage: without counting it from the return
			// of the database, every refresh that was under way would be lost.
			people, outage, grace := length(8, 24), length(14*time.Second, time.Minute), "11s"
			if !full && fault != blackHole {
				outage, grace = 5*time.Second, "3s"
			}
			w := newWorld(t, harness.Postgres, people, "AUTH_REFRESH_GRACE="+grace)
			direct := w.s.DatabaseURL
			p, through := newProxy(t, direct)
			w.s.Env = append(w.s.Env, "AUTH_DATABASE_URL="+through)
			w.s.Run(t)
			w.populate(people)

			log := new(answers)
			w.saw = log.add
			ctx, cancel := context.WithCancel(t.Context())
			stopped := make(chan struct{})
			go func() {
				defer close(stopped)
				w.live(ctx)
			}()
			defer func() { cancel(); <-stopped }()
			eventually(t, "the load is there", time.Minute, func() bool { return log.count("refresh", 200) > 100 })

			// Somebody who needs no database.
			onlooker := newPerson(w)
			var looking sync.WaitGroup
			looking.Go(func() {
				for ctx.Err() == nil {
					for _, path := range []string{"/v1/version", "/.well-known/jwks.json", "/openapi.yaml", "/openapi.json"} {
						onlooker.get(ctx, path)
						w.pause(ctx)
					}
				}
			})
			defer func() { cancel(); looking.Wait() }()

			// First only the answers are lost: refreshes are committed whose clients do not know.
			p.set(mute)
			gone := time.Now()
			time.Sleep(300 * time.Millisecond)
			before := w.s.Count(t, "SELECT count(*) FROM session")
			began := time.Now()
			p.set(fault)
			told := eventually(t, "not ready", requestLimit, func() bool { return !ready(t, w.s) })
			t.Logf("readyz said so after %s", told.Round(time.Millisecond))
			if told > length(requestLimit, 2*time.Second) {
				t.Errorf("readyz said %s after the loss that the service is not ready", told)
			}
			if text := metrics(t, w.s); !strings.Contains(text, "\nfinancelime_auth_ready 0\n") || !strings.Contains(text, "\nfinancelime_auth_database_up 0\n") {
				t.Error("the metrics say something else than readyz")
			}
			time.Sleep(outage - time.Since(began)) // the length of the outage

			back := time.Now()
			p.set(pass)
			took := eventually(t, "ready again", 30*time.Second, func() bool { return ready(t, w.s) })
			if took > length(20*time.Second, 5*time.Second) {
				t.Errorf("ready only %s after the return", took)
			}
			normal := eventually(t, "everybody is answered again", 30*time.Second, func() bool {
				return log.since(back, func(a answer) bool { return a.status == 200 && a.operation == "refresh" }) > people
			})
			lastBad := log.lastUnavailable(back)
			cancel()
			<-stopped

			looking.Wait()
			w.during(log, gone, back)
			w.newcomer.Store(0)
			w.verify()
			w.check()
			t.Logf("%d requests in %s of outage, the slowest took %s; ready %s after the return, the last 503 was sent %s after it, normal load %s after it",
				log.between(gone, back), outage, log.slowest().Round(time.Millisecond), took.Round(time.Millisecond), lastBad.Round(time.Millisecond), normal.Round(time.Millisecond))
			if lastBad > length(20*time.Second, 5*time.Second) {
				t.Errorf("a request sent %s after the return was answered 503", lastBad)
			}
			if after := w.s.Count(t, "SELECT count(*) FROM session"); after < before/2 {
				t.Errorf("%d sessions before, %d after", before, after)
			}
		})
	}
}

// during holds the answers of an outage against what may be said in one.
func (w *world) during(log *answers, from, to time.Time) {
	w.t.Helper()
	log.mu.Lock()
	defer log.mu.Unlock()
	said503 := 0
	for _, a := range log.all {
		free := a.operation == "v1" || a.operation == ".well-known" || strings.HasPrefix(a.operation, "openapi.")
		if a.err != nil {
			w.complainf("%s: no answer: %v", a.operation, a.err)
		}
		if a.took > requestLimit+5*time.Second {
			w.complainf("%s: answered after %s", a.operation, a.took)
		}
		if a.sent.Before(from) || !a.sent.Add(a.took).Before(to) {
			continue
		}
		switch {
		case free && a.status != http.StatusOK:
			w.complainf("%s: %d, though it needs no database", a.operation, a.status)
		case !free && a.status == http.StatusServiceUnavailable:
			said503++
		case !free:
			w.complainf("%s: %d while the database was away", a.operation, a.status)
		}
	}
	if said503 == 0 {
		w.complainf("nobody was told 503")
	}
}

// ready asks readyz.
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

// answers keeps what came of requests.
type answers struct {
	mu  sync.Mutex
	all []answer
}

func (l *answers) add(a answer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, a)
}

func (l *answers) since(from time.Time, which func(answer) bool) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, a := range l.all {
		if !a.sent.Before(from) && which(a) {
			n++
		}
	}
	return n
}

func (l *answers) count(operation string, status int) int {
	return l.since(time.Time{}, func(a answer) bool { return a.operation == operation && a.status == status })
}

func (l *answers) between(from, to time.Time) int {
	return l.since(from, func(a answer) bool { return a.sent.Before(to) })
}

func (l *answers) slowest() time.Duration {
	var slowest time.Duration
	l.since(time.Time{}, func(a answer) bool {
		slowest = max(slowest, a.took)
		return false
	})
	return slowest
}

// lastUnavailable is how long after a moment the last request was sent that was answered 503.
func (l *answers) lastUnavailable(from time.Time) time.Duration {
	var last time.Duration
	l.since(from, func(a answer) bool {
		if a.status == http.StatusServiceUnavailable {
			last = max(last, a.sent.Sub(from))
		}
		return false
	})
	return last
}

// A database that is slow, but answers in time, is none that is away.
func TestPostgresSlow(t *testing.T) {
	beside(t)
	w := newWorld(t, harness.Postgres, 8)
	p, through := newProxy(t, w.s.DatabaseURL)
	w.s.Env = append(w.s.Env, "AUTH_DATABASE_URL="+through)
	w.s.Run(t)
	w.populate(8)
	log := new(answers)
	w.saw = log.add
	p.setDelay(250 * time.Millisecond) // each way, each round trip
	ctx, cancel := context.WithTimeout(t.Context(), length(5*time.Second, 30*time.Second))
	defer cancel()
	w.live(ctx)
	p.setDelay(0)
	if n := log.since(time.Time{}, func(a answer) bool { return a.status == http.StatusServiceUnavailable }); n > 0 {
		t.Errorf("%d of %d requests were answered 503", n, len(log.all))
	}
	w.verify()
	w.check()
	t.Logf("%d requests, the slowest took %s", len(log.all), log.slowest().Round(time.Millisecond))
}
