package impl

import (
	"context"

	"github.com/financelime/authorization/api"
)

// GetUser returns the account of the calling user.
func (s *Service) GetUser(ctx context.Context, _ api.GetUserRequestObject) (api.GetUserResponseObject, error) {
	claims, err := principal(ctx)
	if err != nil {
		return nil, err
	}
	account, err := s.callingAccount(ctx, claims)
	if err != nil {
		return nil, err
	}
	return api.GetUser200JSONResponse{
		UserID:         account.ID.String(),
		Email:          account.Email,
		Language:       account.Language,
		CreatedAt:      timestamp(account.CreatedAt),
		PasswordChosen: account.PasswordChosenAt != nil,
	}, nil
}
