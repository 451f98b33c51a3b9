package mail

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/financelime/authorization/db"
)

// dispatcher finds due mails and starts a goroutine for each that leases and delivers it, the longest due first.
//
// One goroutine polls. The leases are taken concurrently, by the goroutines that deliver, so that the database commits several leases
// together. On a slow disk the number of commits limits the throughput.
type dispatcher struct {
	*Worker
	deliver  func(leased)
	handlers sync.WaitGroup

	// Of the goroutine that polls:
	due          []uuid.UUID // what the last poll found, in order; other workers may have found the same
	databaseDown bool
	outage       time.Time // when the last outage of the database began, by Clock
	recovered    time.Time // when it ended, by the monotonic clock

	mu         sync.Mutex         // guards the fields below
	inProgress map[uuid.UUID]bool // mails that this worker leases or delivers
	contended  bool               // another worker has taken a mail that this one found
	leaseErr   error              // of the latest attempt to lease, unless another worker was faster
}

// leased is a mail that this worker has leased. DueAt is the end of the lease.
type leased struct {
	db.Mail
	latestEnd time.Time // when the attempt ends at the latest, by Clock

	// By the monotonic clock, which timeouts use:
	heldUntil      time.Time // the holder stops then, unless it has renewed the lease
	sendDeadline   time.Time // the same moment as latestEnd
	recordDeadline time.Time
}

// run dispatches mails until ctx ends.
func (d *dispatcher) run(ctx context.Context) {
	for ctx.Err() == nil {
		allowed, wait := d.breaker.allow(time.Now())
		if !allowed {
			d.pause(ctx, wait, d.breaker.released)
			continue
		}
		id, err := d.next(ctx)
		if err == nil {
			d.noteDatabaseUp()
			d.breaker.acquire()
			d.handlers.Go(func() { d.handle(ctx, id) })
			continue
		}
		switch {
		case errors.Is(err, db.ErrNotFound):
			d.noteDatabaseUp()
		case !d.databaseDown: // log each outage once
			d.databaseDown, d.outage = true, d.Clock.Now()
			d.Log.WarnContext(ctx, "mail.unavailable", "error", redact(err))
		}
		d.pause(ctx, pollInterval, d.wake)
	}
}

// noteDatabaseUp ends an outage of the database, if there was one.
func (d *dispatcher) noteDatabaseUp() {
	if d.databaseDown {
		d.databaseDown, d.recovered = false, time.Now()
	}
}

// pause waits for an event, or until the timeout or ctx ends.
func (w *Worker) pause(ctx context.Context, timeout time.Duration, event <-chan struct{}) {
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-event:
	case <-timer.C:
	}
}

// next returns the mail that has been due longest and is not in progress here, or db.ErrNotFound if no mail is due.
func (d *dispatcher) next(ctx context.Context) (uuid.UUID, error) {
	d.mu.Lock()
	contended, leaseErr := d.contended, d.leaseErr
	d.contended, d.leaseErr = false, nil
	d.mu.Unlock()
	if leaseErr != nil {
		d.due = nil
		return uuid.Nil, leaseErr
	}
	if d.breaker.isOpen() {
		d.due = nil // the oldest mail is the probe, and the list is old after the pause
	}
	if len(d.due) == 0 {
		if err := d.poll(ctx); err != nil {
			return uuid.Nil, err
		}
	} else if contended { // so that two workers do not go through the same list in the same order
		rand.Shuffle(len(d.due), func(i, j int) { d.due[i], d.due[j] = d.due[j], d.due[i] }) //nolint:gosec // no security depends on it
	}
	id := d.due[0]
	d.due = d.due[1:]
	d.mu.Lock()
	defer d.mu.Unlock()
	d.inProgress[id] = true
	return id, nil
}

// poll fills d.due. It returns db.ErrNotFound if no mail is due.
func (d *dispatcher) poll(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, leaseTimeout)
	defer cancel()
	found, err := d.listDue(ctx, int64(pollRows+d.Concurrency))
	if err != nil {
		return fmt.Errorf("list due mails: %w", err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.due = slices.DeleteFunc(found, func(id uuid.UUID) bool { return d.inProgress[id] }) // about to be leased
	if len(d.due) == 0 {
		return db.ErrNotFound
	}
	return nil
}

// listDue lists due mails. During an outage of the database no worker could renew its leases. After it, holders that are alive get
// maxClockSkew to renew, or to record what they have sent, before others take their mails over.
func (d *dispatcher) listDue(ctx context.Context, maxRows int64) ([]uuid.UUID, error) {
	if d.databaseDown || time.Since(d.recovered) < maxClockSkew {
		return d.Store.Read().ListDueMailsAfterOutage(ctx, db.ListDueMailsAfterOutageParams{Now: d.Clock.Now(), Outage: d.outage, MaxRows: maxRows})
	}
	return d.Store.Read().ListDueMails(ctx, db.ListDueMailsParams{Now: d.Clock.Now(), MaxRows: maxRows})
}

// handle leases a mail and delivers it.
func (d *dispatcher) handle(ctx context.Context, id uuid.UUID) {
	defer d.breaker.release()
	m, err := d.lease(ctx, id)
	if err == nil {
		d.deliver(m)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.inProgress, id)
	if errors.Is(err, db.ErrNotFound) {
		d.contended = true
	} else if err != nil {
		d.leaseErr = err
	}
}

// lease leases a mail. It returns db.ErrNotFound if another worker was faster. Shutdown does not cancel it: the lease could be committed
// without any worker that sends the mail.
func (w *Worker) lease(ctx context.Context, id uuid.UUID) (leased, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaseTimeout)
	defer cancel()
	now, began := w.Clock.Now(), time.Now()
	longest := leaseTimeout + attemptTimeouts*w.Timeout
	m := leased{
		latestEnd: now.Add(longest),
		heldUntil: began.Add(leaseLength - maxClockSkew), sendDeadline: began.Add(longest), recordDeadline: began.Add(longest + recordTimeout),
	}
	err := w.Store.Write(ctx, func(q *db.Queries) (err error) {
		m.Mail, err = q.LeaseMail(ctx, db.LeaseMailParams{ID: id, LeaseUntil: now.Add(leaseLength), Now: now})
		return err
	})
	if err != nil {
		return leased{}, fmt.Errorf("lease a mail: %w", err)
	}
	return m, nil
}
