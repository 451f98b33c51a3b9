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

// NotRetriedError says why a mail can not be sent again.
type NotRetriedError string

func (e NotRetriedError) Error() string { return string(e) }

const (
	errUnknown  NotRetriedError = "there is no such mail"
	errSent     NotRetriedError = "it was sent"
	errDue      NotRetriedError = "it is on its way, or due already"
	errLink     NotRetriedError = "its link has expired, was used or was replaced by a newer one"
	errDisabled NotRetriedError = "its account is disabled"
	errTold     NotRetriedError = "its reader is told of such sign-ups once a day at most"
	errReplaced NotRetriedError = "a newer password was mailed since, or will be"
)

// Retry makes a mail due at now and returns its id, or fails with a NotRetriedError.
//
// A mail that waits for its next attempt keeps its clock: it is still given up a day after it was queued. One that
// is dead is queued anew, as another mail with a day of its own. A dead password is replaced by a fresh one: nobody knows the old
// one, whose nonce is gone, and some receivers would drop a second mail with the Message-ID of the first.
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
	var hurried int64
	err = store.Write(ctx, func(q *db.Queries) (err error) {
		hurried, err = q.RescheduleMailNow(ctx, db.RescheduleMailNowParams{DueAt: dueAtOnce(now), Now: now, ID: id})
		if err == nil && hurried == 0 {
			return errDue // and nothing is recorded
		}
		return err
	})
	if errors.Is(err, errDue) {
		return uuid.Nil, errDue
	}
	if err != nil {
		return uuid.Nil, fmt.Errorf("make the mail due: %w", err)
	}
	return id, nil
}

// requeue puts another mail in the place of a dead one.
func requeue(ctx context.Context, store *db.Store, root secret.Root, dead db.Mail, now time.Time) (fresh uuid.UUID, err error) {
	err = store.InTx(ctx, func(q *db.Queries) error {
		if _, err := q.LockAccount(ctx, dead.AccountID); err != nil && !errors.Is(err, db.ErrNotFound) {
			return fmt.Errorf("lock the account: %w", err)
		}
		m, err := q.DeleteDeadMail(ctx, dead.ID)
		if errors.Is(err, db.ErrNotFound) {
			return errUnknown // any more: somebody else has just retried it
		}
		if err != nil {
			return fmt.Errorf("take the dead mail: %w", err)
		}
		if err := stillWanted(ctx, q, m, now); err != nil {
			return err
		}
		again := db.InsertMailParams{
			AccountID: m.AccountID, Kind: m.Kind, ConfirmationID: m.ConfirmationID,
			RequestID: m.RequestID, Now: now, HappenedAt: m.HappenedAt, Platform: m.Platform, RemoteAddr: m.RemoteAddr,
		}
		if m.Kind == KindPassword {
			again.Nonce = password.NewNonce(root)
			if again.PasswordNumber, err = q.NextPasswordNumber(ctx, m.AccountID); err != nil {
				return fmt.Errorf("number the password: %w", err)
			}
		}
		fresh, err = Queue(ctx, q, again)
		return err
	})
	if err != nil {
		return uuid.Nil, err
	}
	return fresh, nil
}

// stillWanted fails with a NotRetriedError where a mail would not help its reader any more, or even harm him: a password
// that was mailed later would stop working.
func stillWanted(ctx context.Context, q *db.Queries, m db.Mail, now time.Time) error {
	switch m.Kind {
	case KindPassword:
		return newestPassword(ctx, q, m)
	case KindLoginNotice, KindPasswordNotice:
		return active(ctx, q, m.AccountID)
	case KindSignUpNotice:
		return notTold(ctx, q, m, now)
	}
	if err := active(ctx, q, m.AccountID); err != nil {
		return err
	}
	c, err := getLink(ctx, q, m.AccountID, linkPurpose(m.Kind))
	switch {
	case errors.Is(err, db.ErrNotFound):
		return errLink
	case err != nil:
		return fmt.Errorf("read the confirmation: %w", err)
	case m.ConfirmationID == nil, c.ID != *m.ConfirmationID, !c.ExpiresAt.After(now):
		return errLink
	}
	return nil
}

// active fails where an account is disabled.
func active(ctx context.Context, q *db.Queries, id uuid.UUID) error {
	account, err := q.GetAccount(ctx, id)
	if err != nil {
		return fmt.Errorf("read the account: %w", err)
	}
	if account.DisabledAt != nil {
		return errDisabled
	}
	return nil
}

// notTold fails where another mail has told the owner of a sign-up with his address lately, or this one is dead and has tried to.
func notTold(ctx context.Context, q *db.Queries, m db.Mail, now time.Time) error {
	signUp, err := q.GetAccount(ctx, m.AccountID)
	if err != nil {
		return fmt.Errorf("read the sign-up: %w", err)
	}
	if signUp.DecoyOf == nil {
		return errUnknown // as a notice: nobody queues such a row
	}
	owner, err := q.GetAccount(ctx, *signUp.DecoyOf)
	if errors.Is(err, db.ErrNotFound) {
		return errUnknown // the owner, and with him the reader
	}
	if err != nil {
		return fmt.Errorf("read the owner's account: %w", err)
	}
	before := db.FirstIDAt(now.Add(-tellEvery))
	toldLately := owner.NotifiedMailID != nil && bytes.Compare(owner.NotifiedMailID[:], before[:]) >= 0
	switch {
	case owner.DisabledAt != nil:
		return errDisabled
	case toldLately && (m.DeadAt != nil || *owner.NotifiedMailID != m.ID):
		return errTold
	}
	return nil
}

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
	// A mail of the version before has no number, and that version goes by the order of ids.
	armedLater := m.PasswordNumber == 0 && account.PendingPasswordMailID != nil && bytes.Compare(account.PendingPasswordMailID[:], m.ID[:]) > 0
	if newer > 0 || account.LastPasswordNumber > m.PasswordNumber || armedLater {
		return errReplaced
	}
	return nil
}

// OnItsWay tells whether a worker has a mail at the moment: see the query LeaseMail.
func OnItsWay(m db.Mail, now time.Time) bool {
	return m.SentAt == nil && m.DeadAt == nil && m.DueAt.After(now) && m.LastError == nil
}
