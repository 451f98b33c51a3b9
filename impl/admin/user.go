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
)

var (
	// ErrDisabled means that Disable has no effect.
	ErrDisabled = errors.New("the user is already disabled")
	// ErrNotDisabled means that Enable has no effect.
	ErrNotDisabled = errors.New("the user is not disabled")
)

// Ended counts what Disable or Delete has ended.
type Ended struct {
	Sessions int64 `json:"sessions"`
	Links    int64 `json:"links"`
	Mails    int64 `json:"mails"`
}

// Disable prevents a user from logging in until [Enable]. One transaction marks the account as disabled, ends all sessions, deletes links
// that reset the password and unsent mails, and invalidates a pending password (ASVS 7.4.2). After it returns, no replica refreshes, logs in
// or confirms anything for the user. Access tokens are valid until they expire. A mail that is being sent cannot be stopped, but a password
// in it does not work. The link of a sign-up stays, because nobody else can sign up with the address and the user needs it after Enable.
// While the user is disabled, the link is refused and not consumed.
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
		ended, err = endAll(ctx, q, id, q.DeletePasswordConfirmations, q.DeleteUnsentMails)
		return err
	})
	return ended, err
}

// Enable reverts [Disable]: the user can log in with the password that they had. For an unconfirmed user, the link of the sign-up works
// again, and its mail is enqueued if it was not sent; queued counts such mails.
func Enable(ctx context.Context, store *db.Store, id uuid.UUID, now time.Time) (queued int64, err error) {
	now = clock.Truncate(now)
	err = store.InTx(ctx, func(q *db.Queries) error {
		enabled, err := q.EnableAccount(ctx, id)
		if err != nil {
			return fmt.Errorf("mark the account as enabled: %w", err)
		}
		if enabled == 0 {
			return unchangedError(ctx, q, id, ErrNotDisabled)
		}
		queued, err = queueSignUpLink(ctx, q, id, now)
		return err
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
	pending, err := q.GetConfirmation(ctx, db.GetConfirmationParams{AccountID: id, Purpose: string(link.SignUp)})
	if errors.Is(err, db.ErrNotFound) {
		return 0, nil // deleted by an older version
	}
	if err != nil {
		return 0, fmt.Errorf("find the link of the sign-up: %w", err)
	}
	sent, err := q.CountSentLinks(ctx, db.CountSentLinksParams{AccountID: id, ConfirmationID: &pending.ID})
	if err != nil {
		return 0, fmt.Errorf("check whether the link was sent: %w", err)
	}
	if sent > 0 {
		return 0, nil
	}
	_, err = mail.Enqueue(ctx, q, db.InsertMailParams{
		AccountID: id, Kind: mail.KindSignUpLink, ConfirmationID: &pending.ID, RequestID: "user-enable-" + uuid.NewString(), Now: now,
	})
	return 1, err
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

// Delete deletes all data about a user, in one transaction. The use of their invite is released, and so is the address: someone who signs up
// with it later is another user, with another ID (ASVS 10.3.3).
func Delete(ctx context.Context, store *db.Store, id uuid.UUID) (ended Ended, err error) {
	err = store.InTx(ctx, func(q *db.Queries) error {
		account, err := lockUser(ctx, q, id)
		if err != nil {
			return err
		}
		// The remaining mails are not counted: they were sent, or failed permanently.
		if ended, err = endAll(ctx, q, id, q.DeleteAccountConfirmations, q.DeleteUnsentMails); err != nil {
			return err
		}
		if _, err := q.DeleteAccountMails(ctx, id); err != nil {
			return fmt.Errorf("delete the mails: %w", err)
		}
		if _, err := q.DeleteAccount(ctx, id); err != nil {
			return fmt.Errorf("delete the account: %w", err)
		}
		if err := q.DeleteDecoys(ctx, &id); err != nil {
			return fmt.Errorf("delete the decoys of the account: %w", err)
		}
		if err := q.DeleteResetRequests(ctx, account.Email); err != nil {
			return fmt.Errorf("delete the requested resets: %w", err)
		}
		if account.InviteID == nil || account.PendingUntil != nil { // an unconfirmed account reserves a use only as long as its row exists
			return nil
		}
		if err := q.DecrementInviteUses(ctx, *account.InviteID); err != nil {
			return fmt.Errorf("release the use of the invite: %w", err)
		}
		return nil
	})
	return ended, err
}

// lockUser locks the invite of a user, if there is one, and then the account.
func lockUser(ctx context.Context, q *db.Queries, id uuid.UUID) (db.Account, error) {
	account, err := q.GetAccount(ctx, id)
	if err == nil && account.InviteID != nil {
		if err := q.LockInviteByID(ctx, *account.InviteID); err != nil { // the invite of an account never changes
			return account, fmt.Errorf("lock the invite: %w", err)
		}
	}
	if err == nil {
		account, err = q.LockAccount(ctx, id)
	}
	if errors.Is(err, db.ErrNotFound) {
		return account, ErrNoUser
	}
	if err != nil {
		return account, fmt.Errorf("lock the account: %w", err)
	}
	return account, nil
}

// endAll ends the sessions and deletes the links and mails of a user whose row the transaction has locked. A request that uses a link, and the
// worker that sends a mail, lock that row too: either their result is committed and deleted here, or they find the user disabled or deleted.
func endAll(
	ctx context.Context, q *db.Queries, id uuid.UUID, deleteLinks, deleteMails func(context.Context, uuid.UUID) (int64, error),
) (ended Ended, err error) {
	if ended.Sessions, err = q.DeleteAccountSessions(ctx, id); err != nil {
		return ended, fmt.Errorf("end the sessions: %w", err)
	}
	if ended.Links, err = deleteLinks(ctx, id); err != nil {
		return ended, fmt.Errorf("delete the links: %w", err)
	}
	if ended.Mails, err = deleteMails(ctx, id); err != nil {
		return ended, fmt.Errorf("delete the mails: %w", err)
	}
	return ended, nil
}
