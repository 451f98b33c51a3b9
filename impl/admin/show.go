package admin

import (
	"context"
	"errors"
	"fmt"

	"github.com/financelime/authorization/db"
)

// Person is all that the database contains about a user.
type Person struct {
	Account  db.Account
	Sessions []db.Session // those that can be refreshed, the most recently refreshed first
	Links    []db.Confirmation
	Pages    []db.Link // links that open a page
	Mails    []db.Mail // the newest first

	TOTP          db.Totp // zero if the user has not begun to set an app up
	RecoveryCodes int64
	Passkeys      []db.Passkey
}

// Show returns all data about a user, with at most the given number of mails.
func Show(ctx context.Context, store *db.Store, account db.Account, alive Alive, mails int64) (Person, error) {
	p := Person{Account: account}
	var err error
	if p.Sessions, err = UserSessions(ctx, store, account.ID, alive); err != nil {
		return p, err
	}
	if p.Links, err = store.Read().ListConfirmations(ctx, account.ID); err != nil {
		return p, fmt.Errorf("list the links: %w", err)
	}
	if p.Pages, err = store.Read().ListLinks(ctx, account.ID); err != nil {
		return p, fmt.Errorf("list the links that open pages: %w", err)
	}
	if p.Mails, err = store.Read().ListAccountMails(ctx, db.ListAccountMailsParams{AccountID: account.ID, MaxRows: mails}); err != nil {
		return p, fmt.Errorf("list the mails: %w", err)
	}
	err = p.readFactors(ctx, store.Read())
	return p, err
}

// readFactors reads the second factors of the user.
func (p *Person) readFactors(ctx context.Context, q *db.Queries) (err error) {
	if p.TOTP, err = q.GetTOTP(ctx, p.Account.ID); err != nil && !errors.Is(err, db.ErrNotFound) {
		return fmt.Errorf("read the TOTP secret: %w", err)
	}
	if p.RecoveryCodes, err = q.CountRecoveryCodes(ctx, p.Account.ID); err != nil {
		return fmt.Errorf("count the recovery codes: %w", err)
	}
	if p.Passkeys, err = q.ListPasskeys(ctx, p.Account.ID); err != nil {
		return fmt.Errorf("list the passkeys: %w", err)
	}
	return nil
}
