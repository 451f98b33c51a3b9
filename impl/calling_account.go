package impl

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/reqinfo"
	"github.com/financelime/authorization/impl/token"
)

// callingAccount returns the account of an access token. It fails with reqinfo.ErrUnauthorized if the token's session has ended, or the
// account is disabled or deleted.
func (s *Service) callingAccount(ctx context.Context, claims token.Claims) (db.Account, error) {
	if _, err := s.activeSession(ctx, s.Store.Read(), claims, s.Clock.Now()); err != nil {
		return db.Account{}, err
	}
	account, err := s.Store.Read().GetAccount(ctx, claims.AccountID)
	if err != nil {
		return account, unauthorizedIfGone(fmt.Errorf("find the account: %w", err))
	}
	return account, nil
}

// activeSession returns the session of an access token. It fails with reqinfo.ErrUnauthorized if the session has ended or its account is
// disabled.
//
// Clocks: both periods are days or longer. A clock that is 5 s off, or was set back by 10 min, ends a session by as much too early or
// too late.
func (s *Service) activeSession(ctx context.Context, q *db.Queries, claims token.Claims, now time.Time) (db.Session, error) {
	session, err := q.GetActiveSession(ctx, db.GetActiveSessionParams{
		ID: claims.SessionID, AccountID: claims.AccountID,
		CreatedAfter: now.Add(-s.SessionMaxAge), RefreshedAfter: now.Add(-s.RefreshTTL),
	})
	if err != nil {
		return session, unauthorizedIfGone(fmt.Errorf("find the session: %w", err))
	}
	return session, nil
}

// unauthorizedIfGone turns db.ErrNotFound into reqinfo.ErrUnauthorized: what the access token belongs to is gone.
func unauthorizedIfGone(err error) error {
	if errors.Is(err, db.ErrNotFound) {
		return reqinfo.ErrUnauthorized
	}
	return err
}
