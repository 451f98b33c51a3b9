package impl

import (
	"context"

	"github.com/financelime/authorization/api"
	"github.com/financelime/authorization/impl/clock"
)

// GetListActiveSessions lists the user's sessions, the most recently refreshed first.
func (s *Service) GetListActiveSessions(
	ctx context.Context, _ api.GetListActiveSessionsRequestObject,
) (api.GetListActiveSessionsResponseObject, error) {
	claims, err := principal(ctx)
	if err != nil {
		return nil, err
	}
	sessions, err := s.activeSessions(ctx, claims.AccountID)
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
			CreatedAt:  clock.Format(session.CreatedAt),
			UpdatedAt:  clock.Format(session.RefreshedAt),
			Current:    session.ID == claims.SessionID,
		})
	}
	return list, nil
}
