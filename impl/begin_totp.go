package impl

import (
	"context"
	"fmt"
	"time"

	"github.com/financelime/authorization/api"
	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/totp"
)

// totpSetupTTL is how long a user can confirm a new TOTP secret.
const totpSetupTTL = time.Hour

// BeginTotp creates a TOTP secret for the calling user, who confirms it with ConfirmTotp. Until then an older secret stays valid.
func (s *Service) BeginTotp(ctx context.Context, _ api.BeginTotpRequestObject) (api.BeginTotpResponseObject, error) {
	claims, err := principal(ctx)
	if err != nil {
		return nil, err
	}
	secret, err := totp.NewSecret()
	if err != nil {
		return nil, fmt.Errorf("begin TOTP: %w", err)
	}
	sealed, err := s.TOTP.Seal(secret, claims.AccountID)
	if err != nil {
		return nil, fmt.Errorf("begin TOTP: %w", err)
	}
	now := s.Clock.Now()
	var account db.Account
	err = s.Store.InTx(ctx, func(q *db.Queries) (err error) {
		if account, err = s.requireRecentAuthentication(ctx, q, claims, now); err != nil {
			return err
		}
		return q.BeginTOTP(ctx, db.BeginTOTPParams{AccountID: account.ID, PendingSealed: sealed, PendingAt: &now})
	})
	if err != nil {
		return nil, fmt.Errorf("begin TOTP: %w", err)
	}
	setup, err := secret.Setup(s.Name, account.Email)
	if err != nil {
		return nil, fmt.Errorf("begin TOTP: %w", err)
	}
	return api.BeginTotp200JSONResponse{Secret: setup.Secret, URI: setup.URI, QrPNG: setup.QRPNG}, nil
}
