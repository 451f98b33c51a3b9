package mail

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/clock"
	"github.com/financelime/authorization/impl/link"
	"github.com/financelime/authorization/impl/password"
	"github.com/financelime/authorization/impl/recovery"
	"github.com/financelime/authorization/impl/reqinfo"
)

// delivery is one attempt at one mail.
type delivery struct {
	*Worker
	mail      leased
	log       *slog.Logger
	secrets   []string // what no error may tell: the address, the link, the password
	hold      *hold    // of its lease
	recipient string   // whom the mail is for
	attempted bool     // the transport has answered
	outcome   string   // how it ended
}

// withdrawn says that a mail must not be sent any more, and why.
type withdrawn string

func (w withdrawn) Error() string { return string(w) }

const (
	superseded withdrawn = "superseded" // by a newer link or password, or the password is void
	overtaken  withdrawn = "withdrawn, or taken over by another worker"
	expired    withdrawn = "expired" // the link's time is over, or the link is used up
	ownerless  withdrawn = "account is gone"
	disabled   withdrawn = "account is disabled"
	told       withdrawn = "the owner was told of another sign-up lately"
)

// errForeignSecret says that we can not make the link that the database waits for. It is tried again: the secret may come back.
var errForeignSecret = errors.New("the link was made under another AUTH_SECRET: AUTH_SECRET_PREVIOUS was removed too early")

// errStopped is what a mail is given back for that is cut off by a stop of the service.
var errStopped = errors.New("the service stops")

// deliver makes one attempt at a mail and records how it went. Sending ends when the attempt must be cut off, settling
// when the recording must be. Nothing is left undone by giving up: the lease runs out, and the mail is due again.
func (w *Worker) deliver(sending, settling context.Context, m leased) {
	d := &delivery{Worker: w, mail: m, log: w.Log.With(
		"mail_id", m.ID, "kind", m.Kind, "account_id", m.AccountID, "request_id", m.RequestID, "attempt", m.Attempts), outcome: OutcomeUnsettled}

	// One context for both halves: what is seen of them belongs together. The mail goes on in its request's name.
	watched := reqinfo.NewContext(context.WithoutCancel(sending), &reqinfo.Info{RequestID: m.RequestID})
	if w.Watch != nil {
		var end func(string)
		watched, end = w.Watch(watched, m.Kind)
		defer func() { end(d.outcome) }()
	}
	attempt, cancel := endsWith(watched, sending)
	defer cancel()
	attempt, cancelAttempt := context.WithDeadline(attempt, m.cutOff)
	defer cancelAttempt()
	settling, stopSettling := endsWith(watched, settling)
	defer stopSettling()
	settling, cancelSettling := context.WithDeadline(settling, m.until)
	defer cancelSettling()

	attempt, d.hold = w.hold(attempt, m)
	err := d.guard(func() error { return d.attempt(attempt) })
	dueAt, lost := d.hold.end(settling)
	d.mail.DueAt = dueAt
	switch {
	case err != nil && lost:
		err = errLeaseLost
	case err != nil && sending.Err() != nil:
		err = errStopped
	case d.attempted:
		err = d.judgeRelay(settling, err)
	}
	if err := d.guard(func() error { return d.settle(settling, err) }); err != nil {
		d.log.ErrorContext(settling, "mail.record_failed", "error", redact(err, d.secrets...))
	}
	d.hurry(settling)
}

// endsWith is ctx until another one ends.
func endsWith(ctx, other context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(other, cancel)
	return ctx, func() { stop(); cancel() }
}

// judgeRelay tells the gate what the attempt says about the relay. It returns the outcome: where the relay refuses everybody, that
// is the relay's trouble and not the mail's.
func (d *delivery) judgeRelay(ctx context.Context, outcome error) error {
	now := time.Now()
	if trouble, is := errors.AsType[*RelayError](outcome); is {
		if d.gate.failed(now) {
			d.relayDown(ctx, trouble)
		}
		return outcome
	}
	up := d.gate.worked
	if refused, is := errors.AsType[*RefusedError](outcome); is {
		if down, first := d.gate.declined(now, d.recipient, d.mail.ID); down {
			if first {
				d.relayDown(ctx, refused)
			}
			return &RelayError{Err: refused.Err, Heard: true}
		}
		up = d.gate.answered
	} else if outcome != nil {
		up = d.gate.answered
	}
	if wasDown, after := up(now); wasDown {
		d.Log.InfoContext(ctx, "mail.relay_up", "after", after.Round(time.Millisecond).String())
	}
	return outcome
}

