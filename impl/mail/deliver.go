package mail

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"

	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/recovery"
	"github.com/financelime/authorization/impl/reqinfo"
)

// delivery is one attempt at one mail.
type delivery struct {
	*Worker
	mail      leased
	log       *slog.Logger
	secrets   []string // what errors must not contain: the address, the link, the password
	lease     *leaseHolder
	recipient string // the address
	attempted bool   // the transport was called and has returned
	outcome   string // one of the constants Outcome…
}

// withdrawn is the reason why a mail must not be sent any more.
type withdrawn string

func (w withdrawn) Error() string { return string(w) }

const (
	errSuperseded       withdrawn = "superseded" // by a newer link or password, or the password is void
	errTakenOver        withdrawn = "withdrawn, or taken over by another worker"
	errLinkExpired      withdrawn = "expired" // or used
	errAccountDeleted   withdrawn = "account is deleted"
	errAccountDisabled  withdrawn = "account is disabled"
	errNotifiedRecently withdrawn = "the owner of the address was notified recently"
)

// errForeignSecret: the link of the confirmation cannot be derived. The mail is tried again, because the secret can come back.
var errForeignSecret = errors.New("the link was derived from another AUTH_SECRET: AUTH_SECRET_PREVIOUS was removed too early")

// errStopped: shutdown interrupted the attempt; the mail is rescheduled.
var errStopped = errors.New("interrupted by the shutdown of the service")

// unknownKindError is a kind of mail that this version does not have. During a rolling upgrade, newer replicas enqueue and send such mails.
type unknownKindError string

func (e unknownKindError) Error() string { return fmt.Sprintf("unknown kind of mail %q", string(e)) }

// deliver makes one attempt at a mail and records the result. The attempt is cancelled when sending ends, recording when recording ends.
// Giving up is safe: the lease ends, and the mail is due again.
func (w *Worker) deliver(sending, recording context.Context, m leased) {
	d := &delivery{Worker: w, mail: m, log: w.Log.With(
		"mail_id", m.ID, "kind", m.Kind, "account_id", m.AccountID, "request_id", m.RequestID, "attempt", m.Attempts), outcome: OutcomeRecordFailed}

	// One parent context for both, so that traces show them together, with the ID of the request that caused the mail.
	watched := reqinfo.NewContext(context.WithoutCancel(sending), &reqinfo.Info{RequestID: m.RequestID})
	if w.Watch != nil {
		var end func(string)
		watched, end = w.Watch(watched, m.Kind)
		defer func() { end(d.outcome) }()
	}
	attempt, cancel := mergeCancel(watched, sending)
	defer cancel()
	attempt, cancelAttempt := context.WithDeadline(attempt, m.sendDeadline)
	defer cancelAttempt()
	recording, stopRecording := mergeCancel(watched, recording)
	defer stopRecording()
	recording, cancelRecording := context.WithDeadline(recording, m.recordDeadline)
	defer cancelRecording()

	attempt, d.lease = w.holdLease(attempt, m)
	err := d.recoverPanic(func() error { return d.attempt(attempt) })
	dueAt, lost := d.lease.finish(recording)
	d.mail.DueAt = dueAt
	switch {
	case err != nil && lost:
		err = errLeaseLost
	case err != nil && sending.Err() != nil:
		err = errStopped
	case d.attempted:
		err = d.updateBreaker(recording, err)
	}
	if err := d.recoverPanic(func() error { return d.complete(recording, err) }); err != nil {
		d.log.ErrorContext(recording, "mail.record_failed", "error", redact(err, d.secrets...))
	}
	d.rescheduleDelayed(recording)
}

// mergeCancel returns a copy of ctx that is also cancelled when other is done.
func mergeCancel(ctx, other context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(other, cancel)
	return ctx, func() { stop(); cancel() }
}

// recoverPanic turns a panic of f into an error, so that a defect that one mail triggers stops neither other mails nor the service.
func (d *delivery) recoverPanic(f func() error) (err error) {
	defer func() {
		if p, ok := errors.AsType[*recovery.PanicError](err); ok {
			err = fmt.Errorf("panic: %v", p.Value)
			d.log.Error("mail.panicked", "error", redact(err, d.secrets...), "stack", string(p.Stack))
		}
	}()
	defer recovery.ToError(&err)
	return f()
}

// attempt renders the mail from the current state of its account and sends it.
func (d *delivery) attempt(ctx context.Context) error {
	if !isKnownKind(d.mail.Kind) { // first: only a newer version can decide anything about it
		return unknownKindError(d.mail.Kind)
	}
	account, err := d.Store.Read().GetAccount(ctx, d.mail.AccountID)
	if errors.Is(err, db.ErrNotFound) {
		return errAccountDeleted
	}
	if err != nil {
		return fmt.Errorf("read the account: %w", err)
	}
	d.secrets = append(d.secrets, account.Email)
	if !mayReceive(account, d.mail.Kind) {
		return errAccountDisabled
	}

	kind, recipient := d.mail.Kind, account.Email
	values := Values{
		Service: d.sender.service, AppURL: d.AppURL,
		NoPassword: account.PasswordHash == nil && account.PendingPasswordHash == nil,
	}
	switch d.mail.Kind {
	case KindSignUpLink, KindPasswordLink, KindSignUpChooseLink, KindPasswordChooseLink, KindEmailUndo, KindDeletionUndo:
		recipient, err = d.addLink(ctx, &values, account)
	case KindEmailLink:
		kind, recipient, account, err = d.addEmailLink(ctx, &values, account)
	case KindPassword:
		err = d.addPassword(ctx, &values, account)
	case KindLoginNotice, KindPasswordNotice, KindPasswordChanged, KindFactorChanged, KindRecoveryCodeUsed, KindSecondFactorFailed:
		err = d.addLogin(&values)
	case KindEmailAsked:
		if _, err = d.findLink(ctx); err == nil {
			err = d.addLogin(&values)
		}
	case KindEmailNotice:
		err = permanent(errors.New("only a link to a new address becomes such a notice"))
	case KindSignUpNotice:
		account, recipient, err = d.findOwner(ctx, account)
	default:
		err = unknownKindError(d.mail.Kind)
	}
	if err != nil {
		return err
	}

	message, err := Render(kind, account.Language, values)
	if err != nil {
		return permanent(err)
	}
	data, err := compose(d.sender, recipient, d.mail.ID, d.mail.CreatedAt, message)
	if err != nil {
		return permanent(err)
	}
	d.recipient = recipient
	err = d.Transport.Send(ctx, Envelope{
		ID: d.mail.ID, Kind: kind, CreatedAt: d.mail.CreatedAt,
		From: d.sender.address, To: recipient, Data: data, Commit: d.lease.commit,
	})
	d.attempted = true
	return err
}

// isKnownKind reports whether this version has a kind of mail.
func isKnownKind(kind string) bool { return slices.Contains(Kinds(), kind) }
