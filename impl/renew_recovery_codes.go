package impl

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/financelime/authorization/api"
	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/event"
	"github.com/financelime/authorization/impl/recoverycode"
)

// errSecondFactorOff means that there is nothing that a recovery code could replace.
var errSecondFactorOff = errors.New("the second factor is off")

// RenewRecoveryCodes replaces the recovery codes of the calling user.
func (s *Service) RenewRecoveryCodes(
	ctx context.Context, _ api.RenewRecoveryCodesRequestObject,
) (api.RenewRecoveryCodesResponseObject, error) {
	claims, err := principal(ctx)
	if err != nil {
		return nil, err
	}
	codes, err := recoverycode.New()
	if err != nil {
		return nil, fmt.Errorf("renew the recovery codes: %w", err)
	}
	now := s.Clock.Now()
	err = s.Store.InTx(ctx, func(q *db.Queries) error {
		account, err := s.requireRecentAuthentication(ctx, q, claims, now)
		if err != nil {
			return err
		}
		if account.SecondFactorSince == nil {
			return errSecondFactorOff
		}
		if err := replaceRecoveryCodes(ctx, q, account.ID, codes, now); err != nil {
			return err
		}
		return s.enqueueFactorChanged(ctx, q, claims, now)
	})
	if errors.Is(err, errSecondFactorOff) {
		return api.RenewRecoveryCodes409JSONResponse{Code: 409, Message: api.RenewRecoveryCodesFailure409MessageSECONDFACTOROFF}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("renew the recovery codes: %w", err)
	}
	s.MailQueued()
	event.Record(ctx, s.Log, event.FactorAdded, slog.String("kind", kindRecoveryCodes))
	return api.RenewRecoveryCodes200JSONResponse{RecoveryCodes: codes}, nil
}
