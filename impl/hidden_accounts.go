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
	"github.com/financelime/authorization/impl/mail"
	"github.com/financelime/authorization/impl/recovery"
	"github.com/financelime/authorization/impl/reqinfo"
)

// With AUTH_HIDE_ACCOUNTS nobody learns from an answer, or from how long it takes, whether an address has an account
// (ASVS 6.3.8). Neither path does less than the other: a sign-up with a taken address makes the same rows as any other,
// and a reset is looked into only after it was answered.

// insertHidden makes the account of a sign-up and says which mail it owes. With a taken address, it is an account that
// nobody can confirm, and the mail tells the address's owner; it holds a use of its invite until it lapses, like the other.
func insertHidden(ctx context.Context, q *db.Queries, account db.InsertAccountParams) (kind string, err error) {
	const tries = 3
	for range tries {
		attempt, kind := account, mail.KindSignUpLink
		owner, err := q.GetAccountByEmail(ctx, account.Email)
		if err != nil && !errors.Is(err, db.ErrNotFound) {
			return "", fmt.Errorf("look whose the address is: %w", err)
		}
		if err == nil {
			attempt.Email = account.ID.String() // is no address
			attempt.DecoyOf = &owner.ID
			kind = mail.KindSignUpNotice
		}
		inserted, err := q.InsertAccount(ctx, attempt)
		if err != nil {
			return "", fmt.Errorf("insert the account: %w", err)
		}
		if inserted > 0 {
			return kind, nil
		}
		// Somebody else has just signed up with the address: look again.
	}
	return "", errors.New("the address was free and taken by turns")
}

// deferReset notes that somebody asked to reset the password of an address. Whose the address is, if anybody's, is not looked at, and so the
// mails to it are limited only when the reset is done: a stranger cannot spend what its owner needs, and nobody is told.
func (s *Service) deferReset(ctx context.Context, email string) error {
	req := reqinfo.FromContext(ctx)
	resets := s.Limits.ClientIPQuota(limit.ResetSource, req.Addr)
	if err := s.Limits.Check(ctx, s.Store, s.Clock.Now(), resets); err != nil {
		return fmt.Errorf("note the reset: %w", err)
	}
	done, err := s.Limits.Serialize(ctx, resets)
	if err != nil {
		return fmt.Errorf("note the reset: %w", err)
	}
	defer done()
	err = s.Store.InTx(ctx, func(q *db.Queries) error {
		if err := s.Limits.Take(ctx, q, s.Clock.Now(), resets); err != nil {
			return err
		}
		return q.InsertResetRequest(ctx, db.InsertResetRequestParams{
			ID: newID(), Email: email, RequestID: req.RequestID, RemoteAddr: req.Addr.String(), Now: s.Clock.Now(),
		})
	})
	if err != nil {
		return fmt.Errorf("note the reset: %w", err)
	}
	select {
	case s.resetsWaiting() <- struct{}{}:
	default: // it is about to look anyway
	}
	return nil
}

// resetsWaiting is told after a reset was noted.
func (s *Service) resetsWaiting() chan struct{} {
	s.resetsOnce.Do(func() { s.resetsAsked = make(chan struct{}, 1) })
	return s.resetsAsked
}

const (
	// lookForResets is how often a replica looks for resets that another one noted and did not get to.
	lookForResets = time.Second

	// resetDelay keeps the work of a reset away from its own answer: twice that at the most.
	resetDelay = 100 * time.Millisecond

	// resetsAtOnce is how many one look finds.
	resetsAtOnce = 100

	// resetAttempts is how often a reset is tried. After a failure it waits, twice as long each time, while others have their turn.
	resetAttempts   = 8
	resetFirstPause = time.Second

	// resetMaxAge is how old a reset may be. Who asked longer ago has given up, or asked again.
	resetMaxAge = 30 * time.Minute
)

// RunResets does the password resets that were asked for while accounts are hidden, until ctx ends. Any number of replicas
// may do so side by side. Where accounts are not hidden, it does what is left of a time when they were.
func (s *Service) RunResets(ctx context.Context) {
	look := time.NewTicker(lookForResets)
	defer look.Stop()
	for {
		done, err := s.doResets(ctx)
		if err != nil && ctx.Err() == nil {
			s.Log.WarnContext(ctx, "password.reset_failed", slog.Any("error", err))
		}
		if err == nil && !s.HideAccounts && done < resetsAtOnce {
			return
		}
		if err == nil && done == resetsAtOnce {
			continue
		}
		select {
		case <-ctx.Done():
			return
		case <-s.resetsWaiting():
			// Not beside the answer: what a known address costs would show in it.
			if !sleep(ctx, resetDelay+rand.N(resetDelay)) { //nolint:gosec // spreads load, guards nothing
				return
			}
		case <-look.C:
		}
	}
}

// sleep is false when ctx ended first.
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

