package faults

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/financelime/authorization/test/harness"
	"github.com/financelime/authorization/test/harness/smtprecorder"
)

// simulation runs a service with its mail relay and simulated users.
type simulation struct {
	t     testing.TB
	s     *harness.Service
	mails *smtprecorder.Recorder

	// thinkTime is the average pause of a person between two requests.
	thinkTime time.Duration
	// timeout cancels a request. Its outcome is then unknown to the person.
	timeout time.Duration
	// cancelRate is the share of requests that the client cancels while they are in progress.
	cancelRate float64
	// onResult, if not nil, is called after every request.
	onResult func(result)

	actors    []*actor
	newcomers atomic.Int64 // how many people may still join
	answered  atomic.Int64
	code      atomic.Pointer[string]

	mu       sync.Mutex
	failures int
	outcomes map[string]int // number of requests by operation and outcome
}

// result is the outcome of a request.
type result struct {
	operation string
	status    int // 0 without a response
	err       error
	sent      time.Time
	took      time.Duration
}

// actor performs the actions of several people, one request at a time.
type actor struct{ people []*person }

// newSimulation prepares a service with a relay and without people. It does not start the service.
func newSimulation(t testing.TB, engine string, actors int, settings ...string) *simulation {
	t.Helper()
	mails := new(smtprecorder.Recorder).Start(t)
	settings = append([]string{mails.Setting(), "AUTH_MAIL_TIMEOUT=1s", "AUTH_LOG_LEVEL=info"}, settings...)
	s := harness.New(t, binary, contract, engine, settings...)
	sim := &simulation{t: t, s: s, mails: mails, thinkTime: 20 * time.Millisecond, timeout: 40 * time.Second}
	for range actors {
		sim.actors = append(sim.actors, new(actor))
	}
	sim.setInvite("")
	return sim
}

// invite returns the current invite code for sign-ups, or "" if there is none.
func (sim *simulation) invite() string { return *sim.code.Load() }

func (sim *simulation) setInvite(code string) { sim.code.Store(&code) }

// people returns all people.
func (sim *simulation) people() []*person {
	var all []*person
	for _, a := range sim.actors {
		all = append(all, a.people...)
	}
	return all
}

// errorf fails the test and prints the first 20 messages.
func (sim *simulation) errorf(format string, args ...any) {
	sim.mu.Lock()
	defer sim.mu.Unlock()
	sim.failures++
	if sim.failures <= 20 {
		sim.t.Errorf("%s: %s", time.Now().Format("15:04:05.000"), fmt.Sprintf(format, args...))
	}
}

// call makes one request. It returns unknown if there was no response, or if the response was 503.
func (sim *simulation) call(ctx context.Context, operation string, do func(context.Context) (int, error)) int {
	// The end of ctx does not cancel a request that was sent.
	limit := sim.timeout
	if rand.Float64() < sim.cancelRate {
		limit = rand.N(8 * time.Millisecond)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), limit)
	defer cancel()
	sent := time.Now()
	status, err := do(ctx)
	if sim.onResult != nil {
		sim.onResult(result{operation: operation, status: status, err: err, sent: sent, took: time.Since(sent)})
	}
	sim.count(operation, status, err)
	if err != nil {
		return unknown
	}
	sim.answered.Add(1)
	switch {
	case status == http.StatusServiceUnavailable: // the harness validates its Retry-After
		return unknown
	case status >= http.StatusInternalServerError, status == http.StatusUnauthorized, status == http.StatusBadRequest:
		sim.errorf("%s: %d", operation, status)
	}
	return status
}

// count counts the outcomes of requests, for error messages.
func (sim *simulation) count(operation string, status int, err error) {
	outcome := fmt.Sprint(operation, " ", status)
	if err != nil {
		outcome = fmt.Sprint(operation, " without a response")
	}
	sim.mu.Lock()
	defer sim.mu.Unlock()
	if sim.outcomes == nil {
		sim.outcomes = make(map[string]int)
	}
	sim.outcomes[outcome]++
}

// pause waits for about thinkTime, or until ctx is done.
func (sim *simulation) pause(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-time.After(sim.thinkTime/2 + rand.N(sim.thinkTime+1)):
	}
}

// run lets every actor act until ctx is done.
func (sim *simulation) run(ctx context.Context) {
	var acting sync.WaitGroup
	for _, a := range sim.actors {
		acting.Go(func() {
			for ctx.Err() == nil {
				sim.act(ctx, a)
				sim.pause(ctx)
			}
		})
	}
	acting.Wait()
}

// runInBackground starts run. The returned function stops it and waits for its end; it may be called more than once.
func (sim *simulation) runInBackground() (stop func()) {
	ctx, cancel := context.WithCancel(sim.t.Context())
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		sim.run(ctx)
	}()
	return func() { cancel(); <-stopped }
}

// act lets one person of an actor perform one action. It prefers the people who joined last.
func (sim *simulation) act(ctx context.Context, a *actor) {
	if len(a.people) == 0 || rand.Float64() < 0.1 {
		if sim.newcomers.Add(-1) >= 0 {
			a.people = append(a.people, newPerson(sim))
		}
	}
	if len(a.people) == 0 {
		newPerson(sim).get(ctx, "/v1/version")
		return
	}
	from := 0
	if rand.Float64() < 0.9 {
		from = max(0, len(a.people)-4)
	}
	a.people[from+rand.IntN(len(a.people)-from)].step(ctx)
}

// waitForMail waits until no mail is queued any more, and returns how long that took.
func (sim *simulation) waitForMail(limit time.Duration) time.Duration {
	sim.t.Helper()
	defer func() {
		if queued := sim.describeMails("sent_at IS NULL AND dead_at IS NULL"); queued != "" {
			sim.t.Logf("at %s these mails are queued%s", time.Now(), queued)
		}
	}()
	return eventually(sim.t, "every queued mail is sent", limit, func() bool { return sim.queuedMails() == 0 })
}

// populate adds people and waits until each of them has a session.
func (sim *simulation) populate(people int) {
	sim.t.Helper()
	sim.setInvite(sim.s.Invite(sim.t, people))
	ctx, cancel := context.WithTimeout(sim.t.Context(), 3*time.Minute)
	defer cancel()
	var joining sync.WaitGroup
	for i := range people {
		p := newPerson(sim)
		a := sim.actors[i%len(sim.actors)]
		a.people = append(a.people, p)
		joining.Go(func() {
			for len(p.activeSessions()) == 0 && ctx.Err() == nil {
				p.join(ctx)
				sim.pause(ctx)
			}
		})
	}
	joining.Wait()
	for _, p := range sim.people() {
		if len(p.activeSessions()) == 0 {
			sim.t.Fatalf("after 3 minutes without a session: %s; all requests: %v", p.describe(), sim.outcomes)
		}
	}
	sim.setInvite("")
}
