package admin

import (
	"context"
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
	return p, nil
}
