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

// VerifyAccessToken tells a gateway whose token it was shown, if its session has not ended. The signature has been checked
// by the time that we are asked.
func (s *Service) VerifyAccessToken(
	ctx context.Context, _ api.VerifyAccessTokenRequestObject,
) (api.VerifyAccessTokenResponseObject, error) {
	claims, err := principal(ctx)
	if err != nil {
		return nil, err
	}
	// Clocks: the periods are of days. A clock that is 5 s off, or set back by 10 min, ends a session by as much too early or too late.
	now := s.Clock.Now()
	_, err = s.Store.Read().IsSessionAlive(ctx, db.IsSessionAliveParams{
		ID: claims.SessionID, AccountID: claims.AccountID,
		CreatedAfter: now.Add(-s.SessionMaxAge), RefreshedAfter: now.Add(-s.RefreshTTL),
	})
	if errors.Is(err, db.ErrNotFound) {
		return nil, reqinfo.ErrUnauthorized
	}
	if err != nil {
		return nil, fmt.Errorf("look for the session: %w", err)
	}
	return verified(claims), nil
}

// verified answers with whom the token speaks for, in headers that a gateway can pass on.
type verified token.Claims

// VisitVerifyAccessTokenResponse implements api.VerifyAccessTokenResponseObject.
func (v verified) VisitVerifyAccessTokenResponse(w http.ResponseWriter) error {
	w.Header().Set("X-Auth-User-Id", v.AccountID.String())
	w.Header().Set("X-Auth-Session-Id", v.SessionID.String())
	w.Header().Set("X-Auth-Client-Id", v.ClientID)
	w.WriteHeader(http.StatusNoContent)
	return nil
}