func (d *delivery) relayDown(ctx context.Context, err error) {
	d.Log.WarnContext(ctx, "mail.relay_down", "error", redact(err, d.secrets...))
}

// hurry lets the mails go soon, one after the other, that wait because the relay had refused everybody.
func (d *delivery) hurry(ctx context.Context) {
	const within = 10 * time.Second
	for _, id := range d.gate.release() {
		due := clock.Truncate(d.Clock.Now().Add(rand.N(within))) //nolint:gosec // spreads load, guards nothing
		err := d.Store.Write(ctx, func(q *db.Queries) error {
			_, err := q.RescheduleMailNow(ctx, db.RescheduleMailNowParams{Now: due, ID: id})
			return err
		})
		if err != nil { // they go when their own time has come
			return
		}
	}
}

// guard turns a panic into an error, so that one bad mail stops neither the others nor the service.
func (d *delivery) guard(f func() error) (err error) {
	defer func() {
		if p, is := errors.AsType[*recovery.PanicError](err); is {
			err = fmt.Errorf("panic: %v", p.Value)
			d.log.Error("mail.panicked", "error", redact(err, d.secrets...), "stack", string(p.Stack))
		}
	}()
	defer recovery.ToError(&err)
	return f()
}

// attempt writes the mail from what is true now and sends it.
func (d *delivery) attempt(ctx context.Context) error {
	account, err := d.Store.Read().GetAccount(ctx, d.mail.AccountID)
	if errors.Is(err, db.ErrNotFound) {
		return ownerless
	}
	if err != nil {
		return fmt.Errorf("read the account: %w", err)
	}
	d.secrets = append(d.secrets, account.Email)
	if account.DisabledAt != nil {
		return disabled
	}

	values := Values{Service: d.sender.service}
	switch d.mail.Kind {
	case KindSignUpLink, KindPasswordLink:
		err = d.addLink(ctx, &values)
	case KindPassword:
		err = d.addPassword(ctx, &values, account)
	case KindLoginNotice, KindPasswordNotice:
		err = d.addLogin(&values)
	case KindSignUpNotice:
		account, err = d.findOwner(ctx, account)
	default:
		err = permanent(fmt.Errorf("unknown kind of mail %q", d.mail.Kind))
	}
	if err != nil {
		return err
	}

	message, err := Render(d.mail.Kind, account.Language, values)
	if err != nil {
		return permanent(err)
	}
	data, err := compose(d.sender, account.Email, d.mail.ID, d.mail.CreatedAt, message)
	if err != nil {
		return permanent(err)
	}
	d.recipient = account.Email
	err = d.Transport.Send(ctx, Envelope{
		ID: d.mail.ID, Kind: d.mail.Kind, CreatedAt: d.mail.CreatedAt,
		From: d.sender.address, To: account.Email, Data: data, Commit: d.hold.commit,
	})
	d.attempted = true
	return err
}

// addLink derives the link of the mail's confirmation, if that is still the account's newest one and can be used.
func (d *delivery) addLink(ctx context.Context, v *Values) error {
	if d.mail.ConfirmationID == nil {
		return permanent(errors.New("the row of a link has no confirmation"))
	}
	c, err := getLink(ctx, d.Store.Read(), d.mail.AccountID, linkPurpose(d.mail.Kind))
	switch {
	case errors.Is(err, db.ErrNotFound):
		return expired
	case err != nil:
		return fmt.Errorf("read the confirmation: %w", err)
	case c.ID != *d.mail.ConfirmationID:
		return superseded
	}
	if v.Life = c.ExpiresAt.Sub(d.Clock.Now()); v.Life <= 0 {
		return expired
	}
	key, ok := d.Links.Find(c.ID, c.KeyHash)
	if !ok {
		return errForeignSecret
	}
	v.Link = link.URL(d.PublicURL, key, d.mail.RequestID)
	d.secrets = append(d.secrets, v.Link, key)
	return nil
}

