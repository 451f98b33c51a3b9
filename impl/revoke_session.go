package impl

import (
	"context"

	"github.com/financelime/authorization/api"
)

// RevokeSession ends the user's session whose ID is in the path. It does the same as RevokeRefreshToken, for clients that cannot send a body
// with DELETE.
func (s *Service) RevokeSession(
	ctx context.Context, request api.RevokeSessionRequestObject,
) (api.RevokeSessionResponseObject, error) {
	return api.RevokeSession204Response{}, s.revokeSession(ctx, request.SessionID)
}
