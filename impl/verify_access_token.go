package impl

import (
	"context"
	"net/http"

	"github.com/financelime/authorization/api"
	"github.com/financelime/authorization/impl/token"
)

// VerifyAccessToken returns the user, session and client of an access token to a gateway, if the session has not ended. impl/server has
// already checked the signature.
func (s *Service) VerifyAccessToken(
	ctx context.Context, _ api.VerifyAccessTokenRequestObject,
) (api.VerifyAccessTokenResponseObject, error) {
	claims, err := principal(ctx)
	if err != nil {
		return nil, err
	}
	if err := s.requireSession(ctx, claims); err != nil {
		return nil, err
	}
	return verifiedResponse(claims), nil
}

// verifiedResponse has the claims in headers that a gateway can forward.
type verifiedResponse token.Claims

// VisitVerifyAccessTokenResponse implements api.VerifyAccessTokenResponseObject.
func (v verifiedResponse) VisitVerifyAccessTokenResponse(w http.ResponseWriter) error {
	w.Header().Set("X-Auth-User-Id", v.AccountID.String())
	w.Header().Set("X-Auth-Session-Id", v.SessionID.String())
	w.Header().Set("X-Auth-Client-Id", v.ClientID)
	w.WriteHeader(http.StatusNoContent)
	return nil
}
