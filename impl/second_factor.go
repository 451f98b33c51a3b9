package impl

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/financelime/authorization/api"
	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/token"
)

// errWrongFactor means that a second factor is wrong, or was used before.
var errWrongFactor = errors.New("wrong second factor")

// errNotCompared means that a second factor was refused without a look at it, after too many wrong ones.
var errNotCompared = fmt.Errorf("%w: not compared", errWrongFactor)

// factor is a second factor that a user presents: exactly one field is set.
type factor struct {
	code         *string // of the authenticator app
	recoveryCode *string
	passkey      *api.PasskeyAssertion
}

// kind names the factor in logs.
func (f factor) kind() string {
	switch {
	case f.code != nil:
		return kindTOTP
	case f.recoveryCode != nil:
		return "recovery_code"
	default:
		return kindPasskey
	}
}

// useFactor uses a second factor in the transaction, which has locked the account, and returns the methods (the claim amr) that it proves. It
// forgets the wrong ones before it, and fails with errWrongFactor. purpose is that of the passkey's ceremony.
func (s *Service) useFactor(
	ctx context.Context, q *db.Queries, account db.Account, f factor, purpose string, now time.Time,
) (methods []string, err error) {
	switch {
	case f.code != nil:
		methods, err = []string{token.OneTimePassword}, s.useTOTP(ctx, q, account, *f.code, now)
	case f.recoveryCode != nil:
		methods, err = []string{token.OneTimePassword}, s.useRecoveryCode(ctx, q, account, *f.recoveryCode, now)
	case f.passkey != nil:
		methods, err = s.usePasskey(ctx, q, account, *f.passkey, purpose, now)
	default:
		return nil, errors.New("no second factor")
	}
	if err != nil {
		return nil, fmt.Errorf("use the second factor: %w", err)
	}
	if account.SecondFactorFailures > 0 {
		if err := q.ForgetSecondFactorFailures(ctx, account.ID); err != nil {
			return nil, fmt.Errorf("forget the wrong second factors: %w", err)
		}
	}
	return methods, nil
}
