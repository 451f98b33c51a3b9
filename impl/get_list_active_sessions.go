package impl

import (
	"context"
	"fmt"

	"github.com/google/uuid"

	"github.com/financelime/authorization/api"
	"github.com/financelime/authorization/db"
)

// GetListActiveSessions lists the user's sessions, the most recently refreshed first.
func (s *Service) GetListActiveSessions(
	ctx context.Context, _ api.GetListActiveSessionsRequestObject,
) (api.GetListActiveSessionsResponseObject, error) {
	claims, err := principal(ctx)
	if err != nil {
		return nil, err
	}
	sessions, err := s.liveSessions(ctx, claims.AccountID)
	if err != nil {
		return nil, err
	}
	list := make(api.GetListActiveSessions200JSONResponse, 0, len(sessions))
	for _, session := range sessions {
		list = append(list, api.Session{
			SessionID:  session.ID.String(),
			Platform:   session.Platform,
			ClientID:   session.ClientID,
			RemoteAddr: session.RemoteAddr,
			CreatedAt:  session.CreatedAt.UTC(),
			UpdatedAt:  session.RefreshedAt.UTC(),
			Current:    session.ID == claims.SessionID,
		})
	}
	return list, nil
}

// liveSessions are an account's sessions that can still be refreshed, the most recently refreshed first.
//
// Clocks: the periods are of days. A clock that is 5 s off, or set back by 10 min, shows a session by as much too long or not long enough.
func (s *Service) liveSessions(ctx context.Context, accountID uuid.UUID) ([]db.Session, error) {
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
