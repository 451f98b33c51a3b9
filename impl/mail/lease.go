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
	// leaseLength is how long a mail is kept from other workers after its holder's last sign of life. With the second until they
	// look, the mail of a process that died is sent 16 s later, or up to maxClockSkew more.
	leaseLength = 15 * time.Second

	// maxClockSkew is how far the clocks of replicas may be apart. The end of a lease is by its holder's clock, and is compared
	// with others': a clock that is ahead shortens the lease by so much, one that is behind makes it longer. So a holder takes its
	// lease for over that much earlier, by its monotonic clock, and no two hold the same mail.
	maxClockSkew = 5 * time.Second

	renewEvery = 3 * time.Second        // so a renewal may fail, be late and be tried again
	renewAgain = 500 * time.Millisecond // after one that failed
)

// errLeaseLost: the lease could not be renewed in time, or was taken over; the attempt was cut off before the relay had the mail.
var errLeaseLost = errors.New("the lease was lost before the mail was sent")

// hold renews the lease of a mail while an attempt is under way, and cuts the attempt off when the lease may be another worker's.
//
// From the moment that the attempt is committed, which is when the relay may get the end of the message, it is not cut off any more:
// that would only hide whether the relay took the mail.
type hold struct {
	worker   *Worker
	id       uuid.UUID
	attempts int64
	cut      context.CancelFunc
	stop     chan struct{}
	stopped  chan struct{}

	// Only for the goroutine that renews; for others once it has stopped.
	dueAt time.Time  // the end of the lease in the database
	doubt *time.Time // that end too, perhaps: the last renewal failed, but may have been committed

	mu        sync.Mutex
	until     time.Time // the lease is ours until then
	committed bool
	lost      bool
}

// hold begins to renew a lease. The context that it returns ends when the lease is lost.
func (w *Worker) hold(ctx context.Context, m leased) (context.Context, *hold) {
	ctx, cut := context.WithCancel(ctx)
	h := &hold{
		worker: w, id: m.ID, attempts: m.Attempts, dueAt: m.DueAt, until: m.ours,
		cut: cut, stop: make(chan struct{}), stopped: make(chan struct{}),
	}
	if h.left() <= 0 { // the process stood still
		h.lose()
	}
	go h.run(context.WithoutCancel(ctx))
	return ctx, h
}

func (h *hold) run(ctx context.Context) {
	defer close(h.stopped)
	pause := renewEvery
	for {
		timer := time.NewTimer(min(pause, h.left()))
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
			pause = renewAgain
			if h.left() <= 0 {
				h.lose()
			}
		case !renewed: // it was taken over, or the mail withdrawn
			h.lose()
			return
		default:
			pause = renewEvery
			h.mu.Lock()
			h.until = began.Add(leaseLength - maxClockSkew)
			h.mu.Unlock()
		}
	}
}

// left is how long the lease is still ours; as long as anybody could want once it does not matter any more.
func (h *hold) left() time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.committed || h.lost {
		return leaseLength
	}
	return time.Until(h.until)
}

// lose cuts the attempt off if it is not committed.
func (h *hold) lose() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.committed {
		h.lost = true
		h.cut()
	}
}

// commit fails if the attempt must not go on, and else keeps it from being cut off. Also after a pause of the whole process, in which
// nothing could be renewed or cut off: the clock decides.
func (h *hold) commit() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.lost || !time.Now().Before(h.until) {
		h.lost = true
		return errLeaseLost
	}
	h.committed = true
	return nil
}

// renew prolongs the lease; false: it is not ours.
func (h *hold) renew(ctx context.Context) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, max(min(renewEvery, h.left()), renewAgain))
	defer cancel()
	if err := h.clear(ctx); err != nil {
		return false, err
	}
	until := h.worker.Clock.Now().Add(leaseLength)
	var renewed int64
	err := h.worker.Store.Write(ctx, func(q *db.Queries) (err error) {
		renewed, err = q.RenewMailLease(ctx, db.RenewMailLeaseParams{ID: h.id, Attempts: h.attempts, LeaseUntil: h.dueAt, RenewedUntil: until})
		return err
	})
	if err != nil {
		h.doubt = &until
		return false, fmt.Errorf("renew a lease: %w", err)
	}
	if renewed > 0 {
		h.dueAt = until
	}
	return renewed > 0, nil
}

// clear finds out whether a renewal that failed was committed.
func (h *hold) clear(ctx context.Context) error {
	if h.doubt == nil {
		return nil
	}
	m, err := h.worker.Store.Read().GetMail(ctx, h.id)
	if err != nil && !errors.Is(err, db.ErrNotFound) {
		return fmt.Errorf("look at a lease: %w", err)
	}
	if err == nil && m.Attempts == h.attempts && m.DueAt.Equal(*h.doubt) {
		h.dueAt = m.DueAt
	}
	h.doubt = nil
	return nil
}

// end stops renewing. It returns the end of the lease, by which the outcome is recorded, and whether the attempt was cut off.
func (h *hold) end(ctx context.Context) (dueAt time.Time, lost bool) {
	close(h.stop)
	<-h.stopped
	h.cut()
	for h.clear(ctx) != nil && ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-time.After(renewAgain):
		}
	}
	return h.dueAt, h.lost
}
