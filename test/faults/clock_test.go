package faults

import (
	"context"
	"log/slog"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/financelime/authorization/api/client"
	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl"
	"github.com/financelime/authorization/impl/limit"
	"github.com/financelime/authorization/impl/link"
	"github.com/financelime/authorization/impl/mail"
	"github.com/financelime/authorization/impl/password"
	"github.com/financelime/authorization/impl/reqinfo"
	"github.com/financelime/authorization/impl/secret"
	"github.com/financelime/authorization/impl/server"
	"github.com/financelime/authorization/impl/token"
	"github.com/financelime/authorization/test/dbtest"
	"github.com/financelime/authorization/test/harness"
	"github.com/financelime/authorization/test/harness/smtprecorder"
	"github.com/financelime/authorization/test/postgres"
)

// clock is a clock that tests set forward and back.
type clock struct{ offset atomic.Int64 }

func (c *clock) now() time.Time { return time.Now().Add(time.Duration(c.offset.Load())) }

func (c *clock) step(d time.Duration) { c.offset.Add(int64(d)) }

// newClockSimulation returns a simulation whose service runs in this process with a clock. The binary has no setting for its time.
func newClockSimulation(t *testing.T, engine string) (*simulation, *clock) {
	t.Helper()
	sim, clocks, _ := newClocksSimulation(t, engine, 100, 0)
	return sim, clocks[0]
}

// newClocksSimulation returns a simulation with several services in this process, on one database. Each has a clock with an offset.
// useReplica selects the service that gets the requests.
func newClocksSimulation(t *testing.T, engine string, sessionsPerUser int64, offsets ...time.Duration) (sim *simulation, clocks []*clock, useReplica func(int)) {
	t.Helper()
	mails := new(smtprecorder.Recorder).Start(t)
	s := &harness.Service{HTTP: contract.Client(t), Env: []string{"AUTH_SECRET=q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA="}}
	s.DatabaseURL = "sqlite:" + filepath.Join(t.TempDir(), "auth.db")
	if engine == harness.Postgres {
		s.DatabaseURL = postgres.URL(t)
	}
	store := dbtest.Open(t, s.DatabaseURL)
	var urls []string
	for i, offset := range offsets {
		if i > 0 && engine == harness.Postgres { // with SQLite a process has only one writer
			store = dbtest.Open(t, s.DatabaseURL)
		}
		c := new(clock)
		c.step(offset)
		clocks = append(clocks, c)
		urls = append(urls, serveWithClock(t, s, store, mails, c, sessionsPerUser))
	}
	useReplica = func(i int) {
		var err error
		s.URL = urls[i]
		if s.API, err = client.NewClientWithResponses(s.URL, client.WithHTTPClient(s.HTTP)); err != nil {
			t.Fatal(err)
		}
	}
	useReplica(0)
	sim = &simulation{t: t, s: s, mails: mails, thinkTime: 5 * time.Millisecond, timeout: time.Minute, actors: []*actor{{}}}
	sim.setInvite("")
	return sim, clocks, useReplica
}

// newReplicaSimulations returns one simulation for each replica. The replicas share a database and a relay, and each has its own clock.
func newReplicaSimulations(t *testing.T, engine string, replicas int) (sims []*simulation, clocks []*clock) {
	t.Helper()
	sim, clocks, useReplica := newClocksSimulation(t, engine, 100, make([]time.Duration, replicas)...)
	for i := range clocks {
		useReplica(i)
		s := &harness.Service{HTTP: sim.s.HTTP, Env: sim.s.Env, DatabaseURL: sim.s.DatabaseURL, URL: sim.s.URL, API: sim.s.API}
		replica := &simulation{t: t, s: s, mails: sim.mails, thinkTime: sim.thinkTime, timeout: sim.timeout, actors: []*actor{{}}}
		replica.setInvite("")
		sims = append(sims, replica)
	}
	return sims, clocks
}

