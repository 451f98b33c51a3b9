package impl

import (
	"context"
	"net/http"
	"strconv"

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
	session, err := s.activeSession(ctx, s.Store.Read(), claims, s.Clock.Now())
	if err != nil {
		return nil, err
	}
	return verifiedResponse{claims, authentication(session)}, nil
}

// verifiedResponse has the claims in headers that a gateway can forward. How the user has authenticated is that of the session, which may be
// newer than the token.
type verifiedResponse struct {
	token.Claims
	authenticated token.Authentication
}

// VisitVerifyAccessTokenResponse implements api.VerifyAccessTokenResponseObject.
func (v verifiedResponse) VisitVerifyAccessTokenResponse(w http.ResponseWriter) error {
	w.Header().Set("X-Auth-User-Id", v.AccountID.String())
	w.Header().Set("X-Auth-Session-Id", v.SessionID.String())
	w.Header().Set("X-Auth-Client-Id", v.ClientID)
	w.Header().Set("X-Auth-Acr", v.authenticated.Level())
	w.Header().Set("X-Auth-Time", strconv.FormatInt(v.authenticated.Time.Unix(), 10))
	w.WriteHeader(http.StatusNoContent)
	return nil
}
