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

// Config configures a Worker. All fields are required, except AppURL, Concurrency and StopTimeout, which have defaults, and Watch.
type Config struct {
	Store     *db.Store
	Transport Transport
	Hasher    *password.Hasher
	Root      secret.Root
	Links     link.Keys
	Log       *slog.Logger

	PublicURL         string        // AUTH_PUBLIC_URL
	AppURL            string        // AUTH_APP_URL: mails with a password have a button to it; none if it is empty
	From              string        // AUTH_MAIL_FROM
	Timeout           time.Duration // AUTH_MAIL_TIMEOUT
	MailedPasswordTTL time.Duration // AUTH_MAILED_PASSWORD_TTL

	NoticeOnlyNewDevices bool // AUTH_LOGIN_NOTICE is new-device: every login notice is about a new device

	Concurrency int           // how many mails are sent at the same time; 8
	StopTimeout time.Duration // how long Run waits for mails that are being sent; 10 s
	Clock       clock.Clock

	// Watch, if not nil, is called before each attempt. The function that it returns is called with the outcome.
	Watch func(ctx context.Context, kind string) (context.Context, func(outcome string))
}

// The outcomes of an attempt, for metrics and traces.
const (
	OutcomeSent         = "sent"
	OutcomeRetried      = "retried"       // failed; it will be tried again
	OutcomeRequeued     = "requeued"      // not counted as an attempt: the relay, the database or this version was the reason
	OutcomeDead         = "dead"          // failed permanently
	OutcomeSuperseded   = "superseded"    // no longer wanted
	OutcomeLeaseLost    = "lease_lost"    // another worker has recorded the result, or the mail was withdrawn
	OutcomeRecordFailed = "record_failed" // the result could not be recorded: it will be sent again
)

// Worker delivers the mails of the outbox. Any number of workers, in this process and in others, can share an outbox.
type Worker struct {
	Config
	sender  sender
	breaker *breaker
	wake    chan struct{}
}

const (
	// An attempt may take attemptTimeouts times the timeout of an SMTP step.
	attemptTimeouts = 4

	// recordTimeout is how long a worker tries to record the result of an attempt.
	recordTimeout = time.Minute

	// pollInterval is how often an idle worker looks for due mails: retries, leases that have ended, and mails that other processes have
	// enqueued.
	pollInterval = time.Second

	// pollRows is how many due mails one poll finds, in addition to those in progress.
	pollRows = 64

	leaseTimeout      = 5 * time.Second // for leasing a mail, also during shutdown
	stopRecordTimeout = 3 * time.Second // for recording the last results during shutdown
)

// NewWorker returns a Worker. An error names the invalid setting.
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
	if cfg.StopTimeout <= 0 {
		cfg.StopTimeout = 10 * time.Second
	}
	return &Worker{Config: cfg, sender: from, breaker: newBreaker(cfg.Concurrency), wake: make(chan struct{}, 1)}, nil
}

// ServiceName returns the service's name as users read it, from AUTH_MAIL_FROM.
func (w *Worker) ServiceName() string { return w.sender.service }

// RelayDown reports whether the circuit breaker is open: the relay is down, and one mail at a time probes it.
func (w *Worker) RelayDown() bool { return w.breaker.isOpen() }

// Wake makes an idle worker poll the outbox now. It never blocks. Call it after a commit that enqueued a mail.
func (w *Worker) Wake() {
	select {
	case w.wake <- struct{}{}:
	default: // a poll is pending already
	}
}

// Run sends mails until ctx ends. Then it leases no more mails and waits for those that are being sent, for StopTimeout at most. It cancels
// the rest, which are due again immediately.
func (w *Worker) Run(ctx context.Context) error {
	sending, cancelSending := context.WithCancel(context.WithoutCancel(ctx))
	recording, cancelRecording := context.WithCancel(context.WithoutCancel(ctx))
	defer cancelRecording()
	defer cancelSending()

	d := dispatcher{Worker: w, inProgress: make(map[uuid.UUID]bool), deliver: func(m leased) { w.deliver(sending, recording, m) }}
	d.run(ctx)

	stopSending := time.AfterFunc(w.StopTimeout, cancelSending)
	defer stopSending.Stop()
	stopRecording := time.AfterFunc(w.StopTimeout+stopRecordTimeout, cancelRecording)
	defer stopRecording.Stop()
	d.handlers.Wait()
	return nil
}
