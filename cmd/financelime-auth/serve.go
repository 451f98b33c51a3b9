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
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mattn/go-isatty"

	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl"
	"github.com/financelime/authorization/impl/cleanup"
	"github.com/financelime/authorization/impl/dev"
	"github.com/financelime/authorization/impl/limit"
	"github.com/financelime/authorization/impl/link"
	"github.com/financelime/authorization/impl/mail"
	"github.com/financelime/authorization/impl/metric"
	"github.com/financelime/authorization/impl/password"
	"github.com/financelime/authorization/impl/reqinfo"
	"github.com/financelime/authorization/impl/secret"
	"github.com/financelime/authorization/impl/server"
	"github.com/financelime/authorization/impl/token"
	"github.com/financelime/authorization/impl/totp"
)

// drainTime limits how long requests in progress can take after the shutdown delay.
const drainTime = 25 * time.Second

type serve struct{}

// Run creates the service, runs it until ctx ends (SIGTERM), and waits for requests in progress.
func (serve) Run(ctx context.Context, s *Settings, c console) error {
	metrics := metric.New()
	log := slog.New(metrics.Log(newLogger(s, c.err).Handler()))
	transport, err := mail.OpenTransport(s.MailURL, s.MailFrom, s.MailTimeout) // first, so that a wrong URL creates no files
	if err != nil {
		return err
	}
	policy, err := s.openPolicy() // for the same reason
	if err != nil {
		return err
	}
	s.warn(ctx, log)
	root, err := s.root()
	if err != nil {
		return err
	}
	database, err := openOrCreateStore(ctx, s, log, s.keepOlderApart)
	if err != nil {
		return err
	}
	store := database.Store
	defer func() {
		if err := database.Close(); err != nil {
			log.ErrorContext(ctx, "database.close_failed", slog.Any("error", err))
		}
	}()
	if err := s.keepApart(ctx, store); err != nil { // before anything is written
		return err
	}
	tracer, err := openTracer(ctx, store, log)
	if err != nil {
		return err
	}
	defer tracer.close(ctx, log)
	watch := newHooks(metrics, tracer.Tracer)
	store.SetQueryHook(watch.database)
	p, err := newProcess(ctx, s, root, store, transport, policy, log, metrics, watch)
	if err != nil {
		return err
	}
	if err := s.keepApart(ctx, store); err != nil { // again: another process may have used the empty database meanwhile
		return err
	}
	return p.run(ctx, s.ShutdownDelay, func(api, admin net.Addr) {
		log.InfoContext(ctx, "service.listening", slog.String("http_addr", api.String()), slog.String("admin_addr", admin.String()),
			slog.String("version", number), slog.String("engine", store.Engine()), slog.String("issuer", s.Issuer), slog.Int("hashing_slots", p.slots))
		printBanner(ctx, s, c, &firstInvite{store: store, root: root, log: log}, transport, admin)
	})
}

// process is the running service: two HTTP servers and the background workers.
type process struct {
	public, admin *http.Server
	keys          *token.Keys
	mail          *mail.Worker
	service       *impl.Service
	cleaner       *cleanup.Cleaner
	resealer      *totp.Resealer
	slots         int // how many passwords are hashed at the same time
	ready         *atomic.Bool
	log           *slog.Logger
}

