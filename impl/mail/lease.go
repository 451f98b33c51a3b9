package mail

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/financelime/authorization/db"
)

const (
	// leaseLength is how long no other worker takes a mail after its holder has renewed the lease. Idle workers poll every second, so the
	// mail of a process that died is sent 15 to 16 s later, or up to maxClockSkew more.
	leaseLength = 15 * time.Second

	// maxClockSkew is how far the clocks of replicas may differ. The end of a lease is a time of its holder's clock, and other workers
	// compare it with theirs: a clock that is ahead shortens the lease by the difference, one that is behind extends it. Therefore a holder
	// stops maxClockSkew before the end, by its monotonic clock, so that no two workers hold the same mail.
	maxClockSkew = 5 * time.Second

	renewInterval = 3 * time.Second        // leaves time for a renewal that fails and is repeated
	renewRetry    = 500 * time.Millisecond // after a renewal that failed
)

// errLeaseLost: the lease could not be renewed in time, or was taken over. The attempt was cancelled before the relay had the mail.
var errLeaseLost = errors.New("the lease was lost before the mail was sent")

// leaseHolder renews the lease of a mail during an attempt, and cancels the attempt when another worker may have the lease.
//
// The attempt is committed from the moment at which the relay may get the end of the message. A committed attempt is not cancelled: only
// the relay's reply shows whether the relay has the mail.
type leaseHolder struct {
	worker   *Worker
	id       uuid.UUID
	attempts int64
	cancel   context.CancelFunc // of the attempt
	stop     chan struct{}
	stopped  chan struct{}

	// Used by the goroutine that renews, and by others after it has stopped:
	dueAt     time.Time  // the end of the lease in the database
	uncertain *time.Time // possibly the end instead: the last renewal failed, but may have been committed

	mu        sync.Mutex // guards the fields below
	heldUntil time.Time  // the holder stops then, unless it has renewed the lease
	committed bool
	lost      bool
}

// holdLease starts to renew the lease of m. The returned context is cancelled when the lease is lost.
func (w *Worker) holdLease(ctx context.Context, m leased) (context.Context, *leaseHolder) {
	ctx, cancel := context.WithCancel(ctx)
	h := &leaseHolder{
		worker: w, id: m.ID, attempts: m.Attempts, dueAt: m.DueAt, heldUntil: m.heldUntil,
		cancel: cancel, stop: make(chan struct{}), stopped: make(chan struct{}),
	}
	if h.remaining() <= 0 { // the process was suspended
		h.lose()
	}
	go h.run(context.WithoutCancel(ctx))
	return ctx, h
}

func (h *leaseHolder) run(ctx context.Context) {
	defer close(h.stopped)
	pause := renewInterval
	for {
		timer := time.NewTimer(min(pause, h.remaining()))
		select {
		case <-h.stop:
			timer.Stop()
			return
		case <-timer.C:
		}
		began := time.Now()
		renewed, err := h.renew(ctx)
		switch {
		case err != nil:
			pause = renewRetry
			if h.remaining() <= 0 {
				h.lose()
			}
		case !renewed: // taken over, or the mail was withdrawn
			h.lose()
			return
		default:
			pause = renewInterval
			h.mu.Lock()
			h.heldUntil = began.Add(leaseLength - maxClockSkew)
			h.mu.Unlock()
		}
	}
}

// remaining returns how long the holder still holds the lease. It returns leaseLength when that no longer matters.
func (h *leaseHolder) remaining() time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.committed || h.lost {
		return leaseLength
	}
	return time.Until(h.heldUntil)
}

// lose cancels the attempt, unless it is committed.
func (h *leaseHolder) lose() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.committed {
		h.lost = true
		h.cancel()
	}
}

// commit commits the attempt, or returns errLeaseLost. It compares the clock, because a suspended process neither renews nor cancels.
func (h *leaseHolder) commit() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.lost || !time.Now().Before(h.heldUntil) {
		h.lost = true
		return errLeaseLost
	}
	h.committed = true
	return nil
}

// renew extends the lease. It reports false if another worker has it.
func (h *leaseHolder) renew(ctx context.Context) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, max(min(renewInterval, h.remaining()), renewRetry))
	defer cancel()
	if err := h.resolve(ctx); err != nil {
		return false, err
	}
	until := h.worker.Clock.Now().Add(leaseLength)
	var renewed int64
	err := h.worker.Store.Write(ctx, func(q *db.Queries) (err error) {
		renewed, err = q.RenewMailLease(ctx, db.RenewMailLeaseParams{ID: h.id, Attempts: h.attempts, LeaseUntil: h.dueAt, RenewedUntil: until})
		return err
	})
	if err != nil {
		h.uncertain = &until
		return false, fmt.Errorf("renew a lease: %w", err)
	}
	if renewed > 0 {
		h.dueAt = until
	}
	return renewed > 0, nil
}

// resolve reads whether a renewal that failed was committed.
func (h *leaseHolder) resolve(ctx context.Context) error {
	if h.uncertain == nil {
		return nil
	}
	m, err := h.worker.Store.Read().GetMail(ctx, h.id)
	if err != nil && !errors.Is(err, db.ErrNotFound) {
		return fmt.Errorf("read a lease: %w", err)
	}
	if err == nil && m.Attempts == h.attempts && m.DueAt.Equal(*h.uncertain) {
		h.dueAt = m.DueAt
	}
	h.uncertain = nil
	return nil
}

// finish stops renewing. It returns the end of the lease, with which the result is recorded, and whether the attempt was cancelled.
func (h *leaseHolder) finish(ctx context.Context) (dueAt time.Time, lost bool) {
	close(h.stop)
	<-h.stopped
	h.cancel()
	for h.resolve(ctx) != nil && ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-time.After(renewRetry):
		}
	}
	return h.dueAt, h.lost
}
