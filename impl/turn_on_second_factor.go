package impl

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/financelime/authorization/api"
	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/event"
	"github.com/financelime/authorization/impl/passkey"
	"github.com/financelime/authorization/impl/recoverycode"
	"github.com/financelime/authorization/impl/token"
)

var (
	errAlreadyOn = errors.New("the second factor is on")
	errNoFactor  = errors.New("the user has no passkey that works at this service")
)

// TurnOnSecondFactor makes a login of the calling user with the password need a passkey too.
func (s *Service) TurnOnSecondFactor(
	ctx context.Context, _ api.TurnOnSecondFactorRequestObject,
) (api.TurnOnSecondFactorResponseObject, error) {
	claims, err := principal(ctx)
	if err != nil {
		return nil, err
	}
	codes, err := recoverycode.New()
	if err != nil {
		return nil, fmt.Errorf("turn on the second factor: %w", err)
	}
	now := s.Clock.Now()
	var ended int64
	err = s.Store.InTx(ctx, func(q *db.Queries) (err error) {
		ended, err = s.turnOnWithPasskeyTx(ctx, q, claims, codes, now)
		return err
	})
	switch {
	case errors.Is(err, errAlreadyOn):
		return api.TurnOnSecondFactor409JSONResponse{Code: 409, Message: api.TurnOnSecondFactorFailure409MessageALREADYON}, nil
	case errors.Is(err, errNoFactor):
		return api.TurnOnSecondFactor409JSONResponse{Code: 409, Message: api.TurnOnSecondFactorFailure409MessageNOFACTOR}, nil
	case err != nil:
		return nil, fmt.Errorf("turn on the second factor: %w", err)
	}
	s.MailQueued()
	event.Record(ctx, s.Log, event.FactorOn, slog.Int64("sessions_ended", ended))
	return api.TurnOnSecondFactor200JSONResponse{RecoveryCodes: codes}, nil
}

// turnOnWithPasskeyTx turns the second factor on if the user has a usable passkey.
func (s *Service) turnOnWithPasskeyTx(
	ctx context.Context, q *db.Queries, claims token.Claims, codes []string, now time.Time,
) (ended int64, err error) {
	account, err := s.requireRecentAuthentication(ctx, q, claims, now)
	if err != nil {
		return 0, err
	}
	if account.SecondFactorSince != nil {
		return 0, errAlreadyOn
	}
	method, err := s.passkeyMethod(ctx, q, account.ID)
	if err != nil {
		return 0, err
	}
	return s.turnOnSecondFactorTx(ctx, q, claims, factorProof{methods: []string{method, token.MultiFactor}}, codes, now)
}

// passkeyMethod returns the method of a usable passkey of an account: that of one that cannot be copied, if there is one. It fails with errNoFactor if
// there is no usable passkey.
func (s *Service) passkeyMethod(ctx context.Context, q *db.Queries, accountID uuid.UUID) (string, error) {
	usable, err := s.usablePasskeys(ctx, q, accountID)
	if err != nil {
		return "", err
	}
	if len(usable) == 0 {
		return "", errNoFactor
	}
	if slices.ContainsFunc(usable, func(p db.Passkey) bool { return !passkey.Synced(p) }) {
		return token.HardwareKey, nil
	}
	return token.SoftwareKey, nil
}
