package mail

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/google/uuid"

	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/clock"
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

	NoticeOnlyNewDevices bool // AUTH_LOGIN_NOTICE is new-device: every login notice is about a new device

	Concurrency int           // mails in flight at once; 8
	StopGrace   time.Duration // how long Run lets mails in flight finish; 10 s
	Clock       clock.Clock

	// Watch, if not nil, is told of every attempt at a mail before it begins, and what it returns is called with how it ended.
	Watch func(ctx context.Context, kind string) (context.Context, func(outcome string))
}

// How an attempt at a mail can end.
const (
	OutcomeSent       = "sent"
	OutcomeRetried    = "retried"    // it will be tried again
	OutcomeReturned   = "returned"   // the relay, or the database, was in trouble: as if it had not been tried
	OutcomeDead       = "dead"       // it will never be sent
	OutcomeSuperseded = "superseded" // nobody needs it any more
	OutcomeOvertaken  = "overtaken"  // somebody else has settled it
	OutcomeUnsettled  = "unsettled"  // how it went could not be recorded: it will be sent again
)

// Worker empties the outbox. Any number of them, in this process and in others, may work side by side.
type Worker struct {
	Config
	sender sender
	gate   *gate
	wake   chan struct{}
}

const (
	// An attempt is cut off after sendLimit timeouts.
	sendLimit = 4

	// recordLimit is for how long a worker tries to record how an attempt went.
	recordLimit = time.Minute

	// An idle worker looks into the outbox this often: for retries that are due, leases that ran out and mails queued by
	// other processes.
	lookEvery = time.Second

	// lookAhead is how many due mails one look finds, besides those under way.
	lookAhead = 64

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
	return &Worker{Config: cfg, sender: from, gate: newGate(cfg.Concurrency), wake: make(chan struct{}, 1)}, nil
}

// ServiceName returns the service's name as users read it, from AUTH_MAIL_FROM.
func (w *Worker) ServiceName() string { return w.sender.service }

// RelayDown tells whether the way out is in trouble; one mail at a time probes it then.
func (w *Worker) RelayDown() bool { return w.gate.down() }

// Wake makes an idle worker look into the outbox now. It never blocks; call it after a commit that queued a mail.
func (w *Worker) Wake() {
	select {
	case w.wake <- struct{}{}:
	default: // it is about to look anyway
	}
}

// Run sends mails until ctx ends. Then it takes no new ones and lets those in flight finish, for
// StopGrace at most; what is cut off after that is due again at once.
func (w *Worker) Run(ctx context.Context) error {
	sending, cutOff := context.WithCancel(context.WithoutCancel(ctx))
	settling, giveUp := context.WithCancel(context.WithoutCancel(ctx))
	defer giveUp()
	defer cutOff()

	d := dispatcher{Worker: w, mine: make(map[uuid.UUID]bool), deliver: func(m leased) { w.deliver(sending, settling, m) }}
	d.run(ctx)

	grace := time.AfterFunc(w.StopGrace, cutOff)
	defer grace.Stop()
	end := time.AfterFunc(w.StopGrace+settleGrace, giveUp)
	defer end.Stop()
	d.underWay.Wait()
	return nil
}

// now is the time in the precision in which both databases keep it.
