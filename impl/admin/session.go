package admin

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/financelime/authorization/db"
)

// ErrNoSession says that there is no session with this id.
var ErrNoSession = errors.New("there is no such session")

// Alive tells the sessions that can still be refreshed from those that are only not forgotten yet.
//
// Clocks: both periods are of days. Where the operator's clock is 5 s off, or was set back by 10 min, a list has a session by as much too
// long or not long enough.
type Alive struct {
	CreatedAfter   time.Time // by the greatest age of a session
	RefreshedAfter time.Time // by the life of a refresh token
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

// EndSession ends one session. Once it returns, no replica refreshes it; its access token lives on until it expires.
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

// EndUserSessions ends all sessions of a user and counts them. It takes the account's row, so that a log-in that was under way
// has either begun its session before, and it is ended, or begins it after.
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

// endAtOnce is how many sessions one transaction ends: others wait for it on SQLite.
const endAtOnce = 1000

// EndAllSessions ends every session that there is when it is called, and counts them also where it fails. One that begins
// meanwhile may end too. An ended one comes back with an older copy of the database: after a restore, end all.
//
// Clocks: it asks none. The walk ends at the greatest id that there is at its begin, so that log-ins cannot keep it going.
func EndAllSessions(ctx context.Context, store *db.Store) (ended int64, err error) {
	end, err := store.Read().LastSessionID(ctx)
	if errors.Is(err, db.ErrNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("find sessions: %w", err)
	}
	var after uuid.UUID
	for {
		next, err := store.Read().ListSessionIDs(ctx, db.ListSessionIDsParams{After: after, Last: end, MaxRows: endAtOnce})
		if err != nil {
			return ended, fmt.Errorf("find sessions: %w", err)
		}
		if len(next) == 0 {
			return ended, nil
		}
		last := next[len(next)-1]
		var n int64
		err = store.Write(ctx, func(q *db.Queries) error {
			n, err = q.DeleteSessionRange(ctx, db.DeleteSessionRangeParams{After: after, Last: last})
			return err
		})
		ended += n
		if err != nil {
			return ended, fmt.Errorf("end sessions: %w", err)
		}
		after = last
	}
}
