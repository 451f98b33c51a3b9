package impl

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/emailchange"
	"github.com/financelime/authorization/impl/link"
	"github.com/financelime/authorization/impl/mail"
	"github.com/financelime/authorization/impl/reqinfo"
	"github.com/financelime/authorization/impl/userdata"
)

var errLinkWithoutAddress = errors.New("the link has no address")

// useEmailLink gives the account the address that received the link. It fails with emailchange.ErrTaken if another account has the address or
// can return to it; the link then stays usable, because the address may become free while the link is valid.
func (s *Service) useEmailLink(ctx context.Context, q *db.Queries, account db.Account, found db.Link, now time.Time) error {
	if found.Address == nil {
		return errLinkWithoutAddress
	}
	err := emailchange.Change(ctx, q, s.Links, account, *found.Address, reqinfo.FromContext(ctx).RequestID, now)
	if err != nil {
		return fmt.Errorf("change the address: %w", err)
	}
	return nil
}

// useEmailUndoLink returns the account to the address that received the link, and mails that address a link to choose a password, and a notice if
// it removed second factors. An account whose deletion can be undone is active again. It fails as emailchange.Undo does.
func (s *Service) useEmailUndoLink(
	ctx context.Context, q *db.Queries, account db.Account, found db.Link, now time.Time,
) (undone emailchange.Undone, err error) {
	undone, err = emailchange.Undo(ctx, q, account, found, s.Passkeys.ID(), now)
	if err != nil {
		return undone, fmt.Errorf("undo the change of the address: %w", err)
	}
	if undone.Factors.Any() {
		req := reqinfo.FromContext(ctx)
		if err := userdata.EnqueueFactorChanged(ctx, q, account.ID, req.RequestID, req.Addr.String(), now); err != nil {
			return undone, err
		}
	}
	_, err = s.enqueuePageLink(ctx, q, db.UpsertLinkParams{
		AccountID: account.ID, Purpose: string(link.PasswordReset), CreatedAt: now, ExpiresAt: now.Add(s.PasswordLinkTTL),
	}, mail.KindPasswordChooseLink)
	return undone, err
}
