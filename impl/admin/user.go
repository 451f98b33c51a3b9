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
	// ErrDisabled says that a user is disabled already.
	ErrDisabled = errors.New("the user is disabled already")
	// ErrNotDisabled says that there is nothing to undo.
	ErrNotDisabled = errors.New("the user is not disabled")
)

// Ended counts what an operator ended of a user's.
type Ended struct {
	Sessions int64 `json:"sessions"`
	Links    int64 `json:"links"`
	Mails    int64 `json:"mails"`
}

// Disable locks a user out until [Enable]: in one transaction the flag is set, all sessions end, links that reset the password and
// unsent mails are withdrawn, and a mailed password that was not used yet is void (ASVS 7.4.2). Once it returns, no replica
// refreshes, logs in or confirms for the user. Access tokens live on until they expire; a mail that is on its way to the relay can
// not be held, but a password in it does not work. The link of a sign-up stays: nobody else can sign up with the address, so the
// user needs it after Enable. While the user is disabled it is refused, and not used up.
func Disable(ctx context.Context, store *db.Store, id uuid.UUID, now time.Time) (ended Ended, err error) {
	now = clock.Truncate(now)
	err = store.InTx(ctx, func(q *db.Queries) error {
		disabled, err := q.DisableAccount(ctx, db.DisableAccountParams{Now: &now, ID: id})
		if err != nil {
			return fmt.Errorf("set the flag: %w", err)
		}
		if disabled == 0 {
			return whyNot(ctx, q, id, ErrDisabled)
		}
		ended, err = end(ctx, q, id, q.DeletePasswordConfirmations, q.DeleteUnsentMails)
		return err
	})
	return ended, err
}

// Enable undoes the flag: the user logs in anew, with the password that they had. Whoever had none yet goes on where they were:
// the link of the sign-up works again, and its mail is queued if it had not been sent; queued counts such mails.
func Enable(ctx context.Context, store *db.Store, id uuid.UUID, now time.Time) (queued int64, err error) {
	now = clock.Truncate(now)
	err = store.InTx(ctx, func(q *db.Queries) error {
		enabled, err := q.EnableAccount(ctx, id)
		if err != nil {
			return fmt.Errorf("take the flag: %w", err)
		}
		if enabled == 0 {
			return whyNot(ctx, q, id, ErrNotDisabled)
		}
		queued, err = queueSignUpLink(ctx, q, id, now)
		return err
	})
	return queued, err
}

// queueSignUpLink queues the link of a sign-up that waits for its confirmation, unless it was sent.
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
		return 0, nil // withdrawn by the version before
	}
	if err != nil {
		return 0, fmt.Errorf("find the link of the sign-up: %w", err)
	}
	sent, err := q.CountSentLinks(ctx, db.CountSentLinksParams{AccountID: id, ConfirmationID: &pending.ID})
	if err != nil {
		return 0, fmt.Errorf("see whether the link was sent: %w", err)
	}
	if sent > 0 {
		return 0, nil
	}
	_, err = mail.Enqueue(ctx, q, db.InsertMailParams{
		AccountID: id, Kind: mail.KindSignUpLink, ConfirmationID: &pending.ID, RequestID: "user-enable-" + uuid.NewString(), Now: now,
	})
	return 1, err
}

// whyNot tells why a guarded change of a user changed nothing: there is no such user, or it is refused.
func whyNot(ctx context.Context, q *db.Queries, id uuid.UUID, refusal error) error {
	_, err := q.GetAccount(ctx, id)
	switch {
	case errors.Is(err, db.ErrNotFound):
		return ErrNoUser
	case err != nil:
		return fmt.Errorf("find the user: %w", err)
	}
	return refusal
}

// Delete removes every trace of a user from the database, in one transaction. The use of the invite that he signed up with is
// free again, and so is the address: whoever signs up with it is another user, under another id (ASVS 10.3.3).
func Delete(ctx context.Context, store *db.Store, id uuid.UUID) (ended Ended, err error) {
	err = store.InTx(ctx, func(q *db.Queries) error {
		account, err := hold(ctx, q, id)
		if err != nil {
			return err
		}
		// The other mails were not withdrawn: they are sent, or dead.
		if ended, err = end(ctx, q, id, q.DeleteAccountConfirmations, q.DeleteUnsentMails); err != nil {
			return err
		}
		if _, err := q.DeleteAccountMails(ctx, id); err != nil {
			return fmt.Errorf("delete the mails: %w", err)
		}
		if _, err := q.DeleteAccount(ctx, id); err != nil {
			return fmt.Errorf("delete the account: %w", err)
		}
		if err := q.DeleteDecoys(ctx, &id); err != nil {
			return fmt.Errorf("delete the sign-ups with the address: %w", err)
		}
		if err := q.DeleteResetRequests(ctx, account.Email); err != nil {
			return fmt.Errorf("delete the resets that were asked for: %w", err)
		}
		if account.InviteID == nil || account.PendingUntil != nil { // an unconfirmed one holds its use by being there
			return nil
		}
		if err := q.DecrementInviteUses(ctx, *account.InviteID); err != nil {
			return fmt.Errorf("give the use of the invite back: %w", err)
		}
		return nil
	})
	return ended, err
}

// hold holds a user's invite, if there is one, and then the account, so that nothing else happens to them.
func hold(ctx context.Context, q *db.Queries, id uuid.UUID) (db.Account, error) {
	account, err := q.GetAccount(ctx, id)
	if err == nil && account.InviteID != nil {
		if err := q.LockInviteByID(ctx, *account.InviteID); err != nil { // an account's invite never changes
			return account, fmt.Errorf("hold the invite: %w", err)
		}
	}
	if err == nil {
		account, err = q.LockAccount(ctx, id)
	}
	if errors.Is(err, db.ErrNotFound) {
		return account, ErrNoUser
	}
	if err != nil {
		return account, fmt.Errorf("hold the account: %w", err)
	}
	return account, nil
}

// end ends sessions, links and mails of a user whose row the transaction has. Whoever uses a link or is sent a mail locks that row
// before: so what they cause is there to be withdrawn, or they find the user disabled or gone.
func end(
	ctx context.Context, q *db.Queries, id uuid.UUID, deleteLinks, deleteMails func(context.Context, uuid.UUID) (int64, error),
) (ended Ended, err error) {
	if ended.Sessions, err = q.DeleteAccountSessions(ctx, id); err != nil {
		return ended, fmt.Errorf("end the sessions: %w", err)
	}
	if ended.Links, err = deleteLinks(ctx, id); err != nil {
		return ended, fmt.Errorf("withdraw the links: %w", err)
	}
	if ended.Mails, err = deleteMails(ctx, id); err != nil {
		return ended, fmt.Errorf("withdraw the mails: %w", err)
	}
	return ended, nil
}
