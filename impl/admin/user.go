package admin

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/clock"
	"github.com/financelime/authorization/impl/link"
	"github.com/financelime/authorization/impl/mail"
	"github.com/financelime/authorization/impl/userdata"
)

var (
	// ErrDisabled means that Disable has no effect.
	ErrDisabled = errors.New("the user is already disabled")
	// ErrNotDisabled means that Enable has no effect.
	ErrNotDisabled = errors.New("the user is not disabled")
)

// Ended counts what Disable or Delete has ended.
type Ended = userdata.Ended

// Disable prevents a user from logging in until [Enable]. One transaction marks the account as disabled, ends all sessions, deletes links
// and unsent mails, and invalidates a pending password (ASVS 7.4.2). After it returns, no replica refreshes, logs in or confirms anything for
// the user. A user who is closing becomes disabled: no link restores the account, and it is not deleted. Access tokens are valid until they
// expire. A mail that is being sent cannot be stopped, but a password in it does not work.
//
// Two links stay: that of a sign-up, because nobody else can sign up with the address and the user needs it after Enable; and that to the old
// address after a change, because a thief may have changed it, which may be why the user is disabled. While the user is disabled, they are
// refused and not consumed, and the old address stays reserved.
func Disable(ctx context.Context, store *db.Store, id uuid.UUID, now time.Time) (ended Ended, err error) {
	now = clock.Truncate(now)
	err = store.InTx(ctx, func(q *db.Queries) error {
		disabled, err := q.DisableAccount(ctx, db.DisableAccountParams{Now: &now, ID: id})
		if err != nil {
			return fmt.Errorf("mark the account as disabled: %w", err)
		}
		if disabled == 0 {
			return unchangedError(ctx, q, id, ErrDisabled)
		}
		links := []userdata.DeleteRows{q.DeletePasswordConfirmations, userdata.LinksExcept(q, link.SignUp, link.EmailUndo)}
		ended, err = userdata.EndAll(ctx, q, id, links, q.DeleteUnsentMails)
		return err
	})
	return ended, err
}

// Enable reverts [Disable]: the user can log in with the password that they had. It also undoes a deletion, as [Restore] does. The links that
// Disable kept work again, and their mails are enqueued if they were not sent; queued counts such mails.
func Enable(ctx context.Context, store *db.Store, id uuid.UUID, now time.Time) (queued int64, err error) {
	now = clock.Truncate(now)
	err = store.InTx(ctx, func(q *db.Queries) error {
		queued = 0
		enabled, err := q.EnableAccount(ctx, id)
		if err != nil {
			return fmt.Errorf("mark the account as enabled: %w", err)
		}
		if enabled == 0 {
			return unchangedError(ctx, q, id, ErrNotDisabled)
		}
		if err := userdata.WithdrawUndo(ctx, q, id); err != nil {
			return err
		}
		for _, queue := range []func(context.Context, *db.Queries, uuid.UUID, time.Time) (int64, error){queueSignUpLink, queueEmailUndo} {
			n, err := queue(ctx, q, id, now)
			if err != nil {
				return err
			}
			queued += n
		}
		return nil
	})
	return queued, err
}

// queueSignUpLink enqueues a mail with the link of an unconfirmed sign-up, unless one was sent.
func queueSignUpLink(ctx context.Context, q *db.Queries, id uuid.UUID, now time.Time) (queued int64, err error) {
	account, err := q.GetAccount(ctx, id)
	if err != nil {
		return 0, fmt.Errorf("find the user: %w", err)
	}
	if account.PendingUntil == nil || !account.PendingUntil.After(now) || account.DecoyOf != nil {
		return 0, nil
	}
	linkID, kind, err := findSignUpLink(ctx, q, id)
	if errors.Is(err, db.ErrNotFound) {
		return 0, nil // deleted by an older version
	}
	if err != nil {
		return 0, fmt.Errorf("find the link of the sign-up: %w", err)
	}
	return queueUnsent(ctx, q, id, linkID, kind, now)
}