// addPassword derives the mail's password and arms it, before anybody can know it. Each attempt derives the same one.
//
// An attempt that succeeds does so before it is cut off; so the password lives until then, and its life long. Once it is
// known when the mail was accepted, that is made exact; and should nobody get to do so, the password ends all the same.
func (d *delivery) addPassword(ctx context.Context, v *Values, account db.Account) error {
	if len(d.mail.Nonce) == 0 {
		return permanent(errors.New("the row of a password has no nonce"))
	}
	var err error
	if v.Password, err = password.Mailed(d.Root, d.mail.Nonce); err != nil {
		return fmt.Errorf("derive the password: %w", err)
	}
	v.Life = d.MailedPasswordTTL
	d.secrets = append(d.secrets, v.Password)
	until := d.mail.latest.Add(d.MailedPasswordTTL)
	if armedBy(account, d.mail.ID) { // by an earlier attempt
		return d.arm(ctx, func(q *db.Queries) (int64, int64, error) {
			armed, err := d.setLife(ctx, q, until)
			return armed, d.mail.PasswordNumber, err
		})
	}

	// With the salt of the account's other password, so that a log-in computes one hash for both.
	var like string
	for _, hash := range []*string{account.PendingPasswordHash, account.PasswordHash} {
		if hash != nil {
			like = *hash
		}
	}
	hash, err := d.Hasher.Hash(ctx, v.Password, like)
	if err != nil {
		return fmt.Errorf("hash the password: %w", err)
	}
	err = d.arm(ctx, func(q *db.Queries) (armed, number int64, err error) {
		if number = d.mail.PasswordNumber; number == 0 { // queued by the version before, and not withdrawn: so it is the newest
			number, err = q.NextPasswordNumber(ctx, d.mail.AccountID)
			if errors.Is(err, db.ErrNotFound) {
				return 0, 0, nil
			}
			if err != nil {
				return 0, 0, fmt.Errorf("number the mail: %w", err)
			}
		}
		armed, err = q.SetPendingPassword(ctx, db.SetPendingPasswordParams{
			ID: d.mail.AccountID, MailID: &d.mail.ID, Number: number, PasswordHash: &hash, ExpiresAt: &until})
		return armed, number, err
	})
	if err == nil {
		d.log.InfoContext(ctx, "password.pending")
	}
	return err
}