// serveWithClock starts a service with a clock and returns its URL.
func serveWithClock(
	t *testing.T, s *harness.Service, store *db.Store, mails *smtprecorder.Recorder, c *clock, sessionsPerUser int64,
) string {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	root, err := secret.Parse(s.Secret(t))
	must(err)

	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	tokens := token.Config{
		Issuer: "https://auth.example.test", Audience: "https://auth.example.test", Algorithm: token.ES256,
		AccessTTL: 10 * time.Minute, RefreshTTL: 720 * time.Hour, Clock: c.now,
	}
	keys, err := token.OpenKeys(t.Context(), store, root, tokens, log)
	must(err)
	access, err := token.NewAccess(keys, tokens)
	must(err)
	refresh, err := token.NewRefresh(root, tokens)
	must(err)
	hasher := password.NewHasher(password.Options{Slots: 2})
	const from = "Financelime <no-reply@financelime.com>"
	// An attempt includes a password hash, which takes seconds with the race detector on a busy machine.
	const timeout = 20 * time.Second
	transport, err := mail.OpenTransport(strings.TrimPrefix(mails.Setting(), "AUTH_MAIL_URL="), from, timeout)
	must(err)
	worker, err := mail.NewWorker(mail.Config{
		Store: store, Transport: transport, Hasher: hasher, Root: root, Links: link.New(root), PublicURL: tokens.Issuer,
		From: from, Timeout: timeout, MailedPasswordTTL: 24 * time.Hour, Log: log, Clock: c.now,
	})
	must(err)
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		_ = worker.Run(ctx)
	}()
	t.Cleanup(func() { stop(); <-stopped })

	handler, err := server.New(server.Config{Log: log, Authenticate: func(ctx context.Context, raw string) (context.Context, error) {
		claims, err := access.Verify(ctx, raw)
		if err != nil {
			return nil, err
		}
		reqinfo.FromContext(ctx).AccountID = claims.AccountID.String()
		return token.NewContext(ctx, claims), nil
	}}, &impl.Service{
		Store: store, Root: root, Links: link.New(root), Hasher: hasher, Limits: limit.New(root, nil), Keys: keys, Access: access, Refresh: refresh, Log: log,
		MailQueued: worker.Wake, Clock: c.now, InviteRequired: true,
		SignUpLinkTTL: 24 * time.Hour, PasswordLinkTTL: 30 * time.Minute,
		RefreshTTL: 720 * time.Hour, RefreshGrace: 2 * time.Minute, SessionMaxAge: 180 * 24 * time.Hour,
		SessionsPerUser: sessionsPerUser, LoginNotice: impl.NoticeNever,
	})
	must(err)
	testServer := httptest.NewServer(handler)
	t.Cleanup(testServer.Close)
	return testServer.URL
}

// TestClockSteps sets the clock forward and back by an hour. What has not expired stays valid; what was used, replaced or ended stays
// invalid.
func TestClockSteps(t *testing.T) {
	parallel(t)
	harness.EachEngine(t, func(t *testing.T, engine string) {
		sim, c := newClockSimulation(t, engine)
		sim.populate(2)
		sim.waitForMail(time.Minute)
		p := sim.people()[0]
		before := consumeAll(t, sim, p)
		// Forward and back, then the other way round. At the end it is an hour earlier than at the start.
		for _, hours := range []int{1, -1, -1, 1, 1, 1, -2, -1} {
			c.step(time.Duration(hours) * time.Hour)
			for _, p := range sim.people() {
				for _, s := range p.activeSessions() {
					p.refreshUntilAnswered(t.Context(), s)
					p.list(t.Context(), s)
					p.refreshUntilAnswered(t.Context(), s)
				}
			}
			before.checkStillConsumed(t, sim, p)
			if len(p.activeSessions()) < 4 {
				p.login(t.Context())
			}
		}
		newcomers := newPerson(sim)
		sim.actors[0].people = append(sim.actors[0].people, newcomers)
		sim.setInvite(sim.lastingInvite(1))
		eventually(t, "a new user has a session", time.Minute, func() bool {
			newcomers.join(t.Context())
			return len(newcomers.activeSessions()) > 0
		})
		sim.checkDatabase()
	})
}

