package impl

import (
	"context"
	"fmt"

	"github.com/financelime/authorization/api"
	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/event"
	"github.com/financelime/authorization/impl/limit"
	"github.com/financelime/authorization/impl/userdata"
)

// ExportUserData returns all personal data about the calling user.
func (s *Service) ExportUserData(ctx context.Context, _ api.ExportUserDataRequestObject) (api.ExportUserDataResponseObject, error) {
	claims, err := principal(ctx)
	if err != nil {
		return nil, err
	}
	now, quota := s.Clock.Now(), s.Limits.Quota(limit.ExportAccount, claims.AccountID.String())
	if err := s.Limits.Check(ctx, s.Store, now, quota); err != nil {
		return nil, fmt.Errorf("allow the export: %w", err)
	}
	var account db.Account
	err = s.Store.InTx(ctx, func(q *db.Queries) (err error) {
		if account, err = s.requireRecentAuthentication(ctx, q, claims, now); err != nil {
			return err
		}
		return s.Limits.Take(ctx, q, now, quota)
	})
	if err != nil {
		return nil, fmt.Errorf("allow the export: %w", err)
	}
	// After the transaction, so that the account is not locked while thousands of rows are read.
	export, err := userdata.Export(ctx, s.Store.Read(), account, claims.SessionID, now)
	if err != nil {
		return nil, err
	}
	event.Record(ctx, s.Log, event.UserExported)
	return api.ExportUserData200JSONResponse(export), nil
}
