package mail

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/clock"
	"github.com/financelime/authorization/impl/password"
	"github.com/financelime/authorization/impl/secret"
)

// CannotRetryError is the reason why Retry does not send a mail again.
type CannotRetryError string

func (e CannotRetryError) Error() string { return string(e) }

const (
	errUnknown  CannotRetryError = "there is no such mail"
	errSent     CannotRetryError = "it was sent"
	errDue      CannotRetryError = "it is being sent, or due already"
	errLink     CannotRetryError = "its link has expired, was used or was replaced by a newer one"
	errDisabled CannotRetryError = "its account is disabled"
	errNotified CannotRetryError = "its recipient gets such a notice once a day at most"
	errKind     CannotRetryError = "this version does not have its kind; a newer one does"
	errReplaced CannotRetryError = "a newer password was mailed, or will be"
)

// Retry makes a mail due immediately and returns its ID, or a CannotRetryError.
//
// A mail that waits for its next attempt keeps its age: it still fails permanently a day after it was enqueued. A permanently failed mail
// is replaced by a new mail with a day of its own. Its password is replaced by a new one: the old one cannot be derived without its nonce,
// and some receivers would drop a second mail with the Message-ID of the first.
func Retry(ctx context.Context, store *db.Store, root secret.Root, id uuid.UUID, now time.Time) (uuid.UUID, error) {
	now = clock.Truncate(now)
	m, err := store.Read().GetMail(ctx, id)
	switch {
	case errors.Is(err, db.ErrNotFound):
		return uuid.Nil, errUnknown
	case err != nil:
		return uuid.Nil, fmt.Errorf("find the mail: %w", err)
	case m.SentAt != nil:
		return uuid.Nil, errSent
	case m.DeadAt != nil:
		return requeue(ctx, store, root, m, now)
	}
	if err := stillWanted(ctx, store.Read(), m, now); err != nil {
		return uuid.Nil, err
	}
	var rescheduled int64
	err = store.Write(ctx, func(q *db.Queries) (err error) {
		rescheduled, err = q.RescheduleMailNow(ctx, db.RescheduleMailNowParams{DueAt: dueImmediately(now), Now: now, ID: id})
		if err == nil && rescheduled == 0 {
			return errDue // rolls back
		}
		return err
	})
	if errors.Is(err, errDue) {
		return uuid.Nil, errDue
	}
	if err != nil {
		return uuid.Nil, fmt.Errorf("reschedule the mail: %w", err)
	}
	return id, nil
}

// requeue replaces a permanently failed mail by a new one.
func requeue(ctx context.Context, store *db.Store, root secret.Root, dead db.Mail, now time.Time) (newID uuid.UUID, err error) {
	err = store.InTx(ctx, func(q *db.Queries) error {
		if _, err := q.LockAccount(ctx, dead.AccountID); err != nil && !errors.Is(err, db.ErrNotFound) {
			return fmt.Errorf("lock the account: %w", err)
		}
		m, err := q.DeleteDeadMail(ctx, dead.ID)
		if errors.Is(err, db.ErrNotFound) {
			return errUnknown // another command has just retried it
		}
		if err != nil {
			return fmt.Errorf("delete the permanently failed mail: %w", err)
		}
		if err := stillWanted(ctx, q, m, now); err != nil {
			return err
		}
		params := db.InsertMailParams{
			AccountID: m.AccountID, Kind: m.Kind, ConfirmationID: m.ConfirmationID,
			RequestID: m.RequestID, Now: now, HappenedAt: m.HappenedAt, Platform: m.Platform, RemoteAddr: m.RemoteAddr,
		}
		if m.Kind == KindPassword {
			params.Nonce = password.NewNonce(root)
			if params.PasswordNumber, err = q.NextPasswordNumber(ctx, m.AccountID); err != nil {
				return fmt.Errorf("number the password: %w", err)
			}
		}
		newID, err = Enqueue(ctx, q, params)
		return err
	})
	if err != nil {
		return uuid.Nil, err
	}
	return newID, nil
}

