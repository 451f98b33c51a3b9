package impl

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/financelime/authorization/api"
	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/event"
	"github.com/financelime/authorization/impl/recoverycode"
	"github.com/financelime/authorization/impl/token"
	"github.com/financelime/authorization/impl/totp"
)

// errTOTPNotBegun means that there is no TOTP secret to confirm.
var errTOTPNotBegun = errors.New("there is no TOTP secret to confirm")

// ConfirmTotp makes the secret of BeginTotp the TOTP secret of the calling user, who proves with a code that the app has it. If the second factor is
// off, this turns it on.
//
// A wrong code does not count as a failed login: a caller that may confirm a secret may also begin one, and knows it.
func (s *Service) ConfirmTotp(ctx context.Context, request api.ConfirmTotpRequestObject) (api.ConfirmTotpResponseObject, error) {
	claims, err := principal(ctx)
	if err != nil {
		return nil, err
	}
	codes, err := recoverycode.New()
	if err != nil {
		return nil, fmt.Errorf("confirm TOTP: %w", err)
	}
	now := s.Clock.Now()
	var turnedOn bool
	var ended int64
	err = s.Store.InTx(ctx, func(q *db.Queries) (err error) {
		turnedOn, ended, err = s.confirmTOTPTx(ctx, q, claims, request.Body.Code, codes, now)
		return err
	})
	switch {
	case errors.Is(err, errTOTPNotBegun):
		return api.ConfirmTotp409JSONResponse{Code: 409, Message: api.ConfirmTOTPFailure409MessageTOTPNOTBEGUN}, nil
	case errors.Is(err, errWrongFactor):
		return api.ConfirmTotp403JSONResponse{Code: 403, Message: api.ConfirmTOTPFailure403MessageWRONGCODE}, nil
	case err != nil:
		return nil, fmt.Errorf("confirm TOTP: %w", err)
	}
	s.MailQueued()
	event.Record(ctx, s.Log, event.FactorAdded, slog.String("kind", kindTOTP))
	if !turnedOn {
		return api.ConfirmTotp200JSONResponse{RecoveryCodes: []string{}}, nil
	}
	event.Record(ctx, s.Log, event.FactorOn, slog.Int64("sessions_ended", ended))
	return api.ConfirmTotp200JSONResponse{RecoveryCodes: codes}, nil
}

// confirmTOTPTx confirms the secret, and turns the second factor on if it is off. codes become the recovery codes then.
//
// Clocks: a clock that is 5 s off, or was set back by 10 min, allows as much more or less of totpSetupTTL.
func (s *Service) confirmTOTPTx(
	ctx context.Context, q *db.Queries, claims token.Claims, code string, codes []string, now time.Time,
) (turnedOn bool, ended int64, err error) {
	account, err := s.requireRecentAuthentication(ctx, q, claims, now)
	if err != nil {
		return false, 0, err
	}
	row, err := q.GetTOTP(ctx, account.ID)
	switch {
	case errors.Is(err, db.ErrNotFound):
		return false, 0, errTOTPNotBegun
	case err != nil:
		return false, 0, fmt.Errorf("read the TOTP secret: %w", err)
	case row.PendingSealed == nil, row.PendingAt == nil, now.Sub(*row.PendingAt) >= totpSetupTTL, now.Sub(*row.PendingAt) <= -maxSkew:
		return false, 0, errTOTPNotBegun
	}
	secret, err := s.TOTP.Open(row.PendingSealed, account.ID)
	if errors.Is(err, totp.ErrForeignSecret) { // AUTH_SECRET was changed within this hour: the user begins again
		return false, 0, errTOTPNotBegun
	}
	if err != nil {
		return false, 0, fmt.Errorf("open the TOTP secret: %w", err)
	}
	step, ok, err := secret.Match(code, now)
	if err != nil {
		return false, 0, err
	}
	if !ok {
		return false, 0, errWrongFactor
	}
	confirmed, err := q.ConfirmTOTP(ctx, db.ConfirmTOTPParams{Now: &now, Step: step, AccountID: account.ID})
	if err != nil {
		return false, 0, fmt.Errorf("store the TOTP secret: %w", err)
	}
	if confirmed == 0 {
		return false, 0, errTOTPNotBegun
	}
	if account.SecondFactorSince != nil {
		return false, 0, s.enqueueFactorChanged(ctx, q, claims, now)
	}
	proof := factorProof{methods: []string{token.OneTimePassword, token.MultiFactor}, at: &now}
	ended, err = s.turnOnSecondFactorTx(ctx, q, claims, proof, codes, now)
	return true, ended, err
}
