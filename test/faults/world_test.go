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

// world is a service with its mail relay and the people who use it.
type world struct {
	t     testing.TB
	s     *harness.Service
	mails *smtprecorder.Recorder

	// think is how long a person thinks between two requests, on average.
	think time.Duration
	// timeout ends a request; the person then does not know what came of it.
	timeout time.Duration
	// hangUp is the share of requests whose client hangs up while they are under way.
	hangUp float64
	// saw, if not nil, is told of every request.
	saw func(answer)

	actors   []*actor
	newcomer atomic.Int64 // how many people may still come
	answered atomic.Int64
	code     atomic.Pointer[string]

	mu         sync.Mutex
	complaints int
	outcomes   map[string]int // requests by operation and what came of them
}

// answer is what came of a request.
type answer struct {
	operation string
	status    int // 0 without an answer
	err       error
	sent      time.Time
	took      time.Duration
}

// actor plays some people, one request after the other.
type actor struct{ people []*person }

// newWorld starts a service with a relay, and nobody in it.
func newWorld(t testing.TB, engine string, actors int, settings ...string) *world {
	t.Helper()
	mails := new(smtprecorder.Recorder).Start(t)
	settings = append([]string{mails.Setting(), "AUTH_MAIL_TIMEOUT=1s", "AUTH_LOG_LEVEL=info"}, settings...)
	s := harness.New(t, binary, contract, engine, settings...)
	w := &world{t: t, s: s, mails: mails, think: 20 * time.Millisecond, timeout: 40 * time.Second}
	for range actors {
		w.actors = append(w.actors, new(actor))
	}
	w.setInvite("")
	return w
}

// invite is the code that people sign up with at the moment; "" if there is none.
func (w *world) invite() string { return *w.code.Load() }

func (w *world) setInvite(code string) { w.code.Store(&code) }

// people are all people.
func (w *world) people() []*person {
	var all []*person
	for _, a := range w.actors {
		all = append(all, a.people...)
	}
	return all
}

// complainf fails the test, but does not fill the screen.
func (w *world) complainf(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.complaints++
	if w.complaints <= 20 {
		w.t.Errorf("%s: %s", time.Now().Format("15:04:05.000"), fmt.Sprintf(format, args...))
	}
}

// call makes one request. The status is lost when there was no answer, or a 503.
func (w *world) call(ctx context.Context, operation string, do func(context.Context) (int, error)) int {
	// A request is not given up because the test's time is over.
	limit := w.timeout
	if rand.Float64() < w.hangUp {
		limit = rand.N(8 * time.Millisecond)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), limit)
	defer cancel()
	sent := time.Now()
	status, err := do(ctx)
	if w.saw != nil {
		w.saw(answer{operation: operation, status: status, err: err, sent: sent, took: time.Since(sent)})
	}
	w.note(operation, status, err)
	if err != nil {
		return lost
	}
	w.answered.Add(1)
	switch {
	case status == http.StatusServiceUnavailable: // with its Retry-After, or the contract's judge complains
		return lost
	case status >= http.StatusInternalServerError, status == http.StatusUnauthorized, status == http.StatusBadRequest:
		w.complainf("%s: %d", operation, status)
	}
	return status
}

// note counts a request for those who ask afterwards why something did not come about.
func (w *world) note(operation string, status int, err error) {
	outcome := fmt.Sprint(operation, " ", status)
	if err != nil {
		outcome = fmt.Sprint(operation, " without an answer")
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.outcomes == nil {
		w.outcomes = make(map[string]int)
	}
	w.outcomes[outcome]++
}

// pause is the time that a person waits before they try again.
func (w *world) pause(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-time.After(w.think/2 + rand.N(w.think+1)):
	}
}

// live lets everybody act until ctx ends.
func (w *world) live(ctx context.Context) {
	var acting sync.WaitGroup
	for _, a := range w.actors {
		acting.Go(func() {
			for ctx.Err() == nil {
				w.act(ctx, a)
				w.pause(ctx)
			}
		})
	}
	acting.Wait()
}

// act lets one person of an actor do one thing, most often one of those who came last.
func (w *world) act(ctx context.Context, a *actor) {
	if len(a.people) == 0 || rand.Float64() < 0.1 {
		if w.newcomer.Add(-1) >= 0 {
			a.people = append(a.people, newPerson(w))
		}
	}
	if len(a.people) == 0 {
		newPerson(w).get(ctx, "/v1/version")
		return
	}
	from := 0
	if rand.Float64() < 0.9 {
		from = max(0, len(a.people)-4)
	}
	a.people[from+rand.IntN(len(a.people)-from)].step(ctx)
}

// settle waits until no mail is owed any more, and returns how long that took.
func (w *world) settle(limit time.Duration) time.Duration {
	w.t.Helper()
	return eventually(w.t, "every owed mail is sent", limit, func() bool {
		return w.s.Count(w.t, "SELECT count(*) FROM mail WHERE sent_at IS NULL AND dead_at IS NULL") == 0
	})
}

// populate lets people come until everybody has a session, before the fault begins.
func (w *world) populate(people int) {
	w.t.Helper()
	w.setInvite(w.s.Invite(w.t, people))
	ctx, cancel := context.WithTimeout(w.t.Context(), 3*time.Minute)
	defer cancel()
	var joining sync.WaitGroup
	for i := range people {
		p := newPerson(w)
		a := w.actors[i%len(w.actors)]
		a.people = append(a.people, p)
		joining.Go(func() {
			for len(p.live()) == 0 && ctx.Err() == nil {
				p.join(ctx)
				w.pause(ctx)
			}
		})
	}
	joining.Wait()
	for _, p := range w.people() {
		if len(p.live()) == 0 {
			w.t.Fatalf("after 3 minutes without a session: %s; all requests: %v", p.story(), w.outcomes)
		}
	}
	w.setInvite("")
}
