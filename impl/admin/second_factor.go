package admin

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/clock"
	"github.com/financelime/authorization/impl/userdata"
)

// ErrNoSecondFactor means that RemoveSecondFactor has no effect.
var ErrNoSecondFactor = errors.New("the user has no second factor and no passkey")

// RemoveSecondFactor removes the authenticator app, the recovery codes and all passkeys of a user who has lost them, turns the second factor off, and
// ends all sessions: what is lost may have been stolen. The password stays, and is enough for a login again. The user is told by e-mail, because
// someone else may have asked for it.
func RemoveSecondFactor(
	ctx context.Context, store *db.Store, id uuid.UUID, now time.Time,
) (removed userdata.RemovedFactors, sessions int64, err error) {
	now = clock.Truncate(now)
	err = store.InTx(ctx, func(q *db.Queries) error {
		account, err := q.LockAccount(ctx, id)
		if err != nil {
			return err
		}
		if removed, err = userdata.RemoveFactors(ctx, q, account); err != nil {
			return err
		}
		if !removed.Any() {
			return ErrNoSecondFactor
		}
		if sessions, err = q.DeleteAccountSessions(ctx, id); err != nil {
			return fmt.Errorf("end the sessions: %w", err)
		}
		return userdata.EnqueueFactorChanged(ctx, q, id, "user-second-factor-"+uuid.NewString(), "", now)
	})
	switch {
	case errors.Is(err, ErrNoSecondFactor):
		return removed, 0, ErrNoSecondFactor
	case errors.Is(err, db.ErrNotFound):
		return removed, 0, ErrNoUser
	case err != nil:
		return removed, 0, fmt.Errorf("remove the second factors: %w", err)
	}
	return removed, sessions, nil
}