// arm changes the account's pending password, unless that is void already, the mail was withdrawn or another worker has its lease: then
// nothing is changed and the mail must not be sent. The change locks the account, as whoever withdraws a mail does before; so
// the mail that is found after it is not withdrawn until the change is committed, and what is withdrawn later voids the password too.
func (d *delivery) arm(ctx context.Context, change func(*db.Queries) (armed, number int64, err error)) error {
	err := d.Store.InTx(ctx, func(q *db.Queries) error {
		armed, number, err := change(q)
		if err != nil {
			return err
		}
		if armed == 0 {
			return superseded
		}
		held, err := q.SetMailPasswordNumber(ctx, db.SetMailPasswordNumberParams{Number: number, ID: d.mail.ID, Attempts: d.mail.Attempts})
		if err != nil {
			return fmt.Errorf("check the lease: %w", err)
		}
		if held == 0 {
			return overtaken
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("arm the password: %w", err)
	}
	return nil
}

func (d *delivery) setLife(ctx context.Context, q *db.Queries, until time.Time) (int64, error) {
	return q.SetPendingPasswordExpiry(ctx, db.SetPendingPasswordExpiryParams{
		ExpiresAt: &until, MailID: &d.mail.ID, ID: d.mail.AccountID})
}

func armedBy(account db.Account, mailID uuid.UUID) bool {
	return account.PendingPasswordMailID != nil && *account.PendingPasswordMailID == mailID
}

// settle records how the attempt went. Only the latest attempt may: whoever finds that his lease was taken over, or
// the mail withdrawn, changes nothing.
func (d *delivery) settle(ctx context.Context, outcome error) error {
	if outcome == nil {
		return d.settleSent(ctx, d.Clock.Now())
	}
	now := d.Clock.Now()
	if why, is := errors.AsType[withdrawn](outcome); is {
		return d.settleDead(ctx, now, "mail.superseded", slog.LevelInfo, why)
	}
	if errors.Is(outcome, errStopped) {
		return d.settleRetry(ctx, now, now, outcome)
	}
	if isPermanent(outcome) || !now.Before(d.mail.CreatedAt.Add(giveUpAfter)) {
		return d.settleDead(ctx, now, "mail.dead", slog.LevelError, outcome)
	}
	if due, ours := notItsFault(d.mail.Mail, now, outcome); ours {
		return d.settleReturn(ctx, due, outcome)
	}
	return d.settleRetry(ctx, now, nextAttempt(d.mail.Mail, now), outcome)
}

func (d *delivery) settleSent(ctx context.Context, now time.Time) error {
	return d.record(ctx, "mail.sent", slog.LevelInfo, nil, func(q *db.Queries) (int64, error) {
		if err := d.lockAccount(ctx, q); err != nil {
			return 0, err
		}
		n, err := q.MarkMailSent(ctx, db.MarkMailSentParams{
			Now: &now, ID: d.mail.ID, Attempts: d.mail.Attempts, LeaseUntil: d.mail.DueAt})
		if err != nil || n == 0 || d.mail.Kind != KindPassword {
			return n, err
		}
		_, err = d.setLife(ctx, q, now.Add(d.MailedPasswordTTL))
		return n, err
	})
}

func (d *delivery) settleDead(ctx context.Context, now time.Time, event string, level slog.Level, outcome error) error {
	return d.record(ctx, event, level, outcome, func(q *db.Queries) (int64, error) {
		if err := d.lockAccount(ctx, q); err != nil {
			return 0, err
		}
		n, err := q.MarkMailDead(ctx, db.MarkMailDeadParams{
			Now: &now, LastError: d.storable(outcome), ID: d.mail.ID, Attempts: d.mail.Attempts, LeaseUntil: d.mail.DueAt})
		if err != nil || n == 0 || d.mail.Kind != KindPassword {
			return n, err
		}
		// Nobody will ever know it. If a newer mail's password is armed, that one stays.
		return n, q.ClearPendingPassword(ctx, db.ClearPendingPasswordParams{MailID: &d.mail.ID, ID: d.mail.AccountID})
	})
}

// lockAccount locks the account of a mail with a password before the mail itself, in the order in which everybody locks the two.
func (d *delivery) lockAccount(ctx context.Context, q *db.Queries) error {
	if d.mail.Kind != KindPassword {
		return nil
	}
	if _, err := q.LockAccount(ctx, d.mail.AccountID); err != nil && !errors.Is(err, db.ErrNotFound) {
		return fmt.Errorf("lock the account: %w", err)
	}
	return nil
}

func (d *delivery) settleRetry(ctx context.Context, now, due time.Time, outcome error) error {
	d.log = d.log.With("retry_in", due.Sub(now).Round(time.Millisecond).String())
	return d.record(ctx, "mail.retried", slog.LevelWarn, outcome, func(q *db.Queries) (int64, error) {
		return q.RescheduleMail(ctx, db.RescheduleMailParams{
			DueAt: due, LastError: d.storable(outcome), ID: d.mail.ID, Attempts: d.mail.Attempts, LeaseUntil: d.mail.DueAt})
	})
}

// settleReturn gives back a mail that could not be tried. What the trouble is, others tell: once, not for each mail.
func (d *delivery) settleReturn(ctx context.Context, due time.Time, outcome error) error {
	return d.record(ctx, "mail.requeued", slog.LevelDebug, outcome, func(q *db.Queries) (int64, error) {
		return q.ReleaseMail(ctx, db.ReleaseMailParams{
			DueAt: due, LastError: d.storable(outcome), ID: d.mail.ID, Attempts: d.mail.Attempts, LeaseUntil: d.mail.DueAt})
	})
}

// record changes the row, and logs the event. While the database is away it tries on, also when the lease is over, as long as
// nobody has taken it over: what is sent and not recorded is sent twice.
func (d *delivery) record(
	ctx context.Context, event string, level slog.Level, outcome error, change func(*db.Queries) (int64, error),
) error {
	const pause = 500 * time.Millisecond
	commit := d.Store.InTx
	if d.mail.Kind != KindPassword {
		commit = d.Store.Write // there is only the row of the mail to change
	}
	unsure := false // whether an earlier try was committed although it failed
	for {
		var settled int64
		err := commit(ctx, func(q *db.Queries) (err error) {
			settled, err = change(q)
			return err
		})
		if err == nil {
			if settled == 0 && !unsure {
				event, level = "mail.lease_lost", slog.LevelInfo
			}
			var attributes []any
			if outcome != nil {
				attributes = []any{"error", *d.storable(outcome)}
			}
			d.outcome = strings.TrimPrefix(event, "mail.")
			d.log.Log(ctx, level, event, attributes...) //nolint:sloglint // each caller has its own constant
			return nil
		}
		if !errors.Is(err, db.ErrUnavailable) {
			return fmt.Errorf("record %s: %w", event, err)
		}
		unsure = true
		select {
		case <-ctx.Done():
			return fmt.Errorf("record %s: %w", event, err)
		case <-time.After(pause):
		}
	}
}

// storable is an error as it may be stored and logged.
func (d *delivery) storable(err error) *string {
	text := redact(err, d.secrets...)
	return &text
}
