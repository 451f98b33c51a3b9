package mail

import (
	"context"
	"errors"
	"fmt"

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

// addLink derives the link of the mail's confirmation, if that is still the account's newest one and can be used.
func (d *delivery) addLink(ctx context.Context, v *Values) error {
	if d.mail.ConfirmationID == nil {
		return permanent(errors.New("a mail with a link has no confirmation_id"))
	}
	c, err := getLink(ctx, d.Store.Read(), d.mail.AccountID, linkPurpose(d.mail.Kind))
	switch {
	case errors.Is(err, db.ErrNotFound):
		return errLinkExpired
	case err != nil:
		return fmt.Errorf("read the confirmation: %w", err)
	case c.ID != *d.mail.ConfirmationID:
		return errSuperseded
	}
	if v.Life = c.ExpiresAt.Sub(d.Clock.Now()); v.Life <= 0 {
		return errLinkExpired
	}
	key, ok := d.Links.Find(c.ID, c.KeyHash)
	if !ok {
		return errForeignSecret
	}
	v.Link = link.URL(d.PublicURL, key, d.mail.RequestID)
	d.secrets = append(d.secrets, v.Link, key)
	return nil
}
