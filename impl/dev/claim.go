package dev

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/clock"
)

var (
	// ErrForeign means that a database contains something that no service with --dev has written.
	ErrForeign = errors.New("the database was not created by serve --dev and is not empty: " +
		"with --dev, use a new database (by default sqlite:data/dev/auth.db)")
	// ErrClaimed means that a database was created by serve --dev.
	ErrClaimed = errors.New("the database was created by serve --dev and contains a user whose password is public: " +
		"start with --dev, or use another database")
)

// markID returns the ID of the audit event that marks a database. It is smaller than every UUIDv7 that a clock makes. Audit events are never
// deleted, and copies and backups of a database contain them.
func markID() uuid.UUID { return uuid.MustParse("00000000-0000-7000-8000-000000646576") }

// Refuse fails with ErrClaimed if the database was created by a service with --dev.
func Refuse(ctx context.Context, store *db.Store) error {
	marked, err := isMarked(ctx, store.Read())
	switch {
	case err != nil:
		return err
	case marked:
		return ErrClaimed
	}
	return nil
}

// Claim marks an empty database. It fails with ErrForeign if the database is neither empty nor marked. Of several processes that claim a
// database at the same time, one marks it. Call it before anything else is written.
func Claim(ctx context.Context, store *db.Store) error {
	err := store.InTx(ctx, func(q *db.Queries) error {
		marked, err := isMarked(ctx, q)
		if err != nil || marked {
			return err
		}
		empty, err := isEmpty(ctx, q)
		if err != nil {
			return err
		}
		if !empty {
			return ErrForeign
		}
		return q.InsertAuditEvent(ctx, db.InsertAuditEventParams{
			ID: markID(), Now: clock.Clock(nil).Now(), Operator: "serve --dev", Action: "database.claimed_by_dev", Details: "{}",
		})
	})
	if errors.Is(err, db.ErrConflict) || errors.Is(err, ErrForeign) { // another process has marked it meanwhile
		marked, markErr := isMarked(ctx, store.Read())
		if markErr != nil {
			return errors.Join(err, markErr)
		}
		if marked {
			return nil
		}
	}
	return err
}

// RefuseOlder is Refuse for a database with an older schema, which has no mark if it cannot be read.
func RefuseOlder(ctx context.Context, store *db.Store) error {
	err := Refuse(ctx, store)
	if errors.Is(err, ErrClaimed) || errors.Is(err, db.ErrUnavailable) {
		return err
	}
	return nil
}

// ClaimableOlder fails with ErrForeign if a database with an older schema belongs to another service, whose version has no --dev perhaps
// and may be running. It changes nothing. What it cannot read is no evidence: another replica may be creating the tables at the moment.
func ClaimableOlder(ctx context.Context, store *db.Store) error {
	if marked, err := isMarked(ctx, store.Read()); err == nil && marked {
		return nil
	}
	keys, err := store.CountSigningKeys(ctx)
	switch {
	case errors.Is(err, db.ErrUnavailable):
		return err
	case err == nil && keys > 0:
		return ErrForeign
	}
	return nil
}

func isMarked(ctx context.Context, q *db.Queries) (bool, error) {
	after := markID()
	after[len(after)-1]++
	events, err := q.ListAuditEvents(ctx, db.ListAuditEventsParams{Before: after, MaxRows: 1})
	if err != nil {
		return false, fmt.Errorf("check whether the database belongs to --dev: %w", err)
	}
	return len(events) == 1 && events[0].ID == markID(), nil
}

// isEmpty reports whether no service and no command has used the database. Every service has a signing key.
func isEmpty(ctx context.Context, q *db.Queries) (bool, error) {
	keys, err := q.ListSigningKeys(ctx)
	if err != nil {
		return false, fmt.Errorf("check for signing keys: %w", err)
	}
	accounts, err := q.ListAccounts(ctx, db.ListAccountsParams{Before: uuid.Max, MaxRows: 1})
	if err != nil {
		return false, fmt.Errorf("check for accounts: %w", err)
	}
	now := clock.Clock(nil).Now()
	invites, err := q.ListInvites(ctx, db.ListInvitesParams{Now: &now, Before: uuid.Max, MaxRows: 1})
	if err != nil {
		return false, fmt.Errorf("check for invites: %w", err)
	}
	events, err := q.ListAuditEvents(ctx, db.ListAuditEventsParams{Before: uuid.Max, MaxRows: 1})
	if err != nil {
		return false, fmt.Errorf("check for audit events: %w", err)
	}
	return len(keys)+len(accounts)+len(invites)+len(events) == 0, nil
}
