package impl

import (
	"context"
	"errors"
	"fmt"

	"github.com/financelime/authorization/api"
	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/token"
)

// errTooManyPasskeys means that the user has maxPasskeys.
var errTooManyPasskeys = errors.New("the user has too many passkeys")

// BeginPasskey begins to add a passkey: it returns the options for the browser. The ceremony belongs to the user and to the session.
func (s *Service) BeginPasskey(ctx context.Context, _ api.BeginPasskeyRequestObject) (api.BeginPasskeyResponseObject, error) {
	claims, err := principal(ctx)
	if err != nil {
		return nil, err
	}
	if s.Passkeys == nil {
		return api.BeginPasskey404JSONResponse{NotFoundJSONResponse: noPasskeys()}, nil
	}
	var account db.Account
	var existing []db.Passkey
	err = s.Store.InTx(ctx, func(q *db.Queries) (err error) {
		if account, err = s.requireRecentAuthentication(ctx, q, claims, s.Clock.Now()); err != nil {
			return err
		}
		existing, err = listToAdd(ctx, q, account)
		return err
	})
	if errors.Is(err, errTooManyPasskeys) {
		return api.BeginPasskey409JSONResponse{Code: 409, Message: api.BeginPasskeyFailure409MessageTOOMANYPASSKEYS}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("begin to add a passkey: %w", err)
	}
	options, data, err := s.Passkeys.BeginRegistration(account.ID, account.Email, existing)
	if err != nil {
		return nil, err
	}
	ceremony, err := s.issueCeremony(token.CeremonyRegistration, claims.AccountID, claims.SessionID, data)
	return api.BeginPasskey200JSONResponse{Ceremony: ceremony, Options: options}, err
}

// listToAdd returns the passkeys of a user who adds another one. It fails with errTooManyPasskeys.
func listToAdd(ctx context.Context, q *db.Queries, account db.Account) ([]db.Passkey, error) {
	existing, err := q.ListPasskeys(ctx, account.ID)
	if err != nil {
		return nil, fmt.Errorf("list the passkeys: %w", err)
	}
	if len(existing) >= maxPasskeys {
		return nil, errTooManyPasskeys
	}
	return existing, nil
}
