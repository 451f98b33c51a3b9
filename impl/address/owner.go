package address

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/financelime/authorization/db"
)

// clockTolerance is for how long an address stays reserved after its undo has expired, so that replicas whose clocks differ never let
// another account take an address to which one of them still returns its owner.
const clockTolerance = 5 * time.Second

// Owner is the account that has an address.
type Owner struct {
	AccountID uuid.UUID
	Reserved  bool // it had the address before, and can still undo the change
}

// FindOwner returns the owner of an address, or db.ErrNotFound if there is none but the given account. A sign-up that was not confirmed in
// time owns no address.
func FindOwner(ctx context.Context, q *db.Queries, address string, except uuid.UUID, now time.Time) (Owner, error) {
	row, err := q.GetAddressOwner(ctx, db.GetAddressOwnerParams{
		Address: address, Now: &now, ReservedAfter: now.Add(-clockTolerance), AccountID: except,
	})
	if err != nil {
		return Owner{}, fmt.Errorf("find the owner of the address: %w", err)
	}
	return Owner{AccountID: row.ID, Reserved: row.Reserved != 0}, nil
}

// IsReserved reports whether another account can return to an address. Call it after the statement that gave the address to the account:
// that statement waits for a change in progress.
func IsReserved(ctx context.Context, q *db.Queries, address string, account uuid.UUID, now time.Time) (bool, error) {
	_, err := q.IsAddressReserved(ctx, db.IsAddressReservedParams{
		Address: &address, ReservedAfter: now.Add(-clockTolerance), AccountID: account,
	})
	if errors.Is(err, db.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("check whether the address is reserved: %w", err)
	}
	return true, nil
}

// reservedDecoy begins the text that a decoy has instead of an address, if its address was reserved.
const reservedDecoy = "reserved "

// Decoy returns the text that the decoy of an owner has instead of an address. It is unique, and no address.
func (o Owner) Decoy(id uuid.UUID) string {
	if o.Reserved {
		return reservedDecoy + id.String()
	}
	return id.String()
}

// IsReservedDecoy reports whether a text is that of a decoy whose address was reserved.
func IsReservedDecoy(text string) bool { return strings.HasPrefix(text, reservedDecoy) }
