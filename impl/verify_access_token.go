package impl

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/financelime/authorization/api"
	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/reqinfo"
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
	// Clocks: both periods are days or longer. A clock that is 5 s off, or was set back by 10 min, ends a session by as much too early or
	// too late.
	now := s.Clock.Now()
	_, err = s.Store.Read().IsSessionAlive(ctx, db.IsSessionAliveParams{
		ID: claims.SessionID, AccountID: claims.AccountID,
		CreatedAfter: now.Add(-s.SessionMaxAge), RefreshedAfter: now.Add(-s.RefreshTTL),
	})
	if errors.Is(err, db.ErrNotFound) {
		return nil, reqinfo.ErrUnauthorized
	}
	if err != nil {
		return nil, fmt.Errorf("find the session: %w", err)
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
