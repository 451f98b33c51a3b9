package impl

import (
	"context"
	"fmt"

	"github.com/financelime/authorization/api"
	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/event"
	"github.com/financelime/authorization/impl/userdata"
)

// TurnOffSecondFactor makes the password of the calling user enough for a login. It deletes the TOTP secret and the recovery codes, and keeps passkeys
// and sessions. It is idempotent.
func (s *Service) TurnOffSecondFactor(
	ctx context.Context, _ api.TurnOffSecondFactorRequestObject,
) (api.TurnOffSecondFactorResponseObject, error) {
	claims, err := principal(ctx)
	if err != nil {
		return nil, err
	}
	now := s.Clock.Now()
	var turnedOff bool
	err = s.Store.InTx(ctx, func(q *db.Queries) error {
		account, err := s.requireRecentAuthentication(ctx, q, claims, now)
		if err != nil {
			return err
		}
		if turnedOff = account.SecondFactorSince != nil; !turnedOff {
			return nil
		}
		if err := userdata.TurnSecondFactorOff(ctx, q, account, &userdata.RemovedFactors{}); err != nil {
			return err
		}
		return s.enqueueFactorChanged(ctx, q, claims, now)
	})
	if err != nil {
		return nil, fmt.Errorf("turn off the second factor: %w", err)
	}
	if turnedOff {
		s.MailQueued()
		event.Record(ctx, s.Log, event.FactorOff)
	}
	return api.TurnOffSecondFactor204Response{}, nil
}
