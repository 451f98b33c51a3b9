package impl

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/financelime/authorization/api"
	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/event"
	"github.com/financelime/authorization/impl/link"
	"github.com/financelime/authorization/impl/mail"
	"github.com/financelime/authorization/impl/token"
	"github.com/financelime/authorization/impl/userdata"
)

// DeleteUser closes the account of the calling user: the cleaner deletes it after DeletionGrace, unless the user opens the mailed link before.
// Without a grace, it deletes the account immediately.
func (s *Service) DeleteUser(ctx context.Context, _ api.DeleteUserRequestObject) (api.DeleteUserResponseObject, error) {
	claims, err := principal(ctx)
	if err != nil {
		return nil, err
	}
	now := s.Clock.Now()
	until := now.Add(s.DeletionGrace)
	var ended userdata.Ended
	err = s.Store.InTx(ctx, func(q *db.Queries) (err error) {
		if s.DeletionGrace == 0 {
			ended, err = s.deleteUserTx(ctx, q, claims, now)
		} else {
			ended, err = s.closeUserTx(ctx, q, claims, now, until)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("delete the user: %w", err)
	}
	name, attrs := event.UserDeleted, []slog.Attr{slog.Int64("sessions_ended", ended.Sessions)}
	if s.DeletionGrace > 0 {
		s.MailQueued()
		name, attrs = event.UserClosing, append(attrs, slog.Time("closing_until", until))
	}
	event.Record(ctx, s.Log, name, attrs...)
	return api.DeleteUser204Response{}, nil
}

// deleteUserTx deletes the account, in the transaction of q.
func (s *Service) deleteUserTx(ctx context.Context, q *db.Queries, claims token.Claims, now time.Time) (ended userdata.Ended, err error) {
	if err := userdata.LockInvite(ctx, q, claims.AccountID); err != nil {
		return ended, unauthorizedIfGone(err)
	}
	account, err := s.requireRecentAuthentication(ctx, q, claims, now)
	if err != nil {
		return ended, err
	}
	return userdata.Delete(ctx, q, account)
}

// closeUserTx closes the account, in the transaction of q. What is left works only for the owner of the mailbox: the link that undoes it, and
// the one that undoes a change of the address, because a thief may have done both.
//
// Clocks: the grace is days long. A clock that is 5 s off, or was set back by 10 min, ends it by as much too early or too late; the cleaner
// deletes the account an hour later.
func (s *Service) closeUserTx(
	ctx context.Context, q *db.Queries, claims token.Claims, now, until time.Time,
) (ended userdata.Ended, err error) {
	account, err := s.requireRecentAuthentication(ctx, q, claims, now)
	if err != nil {
		return ended, err
	}
	closed, err := q.CloseAccount(ctx, db.CloseAccountParams{Now: &now, ClosingUntil: &until, ID: account.ID})
	if err != nil {
		return ended, fmt.Errorf("close the account: %w", err)
	}
	if closed == 0 {
		return ended, fmt.Errorf("close the account %s: it is locked and active, but was not changed", account.ID)
	}
	links := []userdata.DeleteRows{q.DeleteAccountConfirmations, userdata.LinksExcept(q, link.EmailUndo)}
	ended, err = userdata.EndAll(ctx, q, account.ID, links, userdata.UnsentMailsExcept(q, mail.KindEmailUndo))
	if err != nil {
		return ended, err
	}
	_, err = s.enqueuePageLink(ctx, q, db.UpsertLinkParams{
		AccountID: account.ID, Purpose: string(link.DeletionUndo), CreatedAt: now, ExpiresAt: until,
	}, mail.KindDeletionUndo)
	return ended, err
}
