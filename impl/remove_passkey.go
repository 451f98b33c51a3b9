package impl

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/financelime/authorization/api"
	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/event"
	"github.com/financelime/authorization/impl/token"
)

// RemovePasskey deletes a passkey of the calling user. An ID that the user does not have is no error, as in revokeSession.
func (s *Service) RemovePasskey(ctx context.Context, request api.RemovePasskeyRequestObject) (api.RemovePasskeyResponseObject, error) {
	claims, err := principal(ctx)
	if err != nil {
		return nil, err
	}
	id, _ := parsePasskeyID(request.PasskeyID) // uuid.Nil is no passkey
	var removed bool
	err = s.Store.InTx(ctx, func(q *db.Queries) (err error) {
		removed, err = s.removePasskeyTx(ctx, q, claims, id, s.Clock.Now())
		return err
	})
	if errors.Is(err, errLastFactor) {
		return api.RemovePasskey409JSONResponse{Code: 409, Message: api.RemovePasskeyFailure409MessageLASTFACTOR}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("remove a passkey: %w", err)
	}
	if removed {
		s.MailQueued()
		event.Record(ctx, s.Log, event.FactorRemoved, slog.String("kind", kindPasskey), slog.String("passkey_id", id.String()))
	}
	return api.RemovePasskey204Response{}, nil
}

// removePasskeyTx deletes a passkey, in the transaction of q. It fails with errLastFactor. A passkey for another domain is no factor, and can
// always be removed.
func (s *Service) removePasskeyTx(ctx context.Context, q *db.Queries, claims token.Claims, id uuid.UUID, now time.Time) (removed bool, err error) {
	account, err := s.requireRecentAuthentication(ctx, q, claims, now)
	if err != nil {
		return false, err
	}
	existing, err := q.ListPasskeys(ctx, account.ID)
	if err != nil {
		return false, fmt.Errorf("list the passkeys: %w", err)
	}
	i := slices.IndexFunc(existing, func(p db.Passkey) bool { return p.ID == id })
	if i < 0 {
		return false, nil
	}
	if account.SecondFactorSince != nil && s.isUsable(existing[i]) {
		has, err := s.secondFactors(ctx, q, account)
		if err != nil {
			return false, err
		}
		if has.Totp == 0 && has.UsablePasskeys <= 1 {
			return false, errLastFactor
		}
	}
	if _, err := q.DeletePasskey(ctx, db.DeletePasskeyParams{ID: id, AccountID: account.ID}); err != nil {
		return false, fmt.Errorf("delete the passkey: %w", err)
	}
	return true, s.enqueueFactorChanged(ctx, q, claims, now)
}