// queueEmailUndo enqueues a mail with the link that undoes a change of the address, unless one was sent.
func queueEmailUndo(ctx context.Context, q *db.Queries, id uuid.UUID, now time.Time) (queued int64, err error) {
	undo, err := q.GetLink(ctx, db.GetLinkParams{AccountID: id, Purpose: string(link.EmailUndo)})
	switch {
	case errors.Is(err, db.ErrNotFound):
		return 0, nil
	case err != nil:
		return 0, fmt.Errorf("find the undo of a change of the address: %w", err)
	case !undo.ExpiresAt.After(now):
		return 0, nil
	}
	// A closing account keeps its mail in the queue.
	if _, err := q.DeleteUnsentMailsOfKind(ctx, db.DeleteUnsentMailsOfKindParams{AccountID: id, Kind: mail.KindEmailUndo}); err != nil {
		return 0, fmt.Errorf("withdraw the unsent mail: %w", err)
	}
	return queueUnsent(ctx, q, id, undo.ID, mail.KindEmailUndo, now)
}

// queueUnsent enqueues a mail with a link, unless one was sent.
func queueUnsent(ctx context.Context, q *db.Queries, id, linkID uuid.UUID, kind string, now time.Time) (queued int64, err error) {
	sent, err := q.CountSentLinks(ctx, db.CountSentLinksParams{AccountID: id, ConfirmationID: &linkID})
	if err != nil {
		return 0, fmt.Errorf("check whether the link was sent: %w", err)
	}
	if sent > 0 {
		return 0, nil
	}
	_, err = mail.Enqueue(ctx, q, db.InsertMailParams{
		AccountID: id, Kind: kind, ConfirmationID: &linkID, RequestID: "user-enable-" + uuid.NewString(), Now: now,
	})
	return 1, err
}

// findSignUpLink returns the link of an unconfirmed sign-up, in either form, and the kind of its mail.
func findSignUpLink(ctx context.Context, q *db.Queries, id uuid.UUID) (linkID uuid.UUID, kind string, err error) {
	acting, err := q.GetConfirmation(ctx, db.GetConfirmationParams{AccountID: id, Purpose: string(link.SignUp)})
	if !errors.Is(err, db.ErrNotFound) {
		return acting.ID, mail.KindSignUpLink, err
	}
	page, err := q.GetLink(ctx, db.GetLinkParams{AccountID: id, Purpose: string(link.SignUp)})
	return page.ID, mail.KindSignUpChooseLink, err
}

// unchangedError returns why a conditional update of a user changed no row: ErrNoUser, or else the given refusal.
func unchangedError(ctx context.Context, q *db.Queries, id uuid.UUID, refusal error) error {
	_, err := q.GetAccount(ctx, id)
	switch {
	case errors.Is(err, db.ErrNotFound):
		return ErrNoUser
	case err != nil:
		return fmt.Errorf("find the user: %w", err)
	}
	return refusal
}

// Restore undoes a deletion that the user has asked for, while its grace lasts.
func Restore(ctx context.Context, store *db.Store, id uuid.UUID) error {
	err := store.InTx(ctx, func(q *db.Queries) error {
		if _, err := q.LockAccount(ctx, id); err != nil {
			return err
		}
		return userdata.Restore(ctx, q, id)
	})
	switch {
	case errors.Is(err, userdata.ErrNotClosing):
		return userdata.ErrNotClosing
	case errors.Is(err, db.ErrNotFound):
		return ErrNoUser
	case err != nil:
		return fmt.Errorf("restore the user: %w", err)
	}
	return nil
}

// Delete deletes all data about a user, in one transaction.
func Delete(ctx context.Context, store *db.Store, id uuid.UUID) (ended Ended, err error) {
	err = store.InTx(ctx, func(q *db.Queries) error {
		account, err := userdata.Lock(ctx, q, id)
		if err != nil {
			return err
		}
		ended, err = userdata.Delete(ctx, q, account)
		return err
	})
	if errors.Is(err, db.ErrNotFound) {
		return ended, ErrNoUser
	}
	return ended, err
}
