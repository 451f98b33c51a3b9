package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mattn/go-isatty"

	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl"
	"github.com/financelime/authorization/impl/caller"
	"github.com/financelime/authorization/impl/invite"
	"github.com/financelime/authorization/impl/keep"
	"github.com/financelime/authorization/impl/limit"
	"github.com/financelime/authorization/impl/link"
	"github.com/financelime/authorization/impl/mail"
	"github.com/financelime/authorization/impl/metric"
	"github.com/financelime/authorization/impl/password"
	"github.com/financelime/authorization/impl/secret"
	"github.com/financelime/authorization/impl/server"
	"github.com/financelime/authorization/impl/token"
)

// drainTime is how long requests in flight get after the shutdown delay.
const drainTime = 25 * time.Second

// The invite code of a first start.
const (
	firstInviteUses     = 100
	firstInviteLifetime = 30 * 24 * time.Hour
)

type serve struct{}

// Run wires the service together, runs it until ctx ends (SIGTERM), and lets what is in flight finish.
func (serve) Run(ctx context.Context, s *Settings, c console) error {
	metrics := metric.New()
	log := slog.New(metrics.Log(newLogger(s, c.err).Handler()))
	firstStart := s.sqlitePath() != "" && !exists(s.sqlitePath())
	root, err := s.root()
	if err != nil {
		return err
	}
	database, err := makeStore(ctx, s, log)
	if err != nil {
		return err
	}
	store := database.Store
	defer func() {
		if err := database.Close(); err != nil {
			log.ErrorContext(ctx, "database.close_failed", slog.Any("error", err))
		}
	}()
	tracer, err := openTracer(ctx, store, log)
	if err != nil {
		return err
	}
	defer tracer.close(ctx, log)
	watching := watch(metrics, tracer.Tracer)
	store.Watch(watching.database)
	welcome := banner{publicURL: s.PublicURL}
	if firstStart && s.InviteRequired {
		o := invite.Options{Uses: firstInviteUses, Lifetime: firstInviteLifetime}
		if welcome.inviteCode, err = invite.Create(ctx, store, root, o, time.Now()); err != nil {
			return fmt.Errorf("first start: %w", err)
		}
	}
	p, err := assemble(ctx, s, root, store, log, metrics, watching)
	if err != nil {
		return err
	}
	welcome.transport = p.transport
	return p.run(ctx, s.ShutdownDelay, func(api, admin net.Addr) {
		log.InfoContext(ctx, "service.listening", slog.String("http_addr", api.String()), slog.String("admin_addr", admin.String()),
			slog.String("version", number), slog.String("engine", store.Engine()))
		welcome.print(c.out, admin)
	})
}

// process is the wired service: two listeners, and workers.
type process struct {
	public, admin *http.Server
	https         bool // how the service is reached from outside
	keys          *token.Keys
	mail          *mail.Worker
	service       *impl.Service
	house         *keep.House
	slots         int // passwords that are hashed at a time
	transport     mail.Transport
	ready         *atomic.Bool
	log           *slog.Logger
}

