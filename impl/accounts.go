package impl

import (
	"context"
	"errors"
	"fmt"

	"github.com/financelime/authorization/db"
)

// findAccount returns the account with an address, or the zero account if there is none.
func (s *Service) findAccount(ctx context.Context, email string) (db.Account, error) {
	account, err := s.Store.Read().GetAccountByEmail(ctx, email)
	if err != nil && !errors.Is(err, db.ErrNotFound) {
		return db.Account{}, fmt.Errorf("find the account: %w", err)
	}
	return account, nil
}
