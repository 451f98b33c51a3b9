package impl

import (
	"context"

	"github.com/financelime/authorization/api"
)

// RevokeRefreshToken ends one of the user's sessions. The access token of the session is valid until it expires.
func (s *Service) RevokeRefreshToken(
	ctx context.Context, request api.RevokeRefreshTokenRequestObject,
) (api.RevokeRefreshTokenResponseObject, error) {
	return api.RevokeRefreshToken204Response{}, s.revokeSession(ctx, request.Body.SessionID)
}
