package mail

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/link"
	"github.com/financelime/authorization/impl/password"
	"github.com/financelime/authorization/impl/secret"
)

// Config is what a Worker needs. Only Concurrency, StopGrace and Now have defaults.
type Config struct {
	Store     *db.Store
	Transport Transport
	Hasher    *password.Hasher
	Root      secret.Root
	Links     link.Keys
	Log       *slog.Logger

	PublicURL         string        // AUTH_PUBLIC_URL
	From              string        // AUTH_MAIL_FROM
	Timeout           time.Duration // AUTH_MAIL_TIMEOUT
	MailedPasswordTTL time.Duration // AUTH_MAILED_PASSWORD_TTL

	Concurrency int           // mails in flight at once; 8
	StopGrace   time.Duration // how long Run lets mails in flight finish; 10 s
	Now         func() time.Time
}

// Worker empties the outbox. Any number of them, in this process and in others, may work side by side.
type Worker struct {
	Config
	sender sender
	wake   chan struct{}
}

const (
	// A lease outlasts every attempt: an attempt is cut off after sendLimit timeouts, and the rest is for recording
	// how it went. When a process dies, its mails wait for the end of their leases.
	leaseTimeouts = 5
	sendLimit     = 4

	// An idle worker looks into the outbox once in idleMax: for retries that are due, leases that ran out and mails
	// queued by other processes. After a mail it looks sooner at first, because a look that collides with another
	// worker's finds nothing though mails may be due.
	idleMin = 10 * time.Millisecond
	idleMax = time.Second

	leaseLimit  = 5 * time.Second // for taking a mail, a stop notwithstanding
	settleGrace = 3 * time.Second // for recording, at a stop, how the last mails went
)

// NewWorker makes a Worker. The error is a sentence about a setting.
func NewWorker(cfg Config) (*Worker, error) {
	from, err := parseSender(cfg.From)
	if err != nil {
		return nil, err
	}
	if cfg.Timeout <= 0 {
		return nil, errors.New("AUTH_MAIL_TIMEOUT must be more than 0")
	}
	if cfg.Concurrency <= 0 {
		cfg.Concurrency = 8
	}
	if cfg.StopGrace <= 0 {
		cfg.StopGrace = 10 * time.Second
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Worker{Config: cfg, sender: from, wake: make(chan struct{}, 1)}, nil
}

// Wake makes an idle worker look into the outbox now. It never blocks; call it after a commit that queued a mail.
func (w *Worker) Wake() {
	select {
	case w.wake <- struct{}{}:
	default: // it is about to look anyway
	}
}

// Run sends mails until ctx ends. Then it takes no new ones and lets those in flight finish, for StopGrace at most;
// what is cut off after that is due again at once.
func (w *Worker) Run(ctx context.Context) error {
	sending, cutOff := context.WithCancel(context.WithoutCancel(ctx))
	settling, giveUp := context.WithCancel(context.WithoutCancel(ctx))
	defer giveUp()
	defer cutOff()

	var inFlight sync.WaitGroup
	w.dispatch(ctx, func(m leased) {
		inFlight.Go(func() {
			defer m.done()
			w.deliver(sending, settling, m)
		})
	})

	grace := time.AfterFunc(w.StopGrace, cutOff)
	defer grace.Stop()
	end := time.AfterFunc(w.StopGrace+settleGrace, giveUp)
	defer end.Stop()
	inFlight.Wait()
	return nil
}

// leased is a mail that this worker has until the end of a lease.
type leased struct {
	db.Mail
	until time.Time // by the real clock, which time-outs go by
	done  func()    // makes room for another mail
}

// dispatch takes due mails, one after the other, and hands each to start, until ctx ends. One goroutine does it, so
// that the worker's own deliveries do not compete for the same row.
func (w *Worker) dispatch(ctx context.Context, start func(leased)) {
	slots := make(chan struct{}, w.Concurrency)
	idle := idleMin
	failing := false
	for {
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			return
		}
		if ctx.Err() != nil { // select does not prefer it
			return
		}
		m, err := w.lease(ctx)
		if err == nil {
			m.done = func() { <-slots }
			start(m)
			idle, failing = idleMin, false
			continue
		}
		<-slots
		empty := errors.Is(err, db.ErrNotFound)
		if !empty && !failing { // once for an outage
			w.Log.WarnContext(ctx, "mail.unavailable", "error", clean(err))
		}
		failing = !empty

		timer := time.NewTimer(idle)
		select {
		case <-ctx.Done():
		case <-w.wake:
			idle = idleMin
		case <-timer.C:
			idle = min(2*idle, idleMax)
		}
		timer.Stop()
	}
}

// lease takes the mail that has been due for longest. A stop does not interrupt it: the row could be taken and nobody
// know of it.
func (w *Worker) lease(ctx context.Context) (leased, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaseLimit)
	defer cancel()
	length := leaseTimeouts * w.Timeout
	m := leased{until: time.Now().Add(length)}
	now := w.now()
	err := w.Store.Write(ctx, func(q *db.Queries) (err error) {
		m.Mail, err = q.LeaseMail(ctx, db.LeaseMailParams{LeaseUntil: now.Add(length), Now: now})
		return err
	})
	if err != nil {
		return leased{}, fmt.Errorf("lease a mail: %w", err)
	}
	return m, nil
}

// now is the time in the precision in which both databases keep it.
func (w *Worker) now() time.Time { return w.Now().UTC().Truncate(time.Microsecond) }
