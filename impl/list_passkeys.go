package impl

import (
	"context"
	"fmt"

	"github.com/financelime/authorization/api"
)

// ListPasskeys returns the passkeys of the calling user.
func (s *Service) ListPasskeys(ctx context.Context, _ api.ListPasskeysRequestObject) (api.ListPasskeysResponseObject, error) {
	claims, err := principal(ctx)
	if err != nil {
		return nil, err
	}
	account, err := s.callingAccount(ctx, claims)
	if err != nil {
		return nil, err
	}
	stored, err := s.Store.Read().ListPasskeys(ctx, account.ID)
	if err != nil {
		return nil, fmt.Errorf("list the passkeys: %w", err)
	}
	list := make(api.ListPasskeys200JSONResponse, len(stored))
	for i, p := range stored {
		list[i] = s.passkeyOf(p)
	}
	return list, nil
}
