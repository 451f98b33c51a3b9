package impl

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/financelime/authorization/api"
	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/event"
)

// errLastFactor means that a user who needs a second factor would have none left.
var errLastFactor = errors.New("this is the last second factor")

// RemoveTotp deletes the TOTP secret of the calling user, and one that is not confirmed yet. It is idempotent.
func (s *Service) RemoveTotp(ctx context.Context, _ api.RemoveTotpRequestObject) (api.RemoveTotpResponseObject, error) {
	claims, err := principal(ctx)
	if err != nil {
		return nil, err
	}
	now := s.Clock.Now()
	var removed bool
	err = s.Store.InTx(ctx, func(q *db.Queries) error {
		account, err := s.requireRecentAuthentication(ctx, q, claims, now)
		if err != nil {
			return err
		}
		factors, err := s.secondFactors(ctx, q, account)
		if err != nil {
			return err
		}
		removed = factors.Totp > 0
		if removed && account.SecondFactorSince != nil && factors.UsablePasskeys == 0 {
			return errLastFactor
		}
		if _, err := q.DeleteTOTP(ctx, account.ID); err != nil {
			return fmt.Errorf("delete the TOTP secret: %w", err)
		}
		if !removed {
			return nil
		}
		return s.enqueueFactorChanged(ctx, q, claims, now)
	})
	if errors.Is(err, errLastFactor) {
		return api.RemoveTotp409JSONResponse{Code: 409, Message: api.RemoveTOTPFailure409MessageLASTFACTOR}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("remove TOTP: %w", err)
	}
	if removed {
		s.MailQueued()
		event.Record(ctx, s.Log, event.FactorRemoved, slog.String("kind", kindTOTP))
	}
	return api.RemoveTotp204Response{}, nil
}