func assemble(
	ctx context.Context, s *Settings, root secret.Root, store *db.Store, log *slog.Logger, metrics *metric.Metrics, watching watches,
) (*process, error) {
	tokens := s.tokens()
	keys, err := token.OpenKeys(ctx, store, root, tokens, log)
	if err != nil {
		return nil, err
	}
	access, err := token.NewAccess(keys, tokens)
	if err != nil {
		return nil, err
	}
	refresh, err := token.NewRefresh(root, tokens)
	if err != nil {
		return nil, err
	}

	// One slot for each core; GOMAXPROCS grows by as much, so that the operating system and not the Go scheduler shares the
	// cores out between hashing and cheap requests.
	slots := runtime.GOMAXPROCS(0)
	runtime.GOMAXPROCS(2 * slots)
	hasher := password.NewHasher(password.Options{Slots: slots, Wait: s.HashWait})

	links := link.New(root)
	transport, err := mail.OpenTransport(s.MailURL, s.MailFrom, s.MailTimeout)
	if err != nil {
		return nil, err
	}
	worker, err := mail.NewWorker(mail.Config{
		Store: store, Transport: transport, Hasher: hasher, Root: root, Links: links, PublicURL: s.PublicURL,
		From: s.MailFrom, Timeout: s.MailTimeout, MailedPasswordTTL: s.MailedPasswordTTL, Log: log, Watch: watching.mail,
	})
	if err != nil {
		return nil, err
	}
	service := &impl.Service{
		Store: store, Root: root, Links: links, Hasher: hasher, Limits: limit.New(root, s.limits()), Keys: keys, Access: access, Refresh: refresh, Log: log,
		PublicURL: s.PublicURL, Issuer: s.Issuer, MailQueued: worker.Wake, InviteRequired: s.InviteRequired, ClientIDs: s.ClientIDs,
		SignUpLinkTTL: s.SignUpLinkTTL, PasswordLinkTTL: s.PasswordLinkTTL,
		RefreshTTL: s.RefreshTTL, RefreshGrace: s.RefreshGrace, SessionMaxAge: s.SessionMaxAge, Version: buildVersion(),
		HideAccounts: s.HideAccounts, LogInNotice: impl.LogInNotice(s.LogInNotice), SessionsPerUser: s.SessionsPerUser,
	}
	handler, err := server.New(server.Config{
		Authenticate: authenticate(access), TrustedProxies: s.trustedProxies,
		CORSOrigins: s.CORSOrigins, HTTPS: s.https(), Log: log,
		Watch: watching.request, Limited: metrics.Limited,
	}, service)
	if err != nil {
		return nil, err
	}
	house := &keep.House{Store: store, Log: log, RefreshTTL: s.RefreshTTL, SessionMaxAge: s.SessionMaxAge}
	ready := new(atomic.Bool)
	check := &readiness{store: store, keys: keys, serving: ready}
	version := buildVersion()
	metrics.Observe(metric.Sources{
		Store: store, Keys: keys, Mail: worker, Hasher: hasher, Now: time.Now,
		Ready:   func() bool { return check.ask(context.WithoutCancel(ctx)) == nil }, // what /readyz says
		Version: version.Number, Revision: version.Build,
	})
	return &process{
		public: httpServer(s.HTTPAddr, closeWhenStopping(handler, ready), log),
		admin:  httpServer(s.AdminAddr, adminHandler(check, metrics.Handler(log), transport), log),
		https:  s.https(),
		keys:   keys, mail: worker, service: service, house: house, slots: slots, transport: transport, ready: ready, log: log,
	}, nil
}

// authenticate takes an access token for whom it speaks for.
func authenticate(access *token.Access) func(context.Context, string) (context.Context, error) {
	return func(ctx context.Context, raw string) (context.Context, error) {
		claims, err := access.Verify(ctx, raw)
		if err != nil {
			return nil, err
		}
		who := caller.FromContext(ctx)
		who.AccountID, who.SessionID = claims.AccountID.String(), claims.SessionID.String()
		return token.NewContext(ctx, claims), nil
	}
}

// closeWhenStopping ends each connection with its next answer once the service is not ready any more. The server's own
// switch would also close the idle ones at once, and cut a request that is just arriving on one.
func closeWhenStopping(next http.Handler, ready *atomic.Bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !ready.Load() {
			w.Header().Set("Connection", "close")
		}
		next.ServeHTTP(w, r)
	})
}

// httpServer bounds what a slow or hostile client can hold: headers 5 s and 16 KiB, a request 15 s, an answer 30 s.
func httpServer(addr string, handler http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Addr:              addr,
		Handler:           handler,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       15 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       60 * time.Second,
		MaxHeaderBytes:    16 << 10,

		DisableGeneralOptionsHandler: true, // OPTIONS * is no path of the contract either
		ErrorLog:                     slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
}

