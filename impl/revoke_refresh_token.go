package impl

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/google/uuid"

	"github.com/financelime/authorization/api"
	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/event"
)

// RevokeRefreshToken ends one of the user's sessions. Its access token lives on until it expires.
func (s *Service) RevokeRefreshToken(
	ctx context.Context, request api.RevokeRefreshTokenRequestObject,
) (api.RevokeRefreshTokenResponseObject, error) {
	return api.RevokeRefreshToken204Response{}, s.revoke(ctx, request.Body.SessionID)
}

// RevokeSession does the same for those who can not send a body with DELETE.
func (s *Service) RevokeSession(
	ctx context.Context, request api.RevokeSessionRequestObject,
) (api.RevokeSessionResponseObject, error) {
	return api.RevokeSession204Response{}, s.revoke(ctx, request.SessionID)
}

// revoke ends a session of the caller's. An unknown or foreign id is no error and does nothing, so that nobody learns
// which ids exist and a repeated request gets the same answer.
func (s *Service) revoke(ctx context.Context, sessionID string) error {
	claims, err := principal(ctx)
	if err != nil {
		return err
	}
	id, err := uuid.Parse(sessionID)
	if err != nil || id.String() != sessionID { // uuid.Parse also takes braces, urn: and upper case
		return nil //nolint:nilerr // not one of ours: unknown
	}
	var ended int64
	err = s.Store.Write(ctx, func(q *db.Queries) (err error) {
		ended, err = q.DeleteSession(ctx, db.DeleteSessionParams{ID: id, AccountID: claims.AccountID})
		return err
	})
	if err != nil {
		return fmt.Errorf("end the session: %w", err)
	}
	if ended > 0 {
		event.Record(ctx, s.Log, event.SessionRevoked, slog.String("revoked_session_id", sessionID))
	}
	return nil
}
