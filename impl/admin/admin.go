// Package admin implements the commands of operators: list, disable, enable, restore and delete users, and end sessions. It changes the database
// while replicas run, and locks the rows of a user in the same order as the operations: invite, account, then the others.
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
	// ErrNoUser means that no user has the ID or address.
	ErrNoUser = errors.New("there is no such user")
	// ErrName means that a text is neither the ID nor the address of a user.
	ErrName = errors.New("neither a user ID nor an e-mail address")
)

// Find returns a user by ID or by address, in any form that login accepts.
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

// Page is a part of a list that begins with the newest entry.
type Page struct {
	After uuid.UUID // the last entry of the previous page; zero: begin with the newest entry
	Limit int64
}

// Before returns the ID that all entries of the page sort before.
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
	Closing  = "closing"  // by the user, who can undo it until it is deleted
	Pending  = "pending"  // the sign-up is not confirmed
	Expired  = "expired"  // it was not confirmed in time; a new sign-up with the address replaces it
)

// State returns the state of a user. Only an active user can log in.
func State(account db.Account, now time.Time) string {
	switch {
	case account.DisabledAt != nil && account.ClosingUntil != nil:
		return Closing
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
