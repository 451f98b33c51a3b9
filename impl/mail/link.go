package mail

import (
	"context"

	"github.com/google/uuid"

	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/link"
)

// linkPurpose returns the purpose of the link in a kind of mail, "" for a kind without a link.
func linkPurpose(kind string) link.Purpose {
	switch kind {
	case KindSignUpLink:
		return link.SignUp
	case KindPasswordLink:
		return link.PasswordReset
	default:
		return ""
	}
}

// getLink returns the account's current link for a purpose, or db.ErrNotFound.
func getLink(ctx context.Context, q *db.Queries, accountID uuid.UUID, purpose link.Purpose) (db.Confirmation, error) {
	return q.GetConfirmation(ctx, db.GetConfirmationParams{AccountID: accountID, Purpose: string(purpose)})
}
