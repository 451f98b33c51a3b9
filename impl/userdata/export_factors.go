package userdata

import (
	"context"
	"errors"

	"github.com/google/uuid"

	"github.com/financelime/authorization/api"
	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/clock"
	"github.com/financelime/authorization/impl/passkey"
	"github.com/financelime/authorization/impl/totp"
)

// totpSetup returns the authenticator app of the account; nil if there is none.
func totpSetup(ctx context.Context, q *db.Queries, id uuid.UUID) (*api.UserExportTOTP, error) {
	row, err := q.GetTOTP(ctx, id)
	if errors.Is(err, db.ErrNotFound) {
		return nil, nil
	}
	setup := api.UserExportTOTP{ConfirmedAt: optional(row.ConfirmedAt), BegunAt: optional(row.PendingAt)}
	if row.LastStep > 0 {
		used := totp.StepStart(row.LastStep)
		setup.UsedAt = optional(&used)
	}
	return &setup, err
}

// recoveryCodes returns how many codes the account has left; nil if there are none. They were made at one time.
func recoveryCodes(ctx context.Context, q *db.Queries, id uuid.UUID) (*api.UserExportRecoveryCodes, error) {
	created, err := q.ListRecoveryCodeTimes(ctx, id)
	if err != nil || len(created) == 0 {
		return nil, err
	}
	return &api.UserExportRecoveryCodes{Left: int64(len(created)), CreatedAt: clock.Format(created[0])}, nil
}

// passkeys returns the passkeys of the account. A user has 20 at most.
func passkeys(ctx context.Context, q *db.Queries, id uuid.UUID, maxRows int64) ([]api.UserExportPasskey, error) {
	rows, err := q.ListPasskeys(ctx, id)
	rows = rows[:min(len(rows), int(maxRows))]
	list := make([]api.UserExportPasskey, len(rows))
	for i, r := range rows {
		list[i] = api.UserExportPasskey{
			PasskeyID: r.ID.String(), Name: r.Name, RpID: r.RpID, Transports: r.Transports, Synced: passkey.Synced(r),
			CreatedAt: clock.Format(r.CreatedAt), UsedAt: optional(r.UsedAt),
		}
	}
	return list, err
}
