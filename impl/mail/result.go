package mail

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/financelime/authorization/db"
)

// event is the log event of a result, and its outcome in metrics and traces.
type event struct {
	name    string
	level   slog.Level
	outcome string
}

// complete records the result of an attempt: nil, or why the mail was not sent. The package documentation has the table. Only the holder
// of the lease changes the row: the statements compare attempts and due_at.
func (d *delivery) complete(ctx context.Context, result error) error {
	now := d.Clock.Now()
	if result == nil {
		return d.completeSent(ctx, now)
	}
	if reason, ok := errors.AsType[withdrawn](result); ok {
		return d.completeDead(ctx, now, event{"mail.superseded", slog.LevelInfo, OutcomeSuperseded}, reason)
	}
	if errors.Is(result, errStopped) {
		return d.completeRetry(ctx, now, now, result)
	}
	if isPermanent(result) || !now.Before(d.mail.CreatedAt.Add(giveUpAfter)) {
		return d.completeDead(ctx, now, event{"mail.dead", slog.LevelError, OutcomeDead}, result)
	}
	if _, ok := errors.AsType[unknownKindError](result); ok {
		due := nextUnknownKind(d.mail.Mail, now)
		d.logRetryIn(due.Sub(now))
		return d.completeRequeued(ctx, due, event{"mail.unknown_kind", slog.LevelWarn, OutcomeRequeued}, result)
	}
	if due, ok := infrastructureRetry(d.mail.Mail, now, result); ok {
		// The problem itself is logged elsewhere, once and not for each mail.
		return d.completeRequeued(ctx, due, event{"mail.requeued", slog.LevelDebug, OutcomeRequeued}, result)
	}
	return d.completeRetry(ctx, now, nextAttempt(d.mail.Mail, now), result)
}

func (d *delivery) completeSent(ctx context.Context, now time.Time) error {
	return d.record(ctx, event{"mail.sent", slog.LevelInfo, OutcomeSent}, nil, func(q *db.Queries) (int64, error) {
		if err := d.lockAccount(ctx, q); err != nil {
			return 0, err
		}
		n, err := q.MarkMailSent(ctx, db.MarkMailSentParams{
			Now: &now, ID: d.mail.ID, Attempts: d.mail.Attempts, LeaseUntil: d.mail.DueAt})
		if err != nil || n == 0 || d.mail.Kind != KindPassword {
			return n, err
		}
		_, err = d.setPasswordExpiry(ctx, q, now.Add(d.MailedPasswordTTL))
		return n, err
	})
}

func (d *delivery) completeDead(ctx context.Context, now time.Time, e event, result error) error {
	return d.record(ctx, e, result, func(q *db.Queries) (int64, error) {
		if err := d.lockAccount(ctx, q); err != nil {
			return 0, err
		}
		n, err := q.MarkMailDead(ctx, db.MarkMailDeadParams{
			Now: &now, LastError: d.redacted(result), ID: d.mail.ID, Attempts: d.mail.Attempts, LeaseUntil: d.mail.DueAt})
		if err != nil || n == 0 || d.mail.Kind != KindPassword {
			return n, err
		}
		// Nobody received this password. A pending password of a newer mail stays.
		return n, q.ClearPendingPassword(ctx, db.ClearPendingPasswordParams{MailID: &d.mail.ID, ID: d.mail.AccountID})
	})
}

// lockAccount locks the account of a mail with a password. Every transaction locks the account before its mail.
func (d *delivery) lockAccount(ctx context.Context, q *db.Queries) error {
	if d.mail.Kind != KindPassword {
		return nil
	}
	if _, err := q.LockAccount(ctx, d.mail.AccountID); err != nil && !errors.Is(err, db.ErrNotFound) {
		return fmt.Errorf("lock the account: %w", err)
	}
	return nil
}

// completeRetry reschedules a mail after an attempt that counts.
func (d *delivery) completeRetry(ctx context.Context, now, due time.Time, result error) error {
	d.logRetryIn(due.Sub(now))
	return d.record(ctx, event{"mail.retried", slog.LevelWarn, OutcomeRetried}, result, func(q *db.Queries) (int64, error) {
		return q.RescheduleMail(ctx, db.RescheduleMailParams{
			DueAt: due, LastError: d.redacted(result), ID: d.mail.ID, Attempts: d.mail.Attempts, LeaseUntil: d.mail.DueAt})
	})
}

// completeRequeued reschedules a mail after an attempt that does not count.
func (d *delivery) completeRequeued(ctx context.Context, due time.Time, e event, result error) error {
	return d.record(ctx, e, result, func(q *db.Queries) (int64, error) {
		return q.ReleaseMail(ctx, db.ReleaseMailParams{
			DueAt: due, LastError: d.redacted(result), ID: d.mail.ID, Attempts: d.mail.Attempts, LeaseUntil: d.mail.DueAt})
	})
}

func (d *delivery) logRetryIn(delay time.Duration) {
	d.log = d.log.With("retry_in", delay.Round(time.Millisecond).String())
}

// record changes the row and logs the event. While the database is unavailable it tries again, even after the end of the lease, until
// another worker has taken the mail over: a mail that is sent and not recorded is sent twice.
func (d *delivery) record(ctx context.Context, e event, result error, change func(*db.Queries) (int64, error)) error {
	const pause = 500 * time.Millisecond
	commit := d.Store.InTx
	if d.mail.Kind != KindPassword {
		commit = d.Store.Write // only the row of the mail changes
	}
	uncertain := false // an earlier try failed, but may have been committed
	for {
		var changed int64
		err := commit(ctx, func(q *db.Queries) (err error) {
			changed, err = change(q)
			return err
		})
		if err == nil {
			if changed == 0 && !uncertain {
				e = event{"mail.lease_lost", slog.LevelInfo, OutcomeLeaseLost}
			}
			var attributes []any
			if result != nil {
				attributes = []any{"error", *d.redacted(result)}
			}
			d.outcome = e.outcome
			d.log.Log(ctx, e.level, e.name, attributes...) //nolint:sloglint // each caller passes a constant
			return nil
		}
		if !errors.Is(err, db.ErrUnavailable) {
			return fmt.Errorf("record %s: %w", e.name, err)
		}
		uncertain = true
		select {
		case <-ctx.Done():
			return fmt.Errorf("record %s: %w", e.name, err)
		case <-time.After(pause):
		}
	}
}

// redacted returns an error as it may be stored and logged.
func (d *delivery) redacted(err error) *string {
	text := redact(err, d.secrets...)
	return &text
}
