// Package userdata deletes, restores and exports what the service stores about a user. The operations, the cleaner and the operators' commands
// share it.
package userdata

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/google/uuid"

	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/link"
	"github.com/financelime/authorization/impl/mail"
)

// Ended counts what the end of an account has ended.
type Ended struct {
	Sessions int64 `json:"sessions"`
	Links    int64 `json:"links"`
	Mails    int64 `json:"mails"`
}

// LockInvite locks the invite of an account, if there is one. A transaction that calls Delete calls it before it locks the account. It fails
// with db.ErrNotFound if the account does not exist.
func LockInvite(ctx context.Context, q *db.Queries, id uuid.UUID) error {
	account, err := q.GetAccount(ctx, id)
	if err != nil {
		return fmt.Errorf("find the account: %w", err)
	}
	if account.InviteID == nil {
		return nil
	}
	if err := q.LockInviteByID(ctx, *account.InviteID); err != nil { // the invite of an account never changes
		return fmt.Errorf("lock the invite: %w", err)
	}
	return nil
}

// Lock locks the invite of an account, if there is one, and then the account. It fails with db.ErrNotFound if the account does not exist.
func Lock(ctx context.Context, q *db.Queries, id uuid.UUID) (account db.Account, err error) {
	if err := LockInvite(ctx, q, id); err != nil {
		return account, err
	}
	if account, err = q.LockAccount(ctx, id); err != nil {
		return account, fmt.Errorf("lock the account: %w", err)
	}
	return account, nil
}

// Delete deletes all data about a user whose invite and account the transaction has locked. The use of the invite is released, and so is the
// address: someone who signs up with it later is another user, with another ID (ASVS 10.3.3).
func Delete(ctx context.Context, q *db.Queries, account db.Account) (ended Ended, err error) {
	id := account.ID
	// The remaining mails are not counted: they were sent, or failed permanently.
	ended, err = EndAll(ctx, q, id, []DeleteRows{q.DeleteAccountConfirmations, q.DeleteAccountLinks}, q.DeleteUnsentMails)
	if err != nil {
		return ended, err
	}
	if _, err := q.DeleteAccountMails(ctx, id); err != nil {
		return ended, fmt.Errorf("delete the mails: %w", err)
	}
	if _, err := q.DeleteAccount(ctx, id); err != nil {
		return ended, fmt.Errorf("delete the account: %w", err)
	}
	if err := q.DeleteDecoys(ctx, &id); err != nil {
		return ended, fmt.Errorf("delete the decoys of the account: %w", err)
	}
	if err := q.DeleteResetRequests(ctx, account.Email); err != nil {
		return ended, fmt.Errorf("delete the requested resets: %w", err)
	}
	if account.InviteID == nil || account.PendingUntil != nil { // an unconfirmed account reserves a use only as long as its row exists
		return ended, nil
	}
	if err := q.DecrementInviteUses(ctx, *account.InviteID); err != nil {
		return ended, fmt.Errorf("release the use of the invite: %w", err)
	}
	return ended, nil
}

// DeleteRows deletes rows of an account and counts them.
type DeleteRows func(ctx context.Context, accountID uuid.UUID) (int64, error)

// EndAll ends the sessions and deletes links and mails of an account that the transaction has locked. A request that uses a link, and the
// worker that sends a mail, lock the account too: either their result is committed and deleted here, or they find the user disabled or deleted.
func EndAll(ctx context.Context, q *db.Queries, id uuid.UUID, links []DeleteRows, mails DeleteRows) (ended Ended, err error) {
	if ended.Sessions, err = q.DeleteAccountSessions(ctx, id); err != nil {
		return ended, fmt.Errorf("end the sessions: %w", err)
	}
	for _, deleteLinks := range links {
		deleted, err := deleteLinks(ctx, id)
		if err != nil {
			return ended, fmt.Errorf("delete the links: %w", err)
		}
		ended.Links += deleted
	}
	if ended.Mails, err = mails(ctx, id); err != nil {
		return ended, fmt.Errorf("delete the mails: %w", err)
	}
	return ended, nil
}

// VoidLinks deletes the links that replace the password, of both forms, and the one to a new address, when the password or the address changes:
// a thief may have asked for them. The transaction has locked the account.
func VoidLinks(ctx context.Context, q *db.Queries, id uuid.UUID) error {
	if _, err := q.DeletePasswordConfirmations(ctx, id); err != nil {
		return fmt.Errorf("delete the reset link: %w", err)
	}
	for _, purpose := range []link.Purpose{link.PasswordReset, link.Email} {
		if _, err := q.DeleteLink(ctx, db.DeleteLinkParams{AccountID: id, Purpose: string(purpose)}); err != nil {
			return fmt.Errorf("delete the link with the purpose %s: %w", purpose, err)
		}
	}
	return nil
}

// LinksExcept deletes the page links of an account, except those with some purposes.
func LinksExcept(q *db.Queries, keep ...link.Purpose) DeleteRows {
	return func(ctx context.Context, id uuid.UUID) (deleted int64, err error) {
		links, err := q.ListLinks(ctx, id)
		if err != nil {
			return 0, err
		}
		for _, l := range links {
			if slices.Contains(keep, link.Purpose(l.Purpose)) {
				continue
			}
			n, err := q.DeleteLink(ctx, db.DeleteLinkParams{AccountID: id, Purpose: l.Purpose})
			if err != nil {
				return deleted, err
			}
			deleted += n
		}
		return deleted, nil
	}
}

// UnsentMailsExcept deletes the unsent mails of an account, except those of one kind.
func UnsentMailsExcept(q *db.Queries, keep string) DeleteRows {
	return func(ctx context.Context, id uuid.UUID) (int64, error) {
		return q.DeleteUnsentMailsExcept(ctx, db.DeleteUnsentMailsExceptParams{AccountID: id, Keep: keep})
	}
}

// ErrNotClosing means that Restore has no effect: the account is not closing, or an operator has disabled it.
var ErrNotClosing = errors.New("the user is not closing")

// Restore undoes a deletion whose grace has not ended, or that no cleaner has found yet. The user logs in with the password that they had.
// The transaction has locked the account.
func Restore(ctx context.Context, q *db.Queries, id uuid.UUID) error {
	restored, err := q.RestoreAccount(ctx, id)
	if err != nil {
		return fmt.Errorf("restore the account: %w", err)
	}
	if restored == 0 {
		return ErrNotClosing
	}
	return WithdrawUndo(ctx, q, id)
}

// WithdrawUndo voids the link that undoes a deletion, and withdraws its mail.
func WithdrawUndo(ctx context.Context, q *db.Queries, id uuid.UUID) error {
	if _, err := q.DeleteLink(ctx, db.DeleteLinkParams{AccountID: id, Purpose: string(link.DeletionUndo)}); err != nil {
		return fmt.Errorf("delete the link: %w", err)
	}
	if _, err := q.DeleteUnsentMailsOfKind(ctx, db.DeleteUnsentMailsOfKindParams{AccountID: id, Kind: mail.KindDeletionUndo}); err != nil {
		return fmt.Errorf("delete the mail: %w", err)
	}
	return nil
}