// run listens, serves until ctx ends, and stops in this order: not ready, still accepting for the delay (a gateway needs time to
// notice), requests in flight, the mail in flight, and only then the database (the caller closes it).
func (p *process) run(ctx context.Context, delay time.Duration, listening func(api, admin net.Addr)) error {
	public, err := listen(ctx, p.public.Addr)
	if err != nil {
		return fmt.Errorf("AUTH_HTTP_ADDR: %w", err)
	}
	admin, err := listen(ctx, p.admin.Addr)
	if err != nil {
		return errors.Join(fmt.Errorf("AUTH_ADMIN_ADDR: %w", err), public.Close())
	}

	// The workers and the connections outlive ctx: they have their own time to finish.
	background, stopWorkers := context.WithCancel(context.WithoutCancel(ctx))
	defer stopWorkers()
	failed := make(chan error, 3)
	var running sync.WaitGroup
	running.Go(func() { p.keys.Run(background) })
	running.Go(func() {
		if err := p.mail.Run(background); err != nil {
			failed <- fmt.Errorf("mail worker: %w", err)
		}
	})
	running.Go(func() { p.service.RunResets(background) })
	running.Go(func() { p.house.Run(background) })
	running.Go(func() { keepMemory(background, p.slots) })
	running.Go(func() { serveOn(p.public, server.Listener(public, p.https, p.log), failed) })
	running.Go(func() { serveOn(p.admin, admin, failed) })

	p.ready.Store(true)
	listening(public.Addr(), admin.Addr())
	p.log.InfoContext(ctx, "service.ready")

	select {
	case err = <-failed:
	case <-ctx.Done():
		p.log.InfoContext(background, "service.stopping")
		p.ready.Store(false)
		time.Sleep(delay)
	}
	drain, cancel := context.WithTimeout(background, drainTime)
	defer cancel()
	err = errors.Join(err, p.public.Shutdown(drain), p.admin.Shutdown(drain))
	stopWorkers()
	running.Wait()
	p.log.InfoContext(drain, "service.stopped")
	return err
}

func listen(ctx context.Context, addr string) (net.Listener, error) {
	var l net.ListenConfig
	return l.Listen(ctx, "tcp", addr)
}

func serveOn(s *http.Server, l net.Listener, failed chan<- error) {
	if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		failed <- err
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return !errors.Is(err, os.ErrNotExist)
}

// newLogger logs to w: text for people at a terminal, JSON for machines.
func newLogger(s *Settings, w io.Writer) *slog.Logger {
	var level slog.Level
	_ = level.UnmarshalText([]byte(s.LogLevel)) // one of four, says the flag
	options := &slog.HandlerOptions{Level: level}
	file, isFile := w.(*os.File)
	if s.LogFormat == "text" || s.LogFormat == "auto" && isFile && isatty.IsTerminal(file.Fd()) {
		return slog.New(slog.NewTextHandler(w, options))
	}
	return slog.New(slog.NewJSONHandler(w, options))
}

// banner is what a person at a terminal wants to know of a service that has just started.
type banner struct {
	publicURL  string
	transport  mail.Transport
	inviteCode string
}

func (b banner) print(w io.Writer, admin net.Addr) {
	rows := [][2]string{
		{"API", b.publicURL + "   (contract: /openapi.yaml)"},
		{"Health", fmt.Sprintf("http://%s/healthz, /readyz, /metrics", admin)},
	}
	if files, local := b.transport.(*mail.Files); local {
		rows = append(rows, [2]string{"Mailbox", fmt.Sprintf("http://%s/mail   (files: %s)", admin, files.Dir)})
	}
	if b.inviteCode != "" {
		rows = append(rows, [2]string{"Invite code", fmt.Sprintf("%s   (%d uses, 30 days; another one: financelime-auth invite create)", b.inviteCode, firstInviteUses)})
	}
	fmt.Fprintf(w, "\nFinancelime Authorization %s\n\n", number)
	for _, r := range rows {
		fmt.Fprintf(w, "  %-12s %s\n", r[0], r[1])
	}
	fmt.Fprintln(w)
}