// lastingInvite creates an invite that does not expire in these tests, however far a clock is set forward.
func (sim *simulation) lastingInvite(uses int) string {
	sim.t.Helper()
	code := sim.s.Invite(sim.t, uses)
	update := "UPDATE invite SET expires_at = expires_at + interval '1000 hours'"
	if strings.HasPrefix(sim.s.DatabaseURL, "sqlite:") {
		update = "UPDATE invite SET expires_at = expires_at + 3600000000000"
	}
	sim.s.Exec(sim.t, update)
	return code
}

// consumed is what was used up before the clock changed.
type consumed struct {
	link  string // the confirmation link
	ended *session
	code  string // an invite code without remaining uses
}

func consumeAll(t *testing.T, sim *simulation, p *person) consumed {
	t.Helper()
	var u consumed
	for _, m := range sim.mails.To(p.email) {
		if m.Link() != "" {
			u.link = m.Link()
		}
	}
	p.login(t.Context())
	live := p.activeSessions()
	u.ended = live[0]
	p.revoke(t.Context(), live[1], u.ended)
	u.code = sim.lastingInvite(1)
	sim.setInvite(u.code)
	last := newPerson(sim)
	sim.actors[0].people = append(sim.actors[0].people, last)
	last.signUp(t.Context())
	if u.link == "" || u.ended.ended != yes || last.signedUp != yes {
		t.Fatal("the link, session and invite were not used up")
	}
	return u
}

func (u consumed) checkStillConsumed(t *testing.T, sim *simulation, p *person) {
	t.Helper()
	if status := p.open(t.Context(), u.link); status != 404 {
		t.Errorf("the used link: %d", status)
	}
	if status, _ := p.putRefresh(t.Context(), u.ended.refresh); status != 404 {
		t.Errorf("the ended session: %d", status)
	}
	sim.setInvite(u.code)
	another := newPerson(sim)
	another.signUp(t.Context())
	if another.signedUp != no {
		t.Error("the invite without remaining uses was used again")
	}
}

// TestExpiredStaysExpiredWhenClockStepsBack checks that what has ended stays ended: a session with a token treated as stolen,
// and an expired sign-up whose address was signed up again.
func TestExpiredStaysExpiredWhenClockStepsBack(t *testing.T) {
	parallel(t)
	harness.EachEngine(t, func(t *testing.T, engine string) {
		sim, c := newClockSimulation(t, engine)
		sim.populate(1)
		p := sim.people()[0]
		s := p.activeSessions()[0]
		replaced := s.refresh
		p.refreshUntilAnswered(t.Context(), s)
		c.step(3 * time.Minute) // longer than the grace period
		if status, _ := p.putRefresh(t.Context(), replaced); status != 404 {
			t.Errorf("a replaced token after its grace period: %d", status)
		}
		s.ended = yes // the response ends the session

		sim.setInvite(sim.lastingInvite(1))
		late := newPerson(sim)
		late.signUp(t.Context())
		eventually(t, "the confirmation link has arrived", time.Minute, func() bool { return late.newestLink("Confirm") != "" })
		expired := late.newestLink("Confirm")
		c.step(25 * time.Hour)
		next := newPerson(sim)
		next.email = late.email
		next.signUp(t.Context())
		if next.signedUp != yes {
			t.Fatal("the address of the expired sign-up is not free")
		}

		for range 3 {
			c.step(-time.Hour)
			for _, token := range []string{replaced, s.refresh} {
				if status, _ := p.putRefresh(t.Context(), token); status != 404 && status != 400 {
					t.Errorf("a token of the ended session: %d", status)
				}
			}
			if status := late.open(t.Context(), expired); status != 404 {
				t.Errorf("the link of the replaced sign-up: %d", status)
			}
		}
	})
}
