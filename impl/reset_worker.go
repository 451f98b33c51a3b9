package impl

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"time"

	"github.com/google/uuid"

	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/event"
	"github.com/financelime/authorization/impl/limit"
	"github.com/financelime/authorization/impl/recovery"
	"github.com/financelime/authorization/impl/reqinfo"
)

const (
	// resetPollInterval is how often a replica looks for resets that another replica stored but did not do.
	resetPollInterval = time.Second

	// resetDelay is the minimum time between the response and the reset; the maximum is twice that. So the work for a known address cannot
	// affect the response time.
	resetDelay = 100 * time.Millisecond

	// resetBatch is how many resets one query returns.
	resetBatch = 100

	// maxResetAttempts is how often a reset is tried. After a failure it waits for firstResetBackoff, and twice as long after each further
	// failure, so that other resets are done first.
	maxResetAttempts  = 8
	firstResetBackoff = time.Second

	// maxResetAge is how old a reset may be. A user who requested it longer ago has given up, or requested another one.
	maxResetAge = 30 * time.Minute
)

// resetSignal returns the channel that wakes the worker after a reset was stored.
func (s *Service) resetSignal() chan struct{} {
	s.resetQueuedOnce.Do(func() { s.resetQueued = make(chan struct{}, 1) })
	return s.resetQueued
}

// RunResets does the password resets that were requested while accounts are hidden, until ctx ends. Any number of replicas may run it. If
// accounts are not hidden, it only does what is left from a time when they were.
func (s *Service) RunResets(ctx context.Context) {
	poll := time.NewTicker(resetPollInterval)
	defer poll.Stop()
	for {
		found, err := s.runDueResets(ctx)
		if err != nil && ctx.Err() == nil {
			s.Log.WarnContext(ctx, "password.reset_failed", slog.Any("error", err))
		}
		if err == nil && !s.HideAccounts && found < resetBatch {
			return
		}
		if err == nil && found == resetBatch {
			continue
		}
		select {
		case <-ctx.Done():
			return
		case <-s.resetSignal():
			// Delayed, so that the work for a known address cannot affect the response time.
			if !sleep(ctx, resetDelay+rand.N(resetDelay)) { //nolint:gosec // spreads load, guards nothing
				return
			}
		case <-poll.C:
		}
	}
}

// sleep waits for d, and reports whether that time passed before ctx ended.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// runDueResets does the resets that are due, the oldest first, and returns how many it found. A reset that fails is rescheduled, and dropped
// after too many failures or when it is too old.
func (s *Service) runDueResets(ctx context.Context) (found int, err error) {
	now := s.Clock.Now()
	if err := s.dropOldResets(ctx, now); err != nil {
		return 0, err
	}
	due, err := s.Store.Read().ListResetRequests(ctx, db.ListResetRequestsParams{Now: &now, MaxRows: resetBatch})
	if err != nil {
		return 0, fmt.Errorf("list the resets: %w", err)
	}
	run := s.runReset
	if s.resetFunc != nil {
		run = s.resetFunc
	}
	var failures []error
	for _, id := range due {
		err := run(ctx, id)
		if errors.Is(err, db.ErrUnavailable) || err != nil && ctx.Err() != nil {
			return len(due), err // not counted as a failure of this reset
		}
		if err != nil {
			err = errors.Join(err, s.rescheduleReset(ctx, id))
		}
		failures = append(failures, err)
	}
	return len(due), errors.Join(failures...)
}

// rescheduleReset counts a failure and lets other resets go first.
func (s *Service) rescheduleReset(ctx context.Context, id uuid.UUID) error {
	return s.Store.InTx(ctx, func(q *db.Queries) error {
		attempts, err := q.GetResetAttempts(ctx, id)
		if errors.Is(err, db.ErrNotFound) { // another replica has done it
			return nil
		}
		if err != nil {
			return fmt.Errorf("reschedule reset %s: %w", id, err)
		}
		now := s.Clock.Now()
		backoff := firstResetBackoff << min(attempts, maxResetAttempts)
		return q.DeferResetRequest(ctx, db.DeferResetRequestParams{ID: id, Now: &now, DueAt: now.Add(backoff)})
	})
}

// dropOldResets deletes the resets that are not tried again.
func (s *Service) dropOldResets(ctx context.Context, now time.Time) error {
	stale := db.ListStaleResetRequestsParams{CreatedBefore: now.Add(-maxResetAge), MaxAttempts: maxResetAttempts, MaxRows: resetBatch}
	for {
		ids, err := s.Store.Read().ListStaleResetRequests(ctx, stale) // usually none, so it costs no write
		if err != nil || len(ids) == 0 {
			return err
		}
		for _, id := range ids {
			var dropped db.ResetRequest
			err := s.Store.Write(ctx, func(q *db.Queries) (err error) {
				dropped, err = q.ClaimResetRequest(ctx, id)
				return err
			})
			switch {
			case errors.Is(err, db.ErrNotFound): // another replica was faster
			case err != nil:
				return fmt.Errorf("drop reset %s: %w", id, err)
			default:
				s.Log.WarnContext(ctx, "password.reset_dropped", slog.String("request_id", dropped.RequestID),
					slog.Int64("attempts", dropped.Attempts), slog.Duration("age", now.Sub(dropped.CreatedAt).Round(time.Second)))
			}
		}
	}
}

// resetResult is what the transaction of a reset did.
type resetResult struct {
	account        db.Account
	choosePassword bool
	limited        bool // the limit of mails is exceeded
	refused        bool // resetPassword failed with db.ErrNotFound
}

// runReset does one reset, unless another replica was faster. It logs with the ID and client IP of the request. A panic becomes an error, so
// that it does not end the process.
func (s *Service) runReset(ctx context.Context, id uuid.UUID) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("reset %s: %w", id, err)
		}
	}()
	defer recovery.ToError(&err)
	var result resetResult
	req := &reqinfo.Info{}
	ctx = reqinfo.NewContext(ctx, req)
	err = s.Store.InTx(ctx, func(q *db.Queries) error {
		request, err := q.ClaimResetRequest(ctx, id)
		if err != nil {
			return fmt.Errorf("claim the request: %w", err)
		}
		req.RequestID = request.RequestID
		req.Addr, _ = netip.ParseAddr(request.RemoteAddr) // what queueReset stored: an address, or none
		result, err = s.runResetTx(ctx, q, request)
		return err
	})
	switch {
	case errors.Is(err, db.ErrNotFound): // another replica was faster
	case err != nil:
		return err
	case result.limited:
		event.Record(ctx, s.Log, event.PasswordResetRefused, event.Reason("limit"), event.Account(result.account.ID))
	case result.refused:
		s.logResetRefused(ctx, result.account)
	default:
		s.resetCommitted(ctx, result.account, result.choosePassword)
	}
	return nil
}

// runResetTx does a reset whose request was claimed. A refusal is a result, not an error, so that the request is deleted.
func (s *Service) runResetTx(ctx context.Context, q *db.Queries, request db.ResetRequest) (result resetResult, err error) {
	email := request.Email
	result.choosePassword = request.ChoosePassword != 0
	result.account, err = q.LockAccountByEmail(ctx, email)
	if err == nil {
		err = s.Limits.Take(ctx, q, s.Clock.Now(), s.resetMailQuota(result.account, email))
	}
	if _, result.limited = errors.AsType[*limit.ExceededError](err); result.limited {
		return result, nil
	}
	if err == nil {
		result.account, err = s.resetPassword(ctx, q, email, result.choosePassword)
	}
	if result.refused = errors.Is(err, db.ErrNotFound); result.refused {
		return result, nil
	}
	return result, err
}
