package totp

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/recovery"
	"github.com/financelime/authorization/impl/secret"
)

const (
	// resealInterval is how often a replica with a second AUTH_SECRET looks for secrets to seal anew: other replicas may still seal under the
	// older one.
	resealInterval = time.Minute
	// checkInterval is how often a replica with one AUTH_SECRET looks for secrets that it cannot open.
	checkInterval = time.Hour

	resealRows = 100 // in one transaction
)

// Resealer seals TOTP secrets anew while AUTH_SECRET is being changed, so that the old AUTH_SECRET can be removed. It also counts the secrets that
// need another AUTH_SECRET than the first one. All fields are required.
type Resealer struct {
	Store  *db.Store
	Sealer *Sealer
	// Outdated reports whether the AUTH_SECRET with an index is one that the first one replaces. Otherwise this replica is at the earlier step of the
	// change, and must not seal anew what the replicas at the later step have sealed.
	Outdated func(ctx context.Context, index int) (bool, error)
	Log      *slog.Logger

	status atomic.Pointer[Status]
}

// Status counts the stored TOTP secrets that the first AUTH_SECRET does not open.
type Status struct {
	Previous   int64 // another accepted AUTH_SECRET opens them
	Unreadable int64 // none opens them: their users cannot log in with a code
}

// Status returns the counts of the last run. known is false before the first one.
func (r *Resealer) Status() (status Status, known bool) {
	if s := r.status.Load(); s != nil {
		return *s, true
	}
	return Status{}, false
}

// Run calls RunOnce regularly until ctx ends, first immediately.
func (r *Resealer) Run(ctx context.Context) {
	interval := checkInterval
	if len(r.Sealer.secrets) > 1 {
		interval = resealInterval
	}
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		if err := r.RunOnce(ctx); err != nil && ctx.Err() == nil {
			r.Log.WarnContext(ctx, "totp.reseal_failed", slog.Any("error", err))
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// RunOnce seals anew what is sealed under an AUTH_SECRET that the first one replaces, and counts what is left.
func (r *Resealer) RunOnce(ctx context.Context) (err error) {
	defer recovery.ToError(&err)
	var resealed int64
	for i := 1; i < len(r.Sealer.secrets) && err == nil; i++ {
		var n int64
		n, err = r.reseal(ctx, i)
		resealed += n
	}
	if resealed > 0 {
		r.Log.InfoContext(ctx, "totp.resealed", slog.Int64("secrets", resealed))
	}
	if err != nil {
		return fmt.Errorf("seal TOTP secrets anew: %w", err)
	}
	status, err := Check(ctx, r.Store, r.Sealer)
	if err != nil {
		return err
	}
	before := r.status.Swap(&status)
	if status.Unreadable > 0 && (before == nil || before.Unreadable != status.Unreadable) {
		r.Log.ErrorContext(ctx, "totp.unreadable", slog.Int64("secrets", status.Unreadable), slog.Any("error", ErrForeignSecret))
	}
	return nil
}

// reseal seals anew what is sealed under the AUTH_SECRET with an index.
func (r *Resealer) reseal(ctx context.Context, index int) (resealed int64, err error) {
	for after := uuid.Nil; ; {
		rows, err := r.Store.Read().ListTOTPSealedUnder(ctx, db.ListTOTPSealedUnderParams{
			After: after, Fingerprint: r.Sealer.secrets[index].fingerprint, MaxRows: resealRows,
		})
		if err != nil {
			return resealed, fmt.Errorf("list: %w", err)
		}
		if len(rows) == 0 {
			return resealed, nil
		}
		after = rows[len(rows)-1].AccountID
		// After the rows: who has sealed them under a newer AUTH_SECRET has recorded before that it is the newer one.
		outdated, err := r.Outdated(ctx, index)
		if err != nil || !outdated {
			return resealed, err
		}
		n, err := r.resealRows(ctx, rows)
		resealed += n
		if err != nil {
			return resealed, err
		}
	}
}

func (r *Resealer) resealRows(ctx context.Context, rows []db.ListTOTPSealedUnderRow) (resealed int64, err error) {
	var changes []db.ResealTOTPParams
	for _, row := range rows {
		plain, err := r.Sealer.Open(row.Sealed, row.AccountID)
		if err != nil { // one damaged row does not prevent the others
			r.Log.ErrorContext(ctx, "totp.damaged", slog.String("account_id", row.AccountID.String()), slog.Any("error", err))
			continue
		}
		sealed, err := r.Sealer.Seal(plain, row.AccountID)
		if err != nil {
			return 0, err
		}
		changes = append(changes, db.ResealTOTPParams{Sealed: sealed, AccountID: row.AccountID, OldSealed: row.Sealed})
	}
	err = r.Store.InTx(ctx, func(q *db.Queries) error {
		resealed = 0
		for _, change := range changes {
			n, err := q.ResealTOTP(ctx, change)
			if err != nil {
				return fmt.Errorf("store: %w", err)
			}
			resealed += n
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	return resealed, nil
}

// Check counts the stored secrets that the first AUTH_SECRET of a sealer does not open.
func Check(ctx context.Context, store *db.Store, sealer *Sealer) (status Status, err error) {
	outside := func(first, second sealSecret) (n int64) {
		if err == nil {
			n, err = store.Read().CountTOTPSealedOutside(ctx, db.CountTOTPSealedOutsideParams{First: first.fingerprint, Second: second.fingerprint})
		}
		return n
	}
	first, last := sealer.secrets[0], sealer.secrets[len(sealer.secrets)-1] // there are at most two
	status.Unreadable = outside(first, last)
	if len(sealer.secrets) > 1 {
		status.Previous = max(outside(first, first)-status.Unreadable, 0)
	}
	if err != nil {
		return Status{}, fmt.Errorf("count TOTP secrets: %w", err)
	}
	return status, nil
}

// DeleteUnreadable deletes the secrets that no AUTH_SECRET in root opens, after a loss of the one under which they were sealed. Their users log in
// with a recovery code or a passkey.
func DeleteUnreadable(ctx context.Context, store *db.Store, root secret.Root) (deleted int64, err error) {
	sealer, err := NewSealer(root)
	if err != nil {
		return 0, err
	}
	first, last := sealer.secrets[0], sealer.secrets[len(sealer.secrets)-1]
	err = store.Write(ctx, func(q *db.Queries) (err error) {
		deleted, err = q.DeleteTOTPSealedOutside(ctx, db.DeleteTOTPSealedOutsideParams{First: first.fingerprint, Second: last.fingerprint})
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("delete the TOTP secrets: %w", err)
	}
	return deleted, nil
}