// doResets does the resets that are due, the oldest first, and counts those that it found. One that fails is left for later, and
// given up when it has failed too often or has become too old.
func (s *Service) doResets(ctx context.Context) (found int, err error) {
	now := s.Clock.Now()
	if err := s.giveUpResets(ctx, now); err != nil {
		return 0, err
	}
	waiting, err := s.Store.Read().ListResetRequests(ctx, db.ListResetRequestsParams{Now: &now, MaxRows: resetsAtOnce})
	if err != nil {
		return 0, fmt.Errorf("look for resets: %w", err)
	}
	do := s.doReset
	if s.resetOne != nil {
		do = s.resetOne
	}
	var failures []error
	for _, id := range waiting {
		err := do(ctx, id)
		if errors.Is(err, db.ErrUnavailable) || err != nil && ctx.Err() != nil {
			return len(waiting), err // not its fault
		}
		if err != nil {
			err = errors.Join(err, s.postponeReset(ctx, id))
		}
		failures = append(failures, err)
	}
	return len(waiting), errors.Join(failures...)
}

// postponeReset counts a failure, and lets the others go first.
func (s *Service) postponeReset(ctx context.Context, id uuid.UUID) error {
	return s.Store.InTx(ctx, func(q *db.Queries) error {
		attempts, err := q.GetResetAttempts(ctx, id)
		if errors.Is(err, db.ErrNotFound) { // another replica has done it
			return nil
		}
		if err != nil {
			return fmt.Errorf("postpone reset %s: %w", id, err)
		}
		now := s.Clock.Now()
		pause := resetFirstPause << min(attempts, resetAttempts)
		return q.DeferResetRequest(ctx, db.DeferResetRequestParams{ID: id, Now: &now, DueAt: now.Add(pause)})
	})
}

// giveUpResets deletes what is not worth another attempt.
func (s *Service) giveUpResets(ctx context.Context, now time.Time) error {
	stale := db.ListStaleResetRequestsParams{CreatedBefore: now.Add(-resetMaxAge), MaxAttempts: resetAttempts, MaxRows: resetsAtOnce}
	for {
		old, err := s.Store.Read().ListStaleResetRequests(ctx, stale) // hardly ever any: a look costs no write
		if err != nil || len(old) == 0 {
			return err
		}
		for _, id := range old {
			var given db.ResetRequest
			err := s.Store.Write(ctx, func(q *db.Queries) (err error) {
				given, err = q.ClaimResetRequest(ctx, id)
				return err
			})
			switch {
			case errors.Is(err, db.ErrNotFound): // another replica was faster
			case err != nil:
				return fmt.Errorf("give up reset %s: %w", id, err)
			default:
				s.Log.WarnContext(ctx, "password.reset_dropped", slog.String("request_id", given.RequestID),
					slog.Int64("attempts", given.Attempts), slog.Duration("age", now.Sub(given.CreatedAt).Round(time.Second)))
			}
		}
	}
}

// doReset does one reset, unless another replica was faster, as if its request had waited for it. A panic may not end the process.
func (s *Service) doReset(ctx context.Context, id uuid.UUID) (err error) {
	defer func() {
		if recovery.IsPanic(err) {
			err = fmt.Errorf("reset %s: %w", id, err)
		}
	}()
	defer recovery.ToError(&err)
	var account db.Account
	var refused, limited bool
	req := &reqinfo.Info{} // whose request it was
	ctx = reqinfo.NewContext(ctx, req)
	err = s.Store.InTx(ctx, func(q *db.Queries) error {
		asked, err := q.ClaimResetRequest(ctx, id)
		if err != nil {
			return fmt.Errorf("take it: %w", err)
		}
		req.RequestID = asked.RequestID
		req.Addr, _ = netip.ParseAddr(asked.RemoteAddr) // as it was written: an address, or none
		refused, limited = false, false
		account, err = q.LockAccountByEmail(ctx, asked.Email)
		if err == nil {
			var mails limit.LockedQuota
			mails, err = s.Limits.Lock(ctx, q, s.Clock.Now(), s.resetMails(account, asked.Email))
			if _, limited = errors.AsType[*limit.ExceededError](err); limited {
				return nil // and done with
			}
			if err == nil {
				err = mails.Take(ctx, q)
			}
		}
		if err == nil {
			account, err = s.resetPassword(ctx, q, asked.Email)
		}
		if refused = errors.Is(err, db.ErrNotFound); refused {
			return nil // and done with
		}
		return err
	})
	switch {
	case errors.Is(err, db.ErrNotFound): // another replica was faster
	case err != nil:
		return fmt.Errorf("reset %s: %w", id, err)
	case limited:
		event.Record(ctx, s.Log, event.PasswordResetRefused, event.Reason("limit"), event.Account(account.ID))
	case refused:
		s.logResetRefused(ctx, account)
	default:
		s.resetDone(ctx, account)
	}
	return nil
}
