// Package admin is what operators do to accounts and sessions: the rules behind the commands. It works on the database beside
// running replicas, and takes the rows of a person in the order in which the operations do: invite, account, the rest.
package admin

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/address"
)

var (
	// ErrNoUser says that nobody has this id or address.
	ErrNoUser = errors.New("there is no such user")
	// ErrName says that a text can not name a user.
	ErrName = errors.New("neither the id of a user nor an e-mail address")
)

// Find finds a user by id or by address, in any spelling that log-in takes.
func Find(ctx context.Context, store *db.Store, name string) (account db.Account, err error) {
	if id, parseErr := uuid.Parse(name); parseErr == nil {
		account, err = store.Read().GetAccount(ctx, id)
	} else if email, parseErr := address.Normalize(name); parseErr == nil {
		account, err = store.Read().GetAccountByEmail(ctx, email)
	} else {
		return account, ErrName
	}
	if errors.Is(err, db.ErrNotFound) {
		return account, ErrNoUser
	}
	if err != nil {
		return account, fmt.Errorf("find the user: %w", err)
	}
	return account, nil
}

// Page is a part of a list whose newest entries come first.
type Page struct {
	After uuid.UUID // the last entry of the page before; the zero value begins with the newest
	Limit int64
}

// Before is the id that all of the page are older than.
func (p Page) Before() uuid.UUID {
	if p.After == uuid.Nil {
		return uuid.Max
	}
	return p.After
}

// Users lists the users.
func Users(ctx context.Context, store *db.Store, p Page) ([]db.Account, error) {
	users, err := store.Read().ListAccounts(ctx, db.ListAccountsParams{Before: p.Before(), MaxRows: p.Limit})
	if err != nil {
		return nil, fmt.Errorf("list the users: %w", err)
	}
	return users, nil
}

// The states of a user.
const (
	Active   = "active"
	Disabled = "disabled" // by an operator
	Pending  = "pending"  // the sign-up waits for its confirmation
	Expired  = "expired"  // it was never confirmed; the next sign-up with the address takes its place
)

// State tells whether a user can log in, and why not.
func State(account db.Account, now time.Time) string {
	switch {
	case account.DisabledAt != nil:
		return Disabled
	case account.PendingUntil == nil:
		return Active
	case account.PendingUntil.After(now):
		return Pending
	default:
		return Expired
	}
}
