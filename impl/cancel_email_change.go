package impl

import (
	"context"
	"fmt"

	"github.com/financelime/authorization/api"
	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/link"
)

// CancelEmailChange voids the link to a new address. A mail with it that was not sent yet is withdrawn when it would be sent.
func (s *Service) CancelEmailChange(
	ctx context.Context, _ api.CancelEmailChangeRequestObject,
) (api.CancelEmailChangeResponseObject, error) {
	claims, err := principal(ctx)
	if err != nil {
		return nil, err
	}
	err = s.Store.InTx(ctx, func(q *db.Queries) error {
		// Locked as by the use of the link: either the address has changed before, or the link is void.
		if _, err := q.LockAccount(ctx, claims.AccountID); err != nil {
			return unauthorizedIfGone(fmt.Errorf("lock the account: %w", err))
		}
		if _, err := s.activeSession(ctx, q, claims, s.Clock.Now()); err != nil {
			return err
		}
		_, err := q.DeleteLink(ctx, db.DeleteLinkParams{AccountID: claims.AccountID, Purpose: string(link.Email)})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("cancel the change of the address: %w", err)
	}
	return api.CancelEmailChange204Response{}, nil
}
