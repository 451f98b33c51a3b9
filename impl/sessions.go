package impl

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/google/uuid"

	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/event"
)

// activeSessions returns the sessions of an account that can still be refreshed, the most recently refreshed first.
//
// Clocks: both periods are days or longer. A clock that is 5 s off, or was set back by 10 min, includes a session for as much too long or
// too short a time.
func (s *Service) activeSessions(ctx context.Context, accountID uuid.UUID) ([]db.Session, error) {
	now := s.Clock.Now()
	sessions, err := s.Store.Read().ListSessions(ctx, db.ListSessionsParams{
		AccountID:      accountID,
		CreatedAfter:   now.Add(-s.SessionMaxAge),
		RefreshedAfter: now.Add(-s.RefreshTTL),
	})
	if err != nil {
		return nil, fmt.Errorf("list the sessions: %w", err)
	}
	return sessions, nil
}

// revokeSession ends a session of the calling user. An unknown ID, or an ID of another user's session, is no error and has no effect: the
// response does not reveal which IDs exist, and a repeated request gets the same response.
func (s *Service) revokeSession(ctx context.Context, sessionID string) error {
	claims, err := principal(ctx)
	if err != nil {
		return err
	}
	id, err := uuid.Parse(sessionID)
	if err != nil || id.String() != sessionID { // uuid.Parse also accepts braces, urn: and upper case
		return nil //nolint:nilerr // unknown: the service makes no such IDs
	}
	var ended int64
	err = s.Store.Write(ctx, func(q *db.Queries) (err error) {
		ended, err = q.DeleteSession(ctx, db.DeleteSessionParams{ID: id, AccountID: claims.AccountID})
		return err
	})
	if err != nil {
		return fmt.Errorf("end the session: %w", err)
	}
	if ended > 0 {
		event.Record(ctx, s.Log, event.SessionRevoked, slog.String("revoked_session_id", sessionID))
	}
	return nil
}
