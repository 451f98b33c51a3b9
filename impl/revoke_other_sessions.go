package impl

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/financelime/authorization/api"
	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/event"
)

// RevokeOtherSessions ends all sessions of the calling user but the one of the access token. That session must not have ended: otherwise a
// thief whose session the owner has ended could log the owner out for as long as the access token is valid.
func (s *Service) RevokeOtherSessions(
	ctx context.Context, _ api.RevokeOtherSessionsRequestObject,
) (api.RevokeOtherSessionsResponseObject, error) {
	claims, err := principal(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := s.activeSession(ctx, s.Store.Read(), claims, s.Clock.Now()); err != nil {
		return nil, err
	}
	var ended int64
	err = s.Store.InTx(ctx, func(q *db.Queries) (err error) {
		// Locked, so that no login of the user commits a session between the two statements and the end of the transaction.
		if _, err := q.LockAccount(ctx, claims.AccountID); err != nil {
			return fmt.Errorf("lock the account: %w", err)
		}
		ended, err = q.DeleteOtherSessions(ctx, db.DeleteOtherSessionsParams{AccountID: claims.AccountID, Keep: claims.SessionID})
		return err
	})
	if err != nil {
		return nil, unauthorizedIfGone(fmt.Errorf("end the other sessions: %w", err))
	}
	if ended > 0 {
		event.Record(ctx, s.Log, event.SessionRevokedOthers, slog.Int64("sessions_ended", ended))
	}
	return api.RevokeOtherSessions204Response{}, nil
}
