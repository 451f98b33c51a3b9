package impl

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/link"
	"github.com/financelime/authorization/impl/mail"
)

// The link of a sign-up or a reset has one of two forms: it acts when it is opened, and the service mails a password (confirm_user_email.go);
// or it opens a page on which the user chooses one (open_link.go, use_link.go). An account has one of them for each purpose at most: a new
// link deletes the older one of the other form.

// linkKind returns the kind of mail with a link of a form.
func linkKind(purpose link.Purpose, choosePassword bool) string {
	switch {
	case purpose == link.SignUp && choosePassword:
		return mail.KindSignUpChooseLink
	case purpose == link.SignUp:
		return mail.KindSignUpLink
	case choosePassword:
		return mail.KindPasswordChooseLink
	default:
		return mail.KindPasswordLink
	}
}

// enqueuePasswordLink creates the link of a sign-up or a reset, which replaces an older one in either form, and enqueues a mail of the given
// kind with it.
func (s *Service) enqueuePasswordLink(
	ctx context.Context, q *db.Queries, accountID uuid.UUID, purpose link.Purpose, choosePassword bool, kind string, now, expiresAt time.Time,
) error {
	if !choosePassword {
		if _, err := q.DeleteLink(ctx, db.DeleteLinkParams{AccountID: accountID, Purpose: string(purpose)}); err != nil {
			return fmt.Errorf("delete the link of the other form: %w", err)
		}
		return s.enqueueLink(ctx, q, accountID, purpose, kind, now, expiresAt)
	}
	err := q.DeleteConfirmation(ctx, db.DeleteConfirmationParams{AccountID: accountID, Purpose: string(purpose)})
	if err != nil {
		return fmt.Errorf("delete the link of the other form: %w", err)
	}
	_, err = s.enqueuePageLink(ctx, q, db.UpsertLinkParams{
		AccountID: accountID, Purpose: string(purpose), CreatedAt: now, ExpiresAt: expiresAt,
	}, kind)
	return err
}

// enqueueSignUpLinkAgain enqueues the link of an unconfirmed account again, with its remaining lifetime. If the link has the other form, a
// new one replaces it, so that the user gets what they requested last.
func (s *Service) enqueueSignUpLinkAgain(
	ctx context.Context, q *db.Queries, account db.Account, choosePassword bool, now time.Time,
) error {
	kind := linkKind(link.SignUp, choosePassword)
	id, err := findLinkID(ctx, q, account.ID, link.SignUp, choosePassword)
	if errors.Is(err, db.ErrNotFound) {
		return s.enqueuePasswordLink(ctx, q, account.ID, link.SignUp, choosePassword, kind, now, *account.PendingUntil)
	}
	if err != nil {
		return fmt.Errorf("find the link of the sign-up: %w", err)
	}
	return enqueueMail(ctx, q, db.InsertMailParams{AccountID: account.ID, Kind: kind, ConfirmationID: &id, Now: now})
}

// findLinkID returns the ID of an account's link for a purpose in one form, or db.ErrNotFound.
func findLinkID(ctx context.Context, q *db.Queries, accountID uuid.UUID, purpose link.Purpose, choosePassword bool) (uuid.UUID, error) {
	if choosePassword {
		found, err := q.GetLink(ctx, db.GetLinkParams{AccountID: accountID, Purpose: string(purpose)})
		return found.ID, err
	}
	found, err := q.GetConfirmation(ctx, db.GetConfirmationParams{AccountID: accountID, Purpose: string(purpose)})
	return found.ID, err
}
