// Package emailchange changes the address of an account, and undoes that. The callers have locked the account.
package emailchange

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/address"
	"github.com/financelime/authorization/impl/link"
	"github.com/financelime/authorization/impl/mail"
	"github.com/financelime/authorization/impl/userdata"
)

const (
	// LinkTTL is how long the link to a new address is valid.
	LinkTTL = time.Hour
	// UndoTTL is how long a change can be undone by the link to the old address, which stays reserved as long.
	UndoTTL = 72 * time.Hour
)

// ErrTaken means that another account has the address, or can return to it. Change and Undo have then changed something: the transaction must
// be rolled back.
var ErrTaken = errors.New("the address is taken or reserved")

var errNoAddress = errors.New("the undo has no address")

// Change gives an account another address and voids what was mailed to the old one: links to reset the password and mailed passwords.
// Sessions and the password stay. The old address gets a link that undoes the change.
//
// If an earlier change can still be undone, its link stays, and the change gets none of its own: otherwise a thief could change the address
// twice, and the owner's link would be void. Only a link to the same mailbox is replaced, by a younger one.
func Change(
	ctx context.Context, q *db.Queries, keys link.Keys, account db.Account, newAddress, requestID string, now time.Time,
) error {
	err := give(ctx, q, account.ID, newAddress, now, func() error {
		return q.ChangeAccountEmail(ctx, db.ChangeAccountEmailParams{Email: newAddress, ID: account.ID})
	})
	if err != nil {
		return err
	}
	if err := voidPasswords(ctx, q, account.ID); err != nil {
		return err
	}
	undo, err := q.GetLink(ctx, db.GetLinkParams{AccountID: account.ID, Purpose: string(link.EmailUndo)})
	switch {
	case errors.Is(err, db.ErrNotFound):
	case err != nil:
		return fmt.Errorf("find an earlier undo: %w", err)
	// Clocks: on a replica that is 5 s ahead, an undo is replaced as much earlier. Its owner had three days.
	case undo.ExpiresAt.After(now) && (undo.Address == nil || *undo.Address != account.Email):
		return nil
	}
	_, err = mail.EnqueuePageLink(ctx, q, keys, db.UpsertLinkParams{
		AccountID: account.ID, Purpose: string(link.EmailUndo), Address: &account.Email, CreatedAt: now, ExpiresAt: now.Add(UndoTTL),
	}, mail.KindEmailUndo, requestID)
	return err
}

// Undone is what Undo has ended and removed.
type Undone struct {
	Sessions int64
	Factors  userdata.RemovedFactors
}

// Undo returns an account to the address of an undo. It ends all sessions, voids the password and all links and mailed passwords, removes the second
// factors and passkeys that were added since the change, and cancels a deletion: all that may be the work of a thief. rpID is the domain of passkeys.
// It fails with db.ErrNotFound if an operator has disabled the account.
//
// Factors from before the change stay: otherwise, who reads the old mailbox could remove them.
func Undo(
	ctx context.Context, q *db.Queries, account db.Account, undo db.Link, rpID string, now time.Time,
) (undone Undone, err error) {
	if undo.Address == nil {
		return undone, errNoAddress
	}
	var updated int64
	err = give(ctx, q, account.ID, *undo.Address, now, func() (err error) {
		updated, err = q.UndoAccountEmail(ctx, db.UndoAccountEmailParams{Email: *undo.Address, ID: account.ID})
		return err
	})
	if err != nil {
		return undone, err
	}
	if updated == 0 {
		return undone, db.ErrNotFound
	}
	if err := voidPasswords(ctx, q, account.ID); err != nil {
		return undone, err
	}
	if undone.Factors, err = userdata.RemoveFactorsSince(ctx, q, account, rpID, undo.CreatedAt); err != nil {
		return undone, fmt.Errorf("remove the second factors: %w", err)
	}
	if _, err := q.DeleteAccountLinks(ctx, account.ID); err != nil {
		return undone, fmt.Errorf("delete the links: %w", err)
	}
	if undone.Sessions, err = q.DeleteAccountSessions(ctx, account.ID); err != nil {
		return undone, fmt.Errorf("end the sessions: %w", err)
	}
	return undone, nil
}

// give runs a statement that gives an account an address. It fails with ErrTaken if another account has the address or can return to it.
// The check comes after the statement, which has waited for a change in progress.
func give(ctx context.Context, q *db.Queries, account uuid.UUID, to string, now time.Time, update func() error) error {
	if err := q.DeleteExpiredSignUpByEmail(ctx, db.DeleteExpiredSignUpByEmailParams{Email: to, Now: &now}); err != nil {
		return fmt.Errorf("delete an expired sign-up: %w", err)
	}
	err := update()
	if errors.Is(err, db.ErrConflict) { // the address is the only part of the row that has to be unique
		return ErrTaken
	}
	if err != nil {
		return fmt.Errorf("store the address: %w", err)
	}
	reserved, err := address.IsReserved(ctx, q, to, account, now)
	if err == nil && reserved {
		err = ErrTaken
	}
	return err
}

// voidPasswords voids the links to reset the password, and withdraws mailed passwords from the queue.
func voidPasswords(ctx context.Context, q *db.Queries, account uuid.UUID) error {
	if err := userdata.VoidLinks(ctx, q, account); err != nil {
		return err
	}
	if err := q.DeleteOlderPasswordMails(ctx, account); err != nil {
		return fmt.Errorf("delete mails with older passwords: %w", err)
	}
	return nil
}
