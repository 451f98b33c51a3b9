package impl

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/financelime/authorization/api"
	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/limit"
	"github.com/financelime/authorization/impl/link"
	"github.com/financelime/authorization/impl/password"
	"github.com/financelime/authorization/impl/reqinfo"
	"github.com/financelime/authorization/impl/secret"
	"github.com/financelime/authorization/impl/token"
	"github.com/financelime/authorization/test/dbtest"
	"github.com/financelime/authorization/test/postgres"
)

// skewedReplicas are three services on one database whose clocks differ by up to 5 s, with limits like the defaults and cheap hashes.
type skewedReplicas struct {
	t        *testing.T
	services []*Service
	email    string
}

const rightPassword = "correct horse battery staple"

func newSkewedReplicas(t *testing.T, url string) *skewedReplicas {
	t.Helper()
	root, err := secret.Generate()
	must(t, err)
	store := dbtest.Open(t, url)
	hasher := password.NewHasher(password.Options{Queue: 1000, Params: password.Params{Memory: 8 * 1024, Time: 1, Threads: 1}})
	w := &skewedReplicas{t: t, email: "p@example.com"}
	for _, ahead := range []time.Duration{0, 5 * time.Second, 2 * time.Second} {
		now := func() time.Time { return time.Now().Add(ahead) }
		log := slog.New(slog.DiscardHandler)
		cfg := token.Config{Issuer: "i", Audience: "a", Algorithm: token.ES256, AccessTTL: time.Minute, RefreshTTL: time.Hour, Clock: now}
		keys, err := token.OpenKeys(t.Context(), store, root, cfg, log)
		must(t, err)
		access, err := token.NewAccess(keys, cfg)
		must(t, err)
		refresh, err := token.NewRefresh(root, cfg)
		must(t, err)
		tickets, err := token.NewTickets(root, cfg)
		must(t, err)
		limits := limit.New(root, map[limit.Name]limit.Rate{
			limit.LoginAccount: {Count: 10, Per: 10 * time.Minute}, limit.LoginSource: {Count: 100, Per: 10 * time.Minute},
		})
		limits.LoginWait = time.Minute
		w.services = append(w.services, &Service{
			Store: store, Root: root, Links: link.New(root), Hasher: hasher, Limits: limits, Keys: keys, Access: access, Refresh: refresh, Tickets: tickets,
			Log: log, Clock: now, MailQueued: func() {}, LoginNotice: NoticeNever, SessionsPerUser: 100,
			RefreshTTL: time.Hour, SessionMaxAge: time.Hour, RefreshGrace: time.Minute,
		})
	}
	id, mail := newID(), newID()
	hash, err := hasher.Hash(t.Context(), rightPassword, "")
	must(t, err)
	until := time.Now().Add(time.Hour)
	must(t, store.InTx(t.Context(), func(q *db.Queries) error {
		if _, err := q.InsertAccount(t.Context(), db.InsertAccountParams{ID: id, Email: w.email, Language: "en", CreatedAt: until}); err != nil {
			return err
		}
		_, err := q.SetPendingPassword(t.Context(), db.SetPendingPasswordParams{ID: id, MailID: &mail, Number: 1, PasswordHash: &hash, ExpiresAt: &until})
		return err
	}))
	w.want("the first login", w.login(0, "198.51.100.1", rightPassword), 200)
	return w
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (w *skewedReplicas) want(what string, got, want int) {
	w.t.Helper()
	if got != want {
		w.t.Fatalf("%s: %d, want %d", what, got, want)
	}
}

// login logs in at one of the services and returns the HTTP status.
func (w *skewedReplicas) login(service int, clientIP, plain string) int {
	ctx := reqinfo.NewContext(context.WithoutCancel(w.t.Context()), &reqinfo.Info{RequestID: uuid.NewString(), Addr: netip.MustParseAddr(clientIP)})
	response, err := w.services[service%len(w.services)].CreateAccessToken(ctx, api.CreateAccessTokenRequestObject{
		Body: &api.CreateAccessTokenRequest{Email: w.email, Password: plain, ClientID: "test"},
	})
	var exceeded *limit.ExceededError
	switch {
	case errors.As(err, &exceeded):
		return 429
	case errors.Is(err, limit.BusyError{}):
		return 503
	case err != nil:
		w.t.Error(err)
		return 500
	}
	switch response.(type) {
	case api.CreateAccessToken200JSONResponse:
		return 200
	case api.CreateAccessToken403JSONResponse:
		return 403
	case api.CreateAccessToken404JSONResponse:
		return 404
	}
	return 0
}

// On replicas whose clocks are 5 s apart, simultaneous logins with the right password are never refused, and wrong passwords get no more
// than the limit. A client that waits as long as one replica told it to is accepted by the one that is behind.
func TestRaceLoginsBySkewedClocks(t *testing.T) {
	rounds := 50
	if os.Getenv("FINANCELIME_FULL") != "" {
		rounds = 1000
	}
	dbtest.EachEngine(t, func(t *testing.T, url string) {
		w := newSkewedReplicas(t, url)
		for round := range rounds {
			refused := new(atomic.Int64)
			var running sync.WaitGroup
			for i := range 8 {
				running.Go(func() {
					if w.login(i+round, "203.0.113.9", rightPassword) != 200 {
						refused.Add(1)
					}
				})
			}
			running.Wait()
			if n := refused.Load(); n > 0 {
				t.Fatalf("round %d: %d of 8 simultaneous logins with the right password were refused", round, n)
			}
		}
		var compared, refused atomic.Int64
		var running sync.WaitGroup
		for i := range 60 {
			running.Go(func() {
				switch status := w.login(i, fmt.Sprintf("203.0.113.%d", 10+i), "wrong"); status {
				case 404:
					compared.Add(1)
				case 429, 503:
					refused.Add(1)
				default:
					t.Errorf("a wrong password: %d", status)
				}
			})
		}
		running.Wait()
		if compared.Load() != 10 || refused.Load() != 50 {
			t.Errorf("60 simultaneous wrong passwords: %d compared, %d refused; want 10 and 50", compared.Load(), refused.Load())
		}
		w.want("immediately, on the replica that is behind", w.login(0, "192.0.2.9", rightPassword), 429)
		delay := time.Minute
		for _, s := range w.services {
			now := s.Clock
			s.Clock = func() time.Time { return now().Add(delay) }
		}
		w.want("after the delay, on the replica that is behind", w.login(0, "192.0.2.9", rightPassword), 200)
	})
}

// Sign-ups from one client IP that wait for each other hold one database connection together, and other requests continue.
func TestOneClientIPHoldsOneConnection(t *testing.T) {
	t.Parallel()
	root, err := secret.Generate()
	must(t, err)
	url := postgres.URL(t)
	open := func(options string) *db.Store {
		store, err := db.Open(t.Context(), url+options)
		must(t, err)
		t.Cleanup(func() { _ = store.Close() })
		return store
	}
	store, other := open("&pool_max_conns=2"), open("")
	must(t, store.Migrate(t.Context()))
	addr := netip.MustParseAddr("203.0.113.9")
	s := &Service{
		Store: store, Root: root, Links: link.New(root), Log: slog.New(slog.DiscardHandler), MailQueued: func() {}, SignUpLinkTTL: time.Hour,
		Limits: limit.New(root, map[limit.Name]limit.Rate{limit.SignUpSource: {Count: 100, Per: time.Hour}}),
	}
	locked, release, held := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() {
		held <- other.InTx(t.Context(), func(q *db.Queries) error {
			_, err := s.Limits.Lock(t.Context(), q, time.Now(), s.Limits.ClientIPQuota(limit.SignUpSource, addr))
			close(locked)
			<-release
			return err
		})
	}()
	<-locked
	var running sync.WaitGroup
	for i := range 10 {
		running.Go(func() {
			ctx := reqinfo.NewContext(t.Context(), &reqinfo.Info{RequestID: uuid.NewString(), Addr: addr})
			response, err := s.Signup(ctx, api.SignupRequestObject{Body: &api.SignUpRequest{
				Email: fmt.Sprintf("p%d@example.com", i), Language: "en",
			}})
			if _, accepted := response.(api.Signup204Response); err != nil || !accepted {
				t.Errorf("%+v, %v", response, err)
			}
		})
	}
	until(t, func() bool { return store.Stats().Pool.InUse == 1 })
	for range 20 {
		if _, err := store.Read().GetAccountByEmail(t.Context(), "other@example.com"); !errors.Is(err, db.ErrNotFound) {
			t.Errorf("another query: %v", err)
		}
	}
	close(release)
	must(t, <-held)
	running.Wait()
}
