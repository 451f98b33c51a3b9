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
	"github.com/financelime/authorization/test/harness"
	"github.com/financelime/authorization/test/harness/smtprecorder"
	"github.com/financelime/authorization/test/postgres"
)

// clock is a clock that somebody sets forward and back.
type clock struct{ offset atomic.Int64 }

func (c *clock) now() time.Time { return time.Now().Add(time.Duration(c.offset.Load())) }

func (c *clock) step(d time.Duration) { c.offset.Add(int64(d)) }

// clockWorld is a world whose service runs in this process, by the clock: no setting of the binary could change its time.
func clockWorld(t *testing.T, engine string) (*world, *clock) {
	t.Helper()
	w, clocks, _ := clocksWorld(t, engine, 100, 0)
	return w, clocks[0]
}

// clocksWorld is a world with several services in this process, on one database: one for each clock, which is ahead by an offset. turnTo
// says which of them the world's people ask.
func clocksWorld(t *testing.T, engine string, sessionsPerUser int64, offsets ...time.Duration) (w *world, clocks []*clock, turnTo func(int)) {
	t.Helper()
	mails := new(smtprecorder.Recorder).Start(t)
	s := &harness.Service{HTTP: contract.Client(t), Env: []string{"AUTH_SECRET=q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA="}}
	s.DatabaseURL = "sqlite:" + filepath.Join(t.TempDir(), "auth.db")
	if engine == harness.Postgres {
		s.DatabaseURL = postgres.URL(t)
	}
	store := openStore(t, s)
	var urls []string
	for i, offset := range offsets {
		if i > 0 && engine == harness.Postgres { // the writer of SQLite is one for all of the process
			store = openStore(t, s)
		}
		c := new(clock)
		c.step(offset)
		clocks = append(clocks, c)
		urls = append(urls, serveByClock(t, s, store, mails, c, sessionsPerUser))
	}
	turnTo = func(i int) {
		var err error
		s.URL = urls[i]
		if s.API, err = client.NewClientWithResponses(s.URL, client.WithHTTPClient(s.HTTP)); err != nil {
			t.Fatal(err)
		}
	}
	turnTo(0)
	w = &world{t: t, s: s, mails: mails, think: 5 * time.Millisecond, timeout: time.Minute, actors: []*actor{{}}}
	w.setInvite("")
	return w, clocks, turnTo
}

// clockReplicas are worlds of replicas that share a database and a mail server, each by a clock of its own.
func clockReplicas(t *testing.T, engine string, replicas int) (worlds []*world, clocks []*clock) {
	t.Helper()
	w, clocks, turnTo := clocksWorld(t, engine, 100, make([]time.Duration, replicas)...)
	for i := range clocks {
		turnTo(i)
		s := &harness.Service{HTTP: w.s.HTTP, Env: w.s.Env, DatabaseURL: w.s.DatabaseURL, URL: w.s.URL, API: w.s.API}
		replica := &world{t: t, s: s, mails: w.mails, think: w.think, timeout: w.timeout, actors: []*actor{{}}}
		replica.setInvite("")
		worlds = append(worlds, replica)
	}
	return worlds, clocks
}

