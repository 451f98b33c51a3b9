package impl

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/address"
	"github.com/financelime/authorization/impl/link"
)

var errUserExists = errors.New("the address is taken")

// createAccount refuses in the order of the contract: the invite does not exist, the address is taken, the invite is exhausted. So a client
// that repeats a sign-up after a lost response learns that the address is taken, not that the invite is exhausted. With hidden accounts,
// the address is not checked. A refusal leaves no change behind.
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
	kind, err := s.insertAccount(ctx, q, account, linkKind(link.SignUp, choosePassword), now)
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
	_, err := address.FindOwner(ctx, q, email, uuid.Nil, now)
	switch {
	case errors.Is(err, db.ErrNotFound):
		return exhausted
	case err != nil:
		return err
	}
	return errUserExists
}

// insertAccount inserts the account of a sign-up and returns the kind of mail to enqueue: linkKind, unless it is a decoy. It fails with
// errUserExists.
func (s *Service) insertAccount(
	ctx context.Context, q *db.Queries, account db.InsertAccountParams, linkKind string, now time.Time,
) (kind string, err error) {
	if s.HideAccounts {
		return insertAccountOrDecoy(ctx, q, account, linkKind, now)
	}
	inserted, err := insertUnreserved(ctx, q, account, account.Email, now)
	if err != nil {
		return "", err
	}
	if !inserted {
		return "", errUserExists
	}
	return linkKind, nil
}

// insertUnreserved inserts an account and reports whether it did: not if the address is taken, or if another account can return to it. The
// second check comes after the insert, which has waited for a change of address in progress.
func insertUnreserved(
	ctx context.Context, q *db.Queries, account db.InsertAccountParams, email string, now time.Time,
) (bool, error) {
	inserted, err := q.InsertAccount(ctx, account)
	if err != nil {
		return false, fmt.Errorf("insert the account: %w", err)
	}
	reserved, err := address.IsReserved(ctx, q, email, account.ID, now) // also for a decoy, which takes the same time as an account
	if err != nil || inserted == 0 || !reserved || account.DecoyOf != nil {
		return inserted > 0, err
	}
	if _, err := q.DeleteAccount(ctx, account.ID); err != nil {
		return false, fmt.Errorf("delete the account with a reserved address: %w", err)
	}
	return false, nil
}
