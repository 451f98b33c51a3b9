package impl

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/mail"
	"github.com/financelime/authorization/impl/recoverycode"
	"github.com/financelime/authorization/impl/reqinfo"
)

// useRecoveryCode uses a recovery code in the transaction, which has locked the account, and enqueues a mail about it: the caller calls MailQueued
// after the commit. It fails with errWrongFactor if the account has no such code.
func (s *Service) useRecoveryCode(ctx context.Context, q *db.Queries, account db.Account, code string, now time.Time) error {
	used, err := q.UseRecoveryCode(ctx, db.UseRecoveryCodeParams{CodeHash: recoverycode.Hash(code), AccountID: account.ID})
	if err != nil {
		return fmt.Errorf("use a recovery code: %w", err)
	}
	if used == 0 {
		return errWrongFactor
	}
	addr := reqinfo.FromContext(ctx).Addr.String()
	return enqueueMail(ctx, q, db.InsertMailParams{
		AccountID: account.ID, Kind: mail.KindRecoveryCodeUsed, Now: now, HappenedAt: &now, RemoteAddr: &addr,
	})
}

// replaceRecoveryCodes makes codes the recovery codes of an account: older ones become void.
func replaceRecoveryCodes(ctx context.Context, q *db.Queries, accountID uuid.UUID, codes []string, now time.Time) error {
	if _, err := q.DeleteRecoveryCodes(ctx, accountID); err != nil {
		return fmt.Errorf("delete the recovery codes: %w", err)
	}
	for _, code := range codes {
		err := q.InsertRecoveryCode(ctx, db.InsertRecoveryCodeParams{CodeHash: recoverycode.Hash(code), AccountID: accountID, CreatedAt: now})
		if err != nil {
			return fmt.Errorf("store the recovery codes: %w", err)
		}
	}
	return nil
}