func openStore(t *testing.T, s *harness.Service) *db.Store {
	t.Helper()
	store, err := db.Open(t.Context(), s.DatabaseURL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := store.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return store
}

// serveByClock starts a service that goes by a clock, and returns its URL.
func serveByClock(
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
	// An attempt includes a hash, which takes seconds under the race detector when others have the cores.
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
	there := httptest.NewServer(handler)
	t.Cleanup(there.Close)
	return there.URL
}

// The clock is set forward and back, by an hour. What is within its life either way goes on living; what was used, replaced or
// ended stays so.
func TestClock(t *testing.T) {
	beside(t)
	harness.EachEngine(t, func(t *testing.T, engine string) {
		w, c := clockWorld(t, engine)
		w.populate(2)
		w.settle(time.Minute)
		p := w.people()[0]
		before := usedThings(t, w, p)
		// There and back, once each way; and at the end it is an hour earlier than at the start.
		for _, hours := range []int{1, -1, -1, 1, 1, 1, -2, -1} {
			c.step(time.Duration(hours) * time.Hour)
			for _, p := range w.people() {
				for _, s := range p.live() {
					p.refreshUntilAnswered(t.Context(), s)
					p.list(t.Context(), s)
					p.refreshUntilAnswered(t.Context(), s)
				}
			}
			before.stayUsed(t, w, p)
			if len(p.live()) < 4 {
				p.login(t.Context())
			}
		}
		newcomer := newPerson(w)
		w.actors[0].people = append(w.actors[0].people, newcomer)
		w.setInvite(w.lastingInvite(1))
		eventually(t, "somebody new has a session", time.Minute, func() bool {
			newcomer.join(t.Context())
			return len(newcomer.live()) > 0
		})
		w.check()
	})
}

// lastingInvite makes an invite that lives longer than any clock here is set forward.
func (w *world) lastingInvite(uses int) string {
	w.t.Helper()
	code := w.s.Invite(w.t, uses)
	update := "UPDATE invite SET expires_at = expires_at + interval '1000 hours'"
	if strings.HasPrefix(w.s.DatabaseURL, "sqlite:") {
		update = "UPDATE invite SET expires_at = expires_at + 3600000000000"
	}
	w.s.Exec(w.t, update)
	return code
}

// used are things that somebody has used up.
type used struct {
	link  string // of the confirmation
	ended *session
	code  string // of an invite without a use left
}

func usedThings(t *testing.T, w *world, p *person) used {
	t.Helper()
	var u used
	for _, m := range w.mails.To(p.email) {
		if m.Link() != "" {
			u.link = m.Link()
		}
	}
	p.login(t.Context())
	live := p.live()
	u.ended = live[0]
	p.revoke(t.Context(), live[1], u.ended)
	u.code = w.lastingInvite(1)
	w.setInvite(u.code)
	last := newPerson(w)
	w.actors[0].people = append(w.actors[0].people, last)
	last.signUp(t.Context())
	if u.link == "" || u.ended.ended != yes || last.signedUp != yes {
		t.Fatal("nothing was used up")
	}
	return u
}

func (u used) stayUsed(t *testing.T, w *world, p *person) {
	t.Helper()
	if status := p.open(t.Context(), u.link); status != 404 {
		t.Errorf("the used link: %d", status)
	}
	if status, _ := p.putRefresh(t.Context(), u.ended.refresh); status != 404 {
		t.Errorf("the ended session: %d", status)
	}
	w.setInvite(u.code)
	another := newPerson(w)
	another.signUp(t.Context())
	if another.signedUp != no {
		t.Error("the invite without a use left was used again")
	}
}

// What the clock has ended stays ended when the clock was right: a token that was taken for stolen, a sign-up whose address and
// use somebody else has now.
func TestClockBackAfterTheEnd(t *testing.T) {
	beside(t)
	harness.EachEngine(t, func(t *testing.T, engine string) {
		w, c := clockWorld(t, engine)
		w.populate(1)
		p := w.people()[0]
		s := p.live()[0]
		replaced := s.refresh
		p.refreshUntilAnswered(t.Context(), s)
		c.step(3 * time.Minute) // more than the grace
		if status, _ := p.putRefresh(t.Context(), replaced); status != 404 {
			t.Errorf("a replaced token after its grace: %d", status)
		}
		s.ended = yes // and with it the session

		w.setInvite(w.lastingInvite(1))
		late := newPerson(w)
		late.signUp(t.Context())
		eventually(t, "the confirmation link has come", time.Minute, func() bool { return late.newestLink("Confirm") != "" })
		expired := late.newestLink("Confirm")
		c.step(25 * time.Hour)
		next := newPerson(w)
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
				t.Errorf("the link of the sign-up that somebody else has replaced: %d", status)
			}
		}
	})
}