// newProcess creates the parts of the service and connects them.
func newProcess(
	ctx context.Context, s *Settings, root secret.Root, store *db.Store, transport mail.Transport, policy *password.Policy, log *slog.Logger,
	metrics *metric.Metrics, watch hooks,
) (*process, error) {
	tokens := s.tokens()
	tokens.OtherIssuer = otherIssuerWarning(ctx, s.Issuer, log)
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

	tickets, err := token.NewTickets(root, tokens)
	if err != nil {
		return nil, err
	}
	ceremonies, err := token.NewCeremonies(root, tokens)
	if err != nil {
		return nil, err
	}
	totpSecrets, err := totp.NewSealer(root)
	if err != nil {
		return nil, err
	}

	// GOMAXPROCS grows by the number of hashing slots: then the operating system, and not the Go scheduler, shares the cores between
	// hashing and cheap requests.
	cores := runtime.GOMAXPROCS(0)
	slots := hashingSlots(cores, containerMemory("/"), debug.SetMemoryLimit(-1))
	runtime.GOMAXPROCS(cores + slots)
	hasher := password.NewHasher(password.Options{Slots: slots, Wait: s.HashWait})

	limits := limit.New(root, s.limits())
	limits.LoginWait = s.HashWait

	links := link.New(root)
	worker, err := mail.NewWorker(mail.Config{
		Store: store, Transport: transport, Hasher: hasher, Root: root, Links: links, PublicURL: s.PublicURL, AppURL: s.AppURL,
		From: s.MailFrom, Timeout: s.MailTimeout, MailedPasswordTTL: s.MailedPasswordTTL, Log: log, Watch: watch.mail,
		NoticeOnlyNewDevices: impl.LoginNotice(s.LoginNotice) == impl.NoticeNewDevice,
	})
	if err != nil {
		return nil, err
	}
	policy.Names = []string{worker.ServiceName(), s.publicHost()}
	passkeys, err := s.openPasskeys(worker.ServiceName())
	if err != nil {
		return nil, err
	}
	service := &impl.Service{
		Store: store, Root: root, Links: links, Hasher: hasher, PasswordPolicy: policy, Limits: limits, Keys: keys, Access: access, Refresh: refresh, Tickets: tickets, Ceremonies: ceremonies, TOTP: totpSecrets, Passkeys: passkeys, Log: log,
		Name: worker.ServiceName(), AppURL: s.AppURL, PublicURL: s.PublicURL, Issuer: s.Issuer, MailQueued: worker.Wake, InviteRequired: s.InviteRequired, ClientIDs: s.ClientIDs,
		SignUpLinkTTL: s.SignUpLinkTTL, PasswordLinkTTL: s.PasswordLinkTTL, DeletionGrace: s.DeletionGrace,
		RefreshTTL: s.RefreshTTL, RefreshGrace: s.RefreshGrace, SessionMaxAge: s.SessionMaxAge, Version: buildVersion(),
		HideAccounts: s.HideAccounts, LoginNotice: impl.LoginNotice(s.LoginNotice), SessionsPerUser: s.SessionsPerUser,
	}
	handler, err := server.New(server.Config{
		ServiceName: worker.ServiceName(), AppURL: s.AppURL, Authenticate: authenticate(access), TrustedProxies: s.trustedProxies,
		CORSOrigins: s.CORSOrigins, CORSAllows: s.devOrigins(), HTTPS: s.https(), Log: log,
		Watch: watch.request, Limited: metrics.Limited,
	}, service)
	if err != nil {
		return nil, err
	}
	if s.Dev {
		handler, err = withExamples(ctx, dev.Config{
			Store: store, Root: root, Hasher: hasher, Links: links, Access: access, Refresh: refresh, Log: log,
			SignUpLinkTTL: s.SignUpLinkTTL, RefreshTTL: s.RefreshTTL, SessionMaxAge: s.SessionMaxAge,
		}, handler)
		if err != nil {
			return nil, err
		}
	}
	resealer := &totp.Resealer{Store: store, Sealer: totpSecrets, Outdated: keys.Outdated, Log: log}
	cleaner := &cleanup.Cleaner{Store: store, Log: log, RefreshTTL: s.RefreshTTL, SessionMaxAge: s.SessionMaxAge}
	ready := new(atomic.Bool)
	check := &readiness{store: store, keys: keys, serving: ready}
	version := buildVersion()
	metrics.Observe(metric.Sources{
		Store: store, Keys: keys, TOTP: resealer, Mail: worker, Hasher: hasher, Now: time.Now,
		Ready:   func() bool { return check.run(context.WithoutCancel(ctx)) == nil }, // the same as /readyz
		Version: version.Number, Revision: version.Build,
	})
	return &process{
		public: httpServer(s.HTTPAddr, closeWhenStopping(handler, ready), log),
		admin:  httpServer(s.AdminAddr, adminHandler(check, metrics.Handler(log), transport, s.AdminAddr), log),
		keys:   keys, mail: worker, service: service, cleaner: cleaner, resealer: resealer, slots: slots, ready: ready, log: log,
	}, nil
}

