package impl

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"github.com/financelime/authorization/api"
	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/link"
	"github.com/financelime/authorization/impl/userdata"
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
	pending, err := s.pendingEmail(ctx, account.ID)
	if err != nil {
		return nil, err
	}
	factors, err := s.secondFactors(ctx, s.Store.Read(), account)
	if err != nil {
		return nil, err
	}
	return api.GetUser200JSONResponse(userdata.User(account, pending, factors)), nil
}

// pendingEmail returns the address that a user has asked for and can still confirm; nil if there is none.
func (s *Service) pendingEmail(ctx context.Context, accountID uuid.UUID) (*string, error) {
	found, err := s.Store.Read().GetLink(ctx, db.GetLinkParams{AccountID: accountID, Purpose: string(link.Email)})
	if errors.Is(err, db.ErrNotFound) || err == nil && !found.ExpiresAt.After(s.Clock.Now()) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("find the link to a new address: %w", err)
	}
	return found.Address, nil
}
