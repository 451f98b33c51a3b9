package impl

import (
	"context"

	"github.com/financelime/authorization/api"
)

// RevokeSession does the same as RevokeRefreshToken, for clients that cannot send a body with DELETE.
func (s *Service) RevokeSession(
	ctx context.Context, request api.RevokeSessionRequestObject,
) (api.RevokeSessionResponseObject, error) {
	return api.RevokeSession204Response{}, s.revokeSession(ctx, request.SessionID)
}