// stillWanted returns a CannotRetryError if a mail is no longer useful to its recipient, or would even do harm: a password that was mailed
// later would stop working.
func stillWanted(ctx context.Context, q *db.Queries, m db.Mail, now time.Time) error {
	switch {
	case !isKnownKind(m.Kind):
		return errKind
	case m.Kind == KindPassword:
		return newestPassword(ctx, q, m)
	case m.Kind == KindLoginNotice, m.Kind == KindPasswordNotice, m.Kind == KindPasswordChanged, m.Kind == KindFactorChanged,
		m.Kind == KindRecoveryCodeUsed, m.Kind == KindSecondFactorFailed:
		return active(ctx, q, m)
	case m.Kind == KindSignUpNotice:
		return notNotified(ctx, q, m, now)
	}
	if err := active(ctx, q, m); err != nil {
		return err
	}
	stored, err := getLink(ctx, q, m.AccountID, m.Kind)
	switch {
	case errors.Is(err, db.ErrNotFound):
		return errLink
	case err != nil:
		return fmt.Errorf("read the link: %w", err)
	case m.ConfirmationID == nil, stored.id != *m.ConfirmationID, !stored.expiresAt.After(now):
		return errLink
	}
	return nil
}

// active returns errDisabled if the account of a mail is disabled.
func active(ctx context.Context, q *db.Queries, m db.Mail) error {
	account, err := q.GetAccount(ctx, m.AccountID)
	if err != nil {
		return fmt.Errorf("read the account: %w", err)
	}
	if !mayReceive(account, m.Kind) {
		return errDisabled
	}
	return nil
}

// notNotified returns errNotified if the owner of an address was recently notified of a sign-up with it by another mail, or if this mail
// failed permanently after it was chosen for the notice.
func notNotified(ctx context.Context, q *db.Queries, m db.Mail, now time.Time) error {
	signUp, err := q.GetAccount(ctx, m.AccountID)
	if err != nil {
		return fmt.Errorf("read the sign-up: %w", err)
	}
	if signUp.DecoyOf == nil {
		return errUnknown // no sign-up enqueues such a notice
	}
	owner, err := q.GetAccount(ctx, *signUp.DecoyOf)
	if errors.Is(err, db.ErrNotFound) {
		return errUnknown // the owner was deleted, so the mail has no recipient
	}
	if err != nil {
		return fmt.Errorf("read the owner's account: %w", err)
	}
	before := db.FirstIDAt(now.Add(-noticeInterval))
	recent := owner.NotifiedMailID != nil && bytes.Compare(owner.NotifiedMailID[:], before[:]) >= 0
	switch {
	case owner.DisabledAt != nil:
		return errDisabled
	case recent && (m.DeadAt != nil || *owner.NotifiedMailID != m.ID):
		return errNotified
	}
	return nil
}

// newestPassword returns errReplaced if a newer password was mailed to the account, or will be.
func newestPassword(ctx context.Context, q *db.Queries, m db.Mail) error {
	account, err := q.GetAccount(ctx, m.AccountID)
	if err != nil {
		return fmt.Errorf("read the account: %w", err)
	}
	if account.DisabledAt != nil {
		return errDisabled
	}
	newer, err := q.CountNewerPasswordMails(ctx, db.CountNewerPasswordMailsParams{AccountID: m.AccountID, Number: m.PasswordNumber, ID: m.ID})
	if err != nil {
		return fmt.Errorf("count newer passwords: %w", err)
	}
	// A mail of the previous version has no number. That version orders passwords by the IDs of their mails.
	replacedByID := m.PasswordNumber == 0 && account.PendingPasswordMailID != nil && bytes.Compare(account.PendingPasswordMailID[:], m.ID[:]) > 0
	if newer > 0 || account.LastPasswordNumber > m.PasswordNumber || replacedByID {
		return errReplaced
	}
	return nil
}

// IsLeased reports whether a worker has leased a mail: see the query LeaseMail.
func IsLeased(m db.Mail, now time.Time) bool {
	return m.SentAt == nil && m.DeadAt == nil && m.DueAt.After(now) && m.LastError == nil
}
