package impl

import (
	"context"

	"github.com/financelime/authorization/api"
)

// RevokeRefreshToken is the logout: it ends the user's session whose ID is in the request body. The access token of the session is valid
// until it expires.
func (s *Service) RevokeRefreshToken(
	ctx context.Context, request api.RevokeRefreshTokenRequestObject,
) (api.RevokeRefreshTokenResponseObject, error) {
	return api.RevokeRefreshToken204Response{}, s.revokeSession(ctx, request.Body.SessionID)
}
