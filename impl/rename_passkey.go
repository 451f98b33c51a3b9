package impl

import (
	"context"
	"fmt"

	"github.com/financelime/authorization/api"
	"github.com/financelime/authorization/db"
)

// RenamePasskey changes the name of a passkey of the calling user. An ID that the user does not have is no error, as in revokeSession.
func (s *Service) RenamePasskey(ctx context.Context, request api.RenamePasskeyRequestObject) (api.RenamePasskeyResponseObject, error) {
	claims, err := principal(ctx)
	if err != nil {
		return nil, err
	}
	if isBlank(request.Body.Name) {
		return api.RenamePasskey400JSONResponse{
			Code: 400, Message: api.RenamePasskeyFailure400MessageBADPARAMETERS, Parameters: reject(ctx, "name"),
		}, nil
	}
	id, known := parsePasskeyID(request.PasskeyID)
	err = s.Store.InTx(ctx, func(q *db.Queries) error {
		if _, err := q.LockAccount(ctx, claims.AccountID); err != nil {
			return unauthorizedIfGone(fmt.Errorf("lock the account: %w", err))
		}
		if _, err := s.activeSession(ctx, q, claims, s.Clock.Now()); err != nil || !known {
			return err
		}
		_, err := q.RenamePasskey(ctx, db.RenamePasskeyParams{Name: request.Body.Name, ID: id, AccountID: claims.AccountID})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("rename a passkey: %w", err)
	}
	return api.RenamePasskey204Response{}, nil
}
