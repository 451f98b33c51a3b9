package admin

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/financelime/authorization/db"
)

// ErrNoSession means that no session has the ID.
var ErrNoSession = errors.New("there is no such session")

// Alive selects the sessions that can still be refreshed. Other rows are sessions that have ended and are not deleted yet.
//
// Clocks: both periods are days or longer. If the operator's clock is 5 s off, or was set back by 10 min, a list includes a session for as
// much too long or too short a time.
type Alive struct {
	CreatedAfter   time.Time // from the maximum age of a session
	RefreshedAfter time.Time // from the lifetime of a refresh token
}

// Sessions lists the sessions of all users that can be refreshed.
func Sessions(ctx context.Context, store *db.Store, alive Alive, p Page) ([]db.Session, error) {
	sessions, err := store.Read().ListAllSessions(ctx, db.ListAllSessionsParams{
		Before: p.Before(), CreatedAfter: alive.CreatedAfter, RefreshedAfter: alive.RefreshedAfter, MaxRows: p.Limit,
	})
	if err != nil {
		return nil, fmt.Errorf("list the sessions: %w", err)
	}
	return sessions, nil
}

// UserSessions lists the sessions of a user that can be refreshed, the most recently refreshed first.
func UserSessions(ctx context.Context, store *db.Store, id uuid.UUID, alive Alive) ([]db.Session, error) {
	sessions, err := store.Read().ListSessions(ctx, db.ListSessionsParams{
		AccountID: id, CreatedAfter: alive.CreatedAfter, RefreshedAfter: alive.RefreshedAfter,
	})
	if err != nil {
		return nil, fmt.Errorf("list the sessions: %w", err)
	}
	return sessions, nil
}

// EndSession ends one session. After it returns, no replica refreshes the session. Its access token is valid until it expires.
func EndSession(ctx context.Context, store *db.Store, id uuid.UUID) (session db.Session, err error) {
	err = store.Write(ctx, func(q *db.Queries) error {
		session, err = q.DeleteSessionByID(ctx, id)
		return err
	})
	if errors.Is(err, db.ErrNotFound) {
		return session, ErrNoSession
	}
	if err != nil {
		return session, fmt.Errorf("end the session: %w", err)
	}
	return session, nil
}

// EndUserSessions ends all sessions of a user and returns how many it ended. It locks the account's row. A login in progress has therefore
// either inserted its session before, and this session is ended, or inserts it afterwards.
func EndUserSessions(ctx context.Context, store *db.Store, id uuid.UUID) (ended int64, err error) {
	err = store.InTx(ctx, func(q *db.Queries) error {
		if _, err := q.LockAccount(ctx, id); err != nil {
			return err
		}
		ended, err = q.DeleteAccountSessions(ctx, id)
		return err
	})
	if errors.Is(err, db.ErrNotFound) {
		return 0, ErrNoUser
	}
	if err != nil {
		return 0, fmt.Errorf("end the sessions: %w", err)
	}
	return ended, nil
}

// EndAllSessions ends every session that exists when it is called, and returns how many it ended, also with an error. A session that
// begins meanwhile may end too. An older copy of the database brings ended sessions back: after a restore, end all again.
//
// It depends on no clock. The walk ends at the greatest ID that exists when it begins, so that logins cannot prolong it.
func EndAllSessions(ctx context.Context, store *db.Store) (ended int64, err error) {
	end, err := store.Read().LastSessionID(ctx)
	if errors.Is(err, db.ErrNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("find the last session: %w", err)
	}
	ended, err = db.DeleteInBatches(ctx, store, uuid.Nil, func(q *db.Queries, after uuid.UUID) ([]uuid.UUID, error) {
		return q.ListSessionIDs(ctx, db.ListSessionIDsParams{After: after, Last: end, MaxRows: db.BatchRows})
	}, func(q *db.Queries, first, last uuid.UUID) (int64, error) {
		return q.DeleteSessionRange(ctx, db.DeleteSessionRangeParams{First: first, Last: last})
	})
	if err != nil {
		return ended, fmt.Errorf("end all sessions: %w", err)
	}
	return ended, nil
}