// authenticate verifies an access token and stores its account and session in the context.
func authenticate(access *token.Access) func(context.Context, string) (context.Context, error) {
	return func(ctx context.Context, raw string) (context.Context, error) {
		claims, err := access.Verify(ctx, raw)
		if err != nil {
			return nil, err
		}
		req := reqinfo.FromContext(ctx)
		req.AccountID, req.SessionID = claims.AccountID.String(), claims.SessionID.String()
		return token.NewContext(ctx, claims), nil
	}
}

// otherIssuerWarning returns a function that logs, once, that a token of another issuer was received, and how to restore its session.
// Startup cannot check this, because the issuer is only stored in tokens.
func otherIssuerWarning(ctx context.Context, issuer string, log *slog.Logger) func(other string) {
	var once sync.Once
	return func(other string) {
		once.Do(func() {
			log.WarnContext(ctx, "token.other_issuer", slog.String("token_issuer", other), slog.String("issuer", issuer),
				slog.String("hint", "AUTH_PUBLIC_URL or AUTH_TOKEN_ISSUER was changed, which ended all sessions: set AUTH_TOKEN_ISSUER to token_issuer to restore them"))
		})
	}
}

// closeWhenStopping closes each connection after its next response while the service stops. http.Server.SetKeepAlivesEnabled would also
// close idle connections immediately, and break a request that is just arriving on one.
func closeWhenStopping(next http.Handler, ready *atomic.Bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !ready.Load() {
			w.Header().Set("Connection", "close")
		}
		next.ServeHTTP(w, r)
	})
}

// httpServer limits what a slow or hostile client can occupy: 5 s and 16 KiB for headers, 15 s for a request, 30 s for a response.
func httpServer(addr string, handler http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Addr:              addr,
		Handler:           handler,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       15 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       60 * time.Second,
		MaxHeaderBytes:    16 << 10,

		DisableGeneralOptionsHandler: true, // OPTIONS * is not in the contract
		ErrorLog:                     slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
}

// run listens and serves until ctx ends. Then it stops in this order: /readyz reports not ready, while requests are still accepted for
// the delay (a gateway needs time to notice); requests in progress; the mail in progress. The caller closes the database afterwards.
func (p *process) run(ctx context.Context, delay time.Duration, listening func(api, admin net.Addr)) error {
	p.service.StartHeartbeat(ctx)
	public, err := listen(ctx, p.public.Addr)
	if err != nil {
		return fmt.Errorf("AUTH_HTTP_ADDR: %w", err)
	}
	admin, err := listen(ctx, p.admin.Addr)
	if err != nil {
		return errors.Join(fmt.Errorf("AUTH_ADMIN_ADDR: %w", err), public.Close())
	}

	// Workers and connections continue after ctx ends, so that they can finish.
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
	running.Go(func() { p.service.RunHeartbeat(background) })
	running.Go(func() { p.cleaner.Run(background) })
	running.Go(func() { p.resealer.Run(background) })
	running.Go(func() { adjustMemoryLimit(background, p.slots) })
	running.Go(func() { serveOn(p.public, public, failed) })
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

// newLogger returns a logger that writes to w in the configured format: with auto, text on a terminal and JSON otherwise.
func newLogger(s *Settings, w io.Writer) *slog.Logger {
	var level slog.Level
	_ = level.UnmarshalText([]byte(s.LogLevel)) // the flag's enum allows only valid levels
	options := &slog.HandlerOptions{Level: level}
	if s.LogFormat == "text" || s.LogFormat == "auto" && isTerminal(w) {
		return slog.New(slog.NewTextHandler(w, options))
	}
	return slog.New(slog.NewJSONHandler(w, options))
}

// isTerminal reports whether w is a terminal.
func isTerminal(w io.Writer) bool {
	file, isFile := w.(*os.File)
	return isFile && isatty.IsTerminal(file.Fd())
}
