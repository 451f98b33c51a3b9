package userdata

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/mail"
)

// RemovedFactors says which second factors and passkeys of an account were removed.
type RemovedFactors struct {
	TurnedOff     bool // a login with the password needed a second factor, and does no longer
	TOTP          bool
	RecoveryCodes int64
	Passkeys      int64
}

// Any reports whether anything was removed or turned off.
func (r RemovedFactors) Any() bool {
	return r.TurnedOff || r.TOTP || r.RecoveryCodes > 0 || r.Passkeys > 0
}

// Kinds returns what was removed, as the log names it.
func (r RemovedFactors) Kinds() (kinds []string) {
	if r.TOTP {
		kinds = append(kinds, "totp")
	}
	if r.RecoveryCodes > 0 {
		kinds = append(kinds, "recovery_codes")
	}
	if r.Passkeys > 0 {
		kinds = append(kinds, "passkey")
	}
	return kinds
}

// RemoveFactors removes the TOTP secret, the recovery codes and all passkeys of an account that the transaction has locked, and turns the second
// factor off.
func RemoveFactors(ctx context.Context, q *db.Queries, account db.Account) (removed RemovedFactors, err error) {
	if removed.Passkeys, err = q.DeleteAccountPasskeys(ctx, account.ID); err != nil {
		return removed, fmt.Errorf("delete the passkeys: %w", err)
	}
	err = TurnSecondFactorOff(ctx, q, account, &removed)
	return removed, err
}

// factorMargin tolerates clocks that differ: replicas set the times that RemoveFactorsSince compares. A factor that was added up to a minute before
// counts as added since. A clock that was set back further makes a factor look older, and it stays.
const factorMargin = time.Minute

// RemoveFactorsSince removes the second factors and passkeys that were added to an account since a time, and turns the second factor off if it was
// turned on since, or if nothing is left that works with the domain rpID. A TOTP secret that was replaced since is removed too: the one before no
// longer exists. The transaction has locked the account.
func RemoveFactorsSince(
	ctx context.Context, q *db.Queries, account db.Account, rpID string, since time.Time,
) (removed RemovedFactors, err error) {
	since = since.Add(-factorMargin)
	if removed.Passkeys, err = q.DeletePasskeysSince(ctx, db.DeletePasskeysSinceParams{AccountID: account.ID, Since: since}); err != nil {
		return removed, fmt.Errorf("delete the passkeys: %w", err)
	}
	if account.SecondFactorSince == nil || !account.SecondFactorSince.Before(since) {
		err = TurnSecondFactorOff(ctx, q, account, &removed)
		return removed, err
	}
	if removed.RecoveryCodes, err = q.DeleteRecoveryCodesSince(ctx, db.DeleteRecoveryCodesSinceParams{AccountID: account.ID, Since: since}); err != nil {
		return removed, fmt.Errorf("delete the recovery codes: %w", err)
	}
	if err := removeTOTPSince(ctx, q, account.ID, since, &removed); err != nil {
		return removed, err
	}
	left, err := q.GetSecondFactor(ctx, db.GetSecondFactorParams{AccountID: account.ID, RpID: rpID})
	if err != nil {
		return removed, fmt.Errorf("count what is left: %w", err)
	}
	if left.Totp == 0 && left.UsablePasskeys == 0 {
		err = TurnSecondFactorOff(ctx, q, account, &removed)
	}
	return removed, err
}

// removeTOTPSince deletes the TOTP secret if it was confirmed since a time, and one that is not confirmed.
func removeTOTPSince(ctx context.Context, q *db.Queries, id uuid.UUID, since time.Time, removed *RemovedFactors) error {
	found, err := q.GetTOTP(ctx, id)
	switch {
	case errors.Is(err, db.ErrNotFound):
		return nil
	case err != nil:
		return fmt.Errorf("read the TOTP secret: %w", err)
	case found.ConfirmedAt != nil && found.ConfirmedAt.Before(since):
		err = q.ForgetPendingTOTP(ctx, id)
	default:
		removed.TOTP = found.ConfirmedAt != nil
		_, err = q.DeleteTOTP(ctx, id)
	}
	if err != nil {
		return fmt.Errorf("delete the TOTP secret: %w", err)
	}
	return nil
}

// TurnSecondFactorOff turns the second factor off, if it is on, and deletes the TOTP secret and the recovery codes: without the second factor, they
// have no use. It adds to removed what it has removed. The transaction has locked the account.
func TurnSecondFactorOff(ctx context.Context, q *db.Queries, account db.Account, removed *RemovedFactors) error {
	if removed.TurnedOff = account.SecondFactorSince != nil; removed.TurnedOff {
		if err := q.TurnSecondFactorOff(ctx, account.ID); err != nil {
			return fmt.Errorf("turn the second factor off: %w", err)
		}
	}
	found, err := q.GetTOTP(ctx, account.ID)
	if err != nil && !errors.Is(err, db.ErrNotFound) {
		return fmt.Errorf("read the TOTP secret: %w", err)
	}
	removed.TOTP = removed.TOTP || found.ConfirmedAt != nil
	if _, err := q.DeleteTOTP(ctx, account.ID); err != nil {
		return fmt.Errorf("delete the TOTP secret: %w", err)
	}
	codes, err := q.DeleteRecoveryCodes(ctx, account.ID)
	if err != nil {
		return fmt.Errorf("delete the recovery codes: %w", err)
	}
	removed.RecoveryCodes += codes
	return nil
}

// EnqueueFactorChanged tells a user by e-mail that their ways to log in have changed, in the transaction that changes them. addr is the client IP;
// empty if an operator has changed them.
func EnqueueFactorChanged(ctx context.Context, q *db.Queries, id uuid.UUID, requestID, addr string, now time.Time) error {
	_, err := mail.Enqueue(ctx, q, db.InsertMailParams{
		AccountID: id, Kind: mail.KindFactorChanged, RequestID: requestID, Now: now, HappenedAt: &now, Platform: new(string), RemoteAddr: &addr,
	})
	return err
}
