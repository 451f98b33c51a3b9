package mail

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/link"
)

// storedLink is a row of confirmation or of link.
type storedLink struct {
	id        uuid.UUID
	keyHash   []byte
	address   *string // the recipient; nil: the account's address
	expiresAt time.Time
	url       func(publicURL, key, rid string) string
}

// getLink returns the account's current link for the purpose of a kind of mail, or db.ErrNotFound.
func getLink(ctx context.Context, q *db.Queries, accountID uuid.UUID, kind string) (storedLink, error) {
	purpose, opensPage := linkPurpose(kind)
	if opensPage {
		row, err := q.GetLink(ctx, db.GetLinkParams{AccountID: accountID, Purpose: string(purpose)})
		return storedLink{row.ID, row.KeyHash, row.Address, row.ExpiresAt, link.PageURL}, err
	}
	row, err := q.GetConfirmation(ctx, db.GetConfirmationParams{AccountID: accountID, Purpose: string(purpose)})
	return storedLink{row.ID, row.KeyHash, nil, row.ExpiresAt, link.URL}, err
}

// linkPurpose returns the purpose of the link that a kind of mail is about, and whether that link opens a page. It returns "" for a kind
// without a link.
func linkPurpose(kind string) (purpose link.Purpose, opensPage bool) {
	switch kind {
	case KindSignUpLink:
		return link.SignUp, false
	case KindPasswordLink:
		return link.PasswordReset, false
	case KindSignUpChooseLink:
		return link.SignUp, true
	case KindPasswordChooseLink:
		return link.PasswordReset, true
	case KindEmailLink, KindEmailAsked:
		return link.Email, true
	case KindEmailUndo:
		return link.EmailUndo, true
	case KindDeletionUndo:
		return link.DeletionUndo, true
	default:
		return "", false
	}
}

// mayReceive reports whether an account receives mails of a kind. A disabled account receives none, and one that its owner has deleted
// receives only those that can undo that.
func mayReceive(account db.Account, kind string) bool {
	if account.DisabledAt == nil {
		return true
	}
	purpose, _ := linkPurpose(kind)
	return account.ClosingUntil != nil && purpose.Undoes()
}

// findLink returns the link that the mail is about, if it is still the account's newest one and can be used.
func (d *delivery) findLink(ctx context.Context) (storedLink, error) {
	if d.mail.ConfirmationID == nil {
		return storedLink{}, permanent(errors.New("a mail about a link has no confirmation_id"))
	}
	found, err := getLink(ctx, d.Store.Read(), d.mail.AccountID, d.mail.Kind)
	switch {
	case errors.Is(err, db.ErrNotFound):
		return found, errLinkExpired
	case err != nil:
		return found, fmt.Errorf("read the link: %w", err)
	case found.id != *d.mail.ConfirmationID:
		return found, errSuperseded
	case !found.expiresAt.After(d.Clock.Now()):
		return found, errLinkExpired
	}
	return found, nil
}

// addLink derives the link of the mail, and returns the address to which the mail goes.
func (d *delivery) addLink(ctx context.Context, v *Values, account db.Account) (recipient string, err error) {
	found, err := d.findLink(ctx)
	if err != nil {
		return "", err
	}
	key, ok := d.Links.Find(found.id, found.keyHash)
	if !ok {
		return "", errForeignSecret
	}
	v.Life = found.expiresAt.Sub(d.Clock.Now())
	v.Link = found.url(d.PublicURL, key, d.mail.RequestID)
	recipient = account.Email
	if found.address != nil {
		recipient = *found.address
	}
	d.secrets = append(d.secrets, v.Link, key, recipient)
	return recipient, nil
}
