package impl

import (
	"context"
	"fmt"
	"time"

	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/link"
	"github.com/financelime/authorization/impl/mail"
	"github.com/financelime/authorization/impl/reqinfo"
	"github.com/financelime/authorization/impl/userdata"
)

// useSignUpLink confirms an account with the password that its user has chosen. The caller has consumed the use of the invite and the link.
func (s *Service) useSignUpLink(ctx context.Context, q *db.Queries, account db.Account, passwordHash string, now time.Time) error {
	if _, err := q.ConfirmAccount(ctx, account.ID); err != nil {
		return fmt.Errorf("confirm the account: %w", err)
	}
	if err := q.DeleteConfirmation(ctx, db.DeleteConfirmationParams{AccountID: account.ID, Purpose: string(link.SignUp)}); err != nil {
		return fmt.Errorf("delete the link of the other form: %w", err)
	}
	return setChosenPassword(ctx, q, account, passwordHash, now)
}

// usePasswordLink replaces the password by the one that the user has chosen, and voids everything that could still log in with an older one. It
// returns how many sessions it ended. Who can read the mailbox may log in, also if too many failed logins had switched the password off.
func (s *Service) usePasswordLink(
	ctx context.Context, q *db.Queries, account db.Account, passwordHash string, now time.Time,
) (ended int64, err error) {
	if err := setChosenPassword(ctx, q, account, passwordHash, now); err != nil {
		return 0, err
	}
	if ended, err = q.DeleteAccountSessions(ctx, account.ID); err != nil {
		return 0, fmt.Errorf("end the sessions: %w", err)
	}
	if err := userdata.VoidLinks(ctx, q, account.ID); err != nil {
		return 0, err
	}
	if err := q.DeleteOlderPasswordMails(ctx, account.ID); err != nil {
		return 0, fmt.Errorf("delete mails with older passwords: %w", err)
	}
	if err := q.DeleteLoginFailures(ctx, &account.ID); err != nil {
		return 0, fmt.Errorf("delete the failed logins: %w", err)
	}
	addr := reqinfo.FromContext(ctx).Addr.String()
	return ended, enqueueMail(ctx, q, db.InsertMailParams{
		AccountID: account.ID, Kind: mail.KindPasswordChanged, Now: now, HappenedAt: &now, Platform: new(string), RemoteAddr: &addr,
	})
}

// setChosenPassword sets a chosen password. It fails with db.ErrNotFound if the account is not active.
func setChosenPassword(ctx context.Context, q *db.Queries, account db.Account, passwordHash string, now time.Time) error {
	set, err := q.SetChosenPassword(ctx, db.SetChosenPasswordParams{PasswordHash: &passwordHash, Now: &now, ID: account.ID})
	if err != nil {
		return fmt.Errorf("store the password: %w", err)
	}
	if set == 0 {
		return db.ErrNotFound
	}
	return nil
}
