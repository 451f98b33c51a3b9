package impl

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/link"
)

var errUserExists = errors.New("the address is taken")

// createAccount refuses in the order of the contract: the invite does not exist, the address is taken, the invite is exhausted. So a client
// that repeats a sign-up after a lost response learns that the address is taken, not that the invite is exhausted. With hidden accounts,
// the address is not checked. A refusal comes before the first change.
func (s *Service) createAccount(
	ctx context.Context, q *db.Queries, account db.InsertAccountParams, code string, choosePassword bool, now time.Time,
) error {
	use, err := s.findInviteUse(ctx, q, code, now)
	switch {
	case errors.Is(err, errInviteExhausted) && s.InviteRequired:
		return s.refuseExhausted(ctx, q, account.Email, now, err)
	case err != nil && !errors.Is(err, errInviteExhausted):
		return err
	}
	if err := q.DeleteExpiredSignUpByEmail(ctx, db.DeleteExpiredSignUpByEmailParams{Email: account.Email, Now: &now}); err != nil {
		return fmt.Errorf("delete an expired sign-up: %w", err)
	}
	expiresAt := now.Add(s.SignUpLinkTTL)
	account.InviteID, account.CreatedAt, account.PendingUntil = use.inviteID, now, &expiresAt
	kind, err := s.insertAccount(ctx, q, account, linkKind(link.SignUp, choosePassword))
	if err != nil {
		return err
	}
	if use.inviteID != nil {
		if err := q.SetInviteReserved(ctx, db.SetInviteReservedParams{ID: *use.inviteID, Reserved: use.reserved}); err != nil {
			return fmt.Errorf("reserve a use of the invite: %w", err)
		}
	}
	if err := s.Limits.Take(ctx, q, now, s.signUpMailQuota(account.Email)); err != nil {
		return err
	}
	return s.enqueuePasswordLink(ctx, q, account.ID, link.SignUp, choosePassword, kind, now, expiresAt)
}

// refuseExhausted returns errUserExists if the address is taken, and otherwise the given refusal.
func (s *Service) refuseExhausted(ctx context.Context, q *db.Queries, email string, now time.Time, exhausted error) error {
	if s.HideAccounts {
		return exhausted
	}
	account, err := q.GetAccountByEmail(ctx, email)
	switch {
	case errors.Is(err, db.ErrNotFound):
		return exhausted
	case err != nil:
		return fmt.Errorf("check whether the address is taken: %w", err)
	case account.PendingUntil != nil && !account.PendingUntil.After(now):
		return exhausted
	}
	return errUserExists
}

// insertAccount inserts the account of a sign-up and returns the kind of mail to enqueue: linkKind, unless it is a decoy. It fails with
// errUserExists.
func (s *Service) insertAccount(
	ctx context.Context, q *db.Queries, account db.InsertAccountParams, linkKind string,
) (kind string, err error) {
	if s.HideAccounts {
		return insertAccountOrDecoy(ctx, q, account, linkKind)
	}
	inserted, err := q.InsertAccount(ctx, account)
	if err != nil {
		return "", fmt.Errorf("insert the account: %w", err)
	}
	if inserted == 0 {
		return "", errUserExists
	}
	return linkKind, nil
}
