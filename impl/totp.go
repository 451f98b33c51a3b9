package impl

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/financelime/authorization/db"
)

// useTOTP uses a code of the user's authenticator app in the transaction, which has locked the account. It fails with errWrongFactor if the code is
// wrong or was used before.
//
// Clocks: the step of a code that was used is one of the app's clock, because it has matched. So a service whose clock was wrong refuses no later code.
func (s *Service) useTOTP(ctx context.Context, q *db.Queries, account db.Account, code string, now time.Time) error {
	row, err := q.GetTOTP(ctx, account.ID)
	if errors.Is(err, db.ErrNotFound) || err == nil && row.Sealed == nil {
		return errWrongFactor
	}
	if err != nil {
		return fmt.Errorf("read the TOTP secret: %w", err)
	}
	// A secret that does not open is no wrong code: the user could only guess why every code is refused.
	secret, err := s.TOTP.Open(row.Sealed, account.ID)
	if err != nil {
		return fmt.Errorf("open the TOTP secret: %w", err)
	}
	step, ok, err := secret.Match(code, now)
	if err != nil {
		return err
	}
	if !ok {
		return errWrongFactor
	}
	used, err := q.UseTOTP(ctx, db.UseTOTPParams{Step: step, AccountID: account.ID})
	if err != nil {
		return fmt.Errorf("record the use of a TOTP code: %w", err)
	}
	if used == 0 {
		return errWrongFactor
	}
	return nil
}
