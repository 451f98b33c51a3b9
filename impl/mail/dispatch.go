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

// dispatcher finds due mails and has each leased and delivered, those that have waited longest first.
//
// One goroutine looks for them. The leases are taken side by side, by the goroutines that deliver: so the database commits
// several at once, which on a slow disk is what counts.
type dispatcher struct {
	*Worker
	deliver  func(leased)
	underWay sync.WaitGroup

	failing bool      // the database does
	outage  time.Time // since when, the last time
	back    time.Time // until when, by the real clock

	due []uuid.UUID // what the last look found, in order; other workers have seen it too

	mu       sync.Mutex
	mine     map[uuid.UUID]bool // mails that this worker leases or delivers
	overlaps bool               // another worker goes through the same mails
	failure  error              // of the latest lease
}

// leased is a mail that this worker has until the end of a lease, which is its DueAt and is renewed.
type leased struct {
	db.Mail
	latest time.Time // when the attempt ends at the latest

	// By the real clock, which time-outs go by:
	ours   time.Time // the lease is ours until then
	cutOff time.Time // the same as latest
	until  time.Time // how it went is recorded until then
}

// run hands out mails until ctx ends.
func (d *dispatcher) run(ctx context.Context) {
	for ctx.Err() == nil {
		open, wait := d.gate.open(time.Now())
		if !open {
			d.pause(ctx, wait, d.gate.moved)
			continue
		}
		id, err := d.next(ctx)
		if err == nil {
			d.answers()
			d.gate.enter()
			d.underWay.Go(func() { d.handle(ctx, id) })
			continue
		}
		switch {
		case errors.Is(err, db.ErrNotFound):
			d.answers()
		case !d.failing: // once for an outage
			d.failing, d.outage = true, d.Clock.Now()
			d.Log.WarnContext(ctx, "mail.unavailable", "error", redact(err))
		}
		d.pause(ctx, lookEvery, d.wake)
	}
}

// answers takes note that the database does.
func (d *dispatcher) answers() {
	if d.failing {
		d.failing, d.back = false, time.Now()
	}
}

// pause waits until something happens, but not longer than that.
func (w *Worker) pause(ctx context.Context, longest time.Duration, event <-chan struct{}) {
	timer := time.NewTimer(longest)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-event:
	case <-timer.C:
	}
}

// next gives the mail that has been due for longest and is not under way here, or fails with db.ErrNotFound if none is due.
func (d *dispatcher) next(ctx context.Context) (uuid.UUID, error) {
	d.mu.Lock()
	overlaps, failure := d.overlaps, d.failure
	d.overlaps, d.failure = false, nil
	d.mu.Unlock()
	if failure != nil {
		d.due = nil
		return uuid.Nil, failure
	}
	if d.gate.down() {
		d.due = nil // a probe is the oldest mail, and the pause was long
	}
	if len(d.due) == 0 {
		if err := d.look(ctx); err != nil {
			return uuid.Nil, err
		}
	} else if overlaps { // do not follow the other worker step by step
		rand.Shuffle(len(d.due), func(i, j int) { d.due[i], d.due[j] = d.due[j], d.due[i] }) //nolint:gosec // guards nothing
	}
	id := d.due[0]
	d.due = d.due[1:]
	d.mu.Lock()
	defer d.mu.Unlock()
	d.mine[id] = true
	return id, nil
}

func (d *dispatcher) look(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, leaseLimit)
	defer cancel()
	found, err := d.find(ctx, int64(lookAhead+d.Concurrency))
	if err != nil {
		return fmt.Errorf("look for mails: %w", err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.due = slices.DeleteFunc(found, func(id uuid.UUID) bool { return d.mine[id] }) // being leased just now
	if len(d.due) == 0 {
		return db.ErrNotFound
	}
	return nil
}

// find lists due mails. While the database was away, nobody could renew a lease: after that, the holders who are alive get some
// seconds to do so, or to record what they have sent.
func (d *dispatcher) find(ctx context.Context, most int64) ([]uuid.UUID, error) {
	if d.failing || time.Since(d.back) < maxClockSkew {
		return d.Store.Read().ListDueMailsAfterOutage(ctx, db.ListDueMailsAfterOutageParams{Now: d.Clock.Now(), Outage: d.outage, MaxRows: most})
	}
	return d.Store.Read().ListDueMails(ctx, db.ListDueMailsParams{Now: d.Clock.Now(), MaxRows: most})
}

// handle leases a mail and delivers it.
func (d *dispatcher) handle(ctx context.Context, id uuid.UUID) {
	defer d.gate.leave()
	m, err := d.lease(ctx, id)
	if err == nil {
		d.deliver(m)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.mine, id)
	if errors.Is(err, db.ErrNotFound) {
		d.overlaps = true
	} else if err != nil {
		d.failure = err
	}
}

// lease takes a mail, or fails with db.ErrNotFound if another worker has. A stop does not interrupt it: the row could be taken
// and nobody know of it.
func (w *Worker) lease(ctx context.Context, id uuid.UUID) (leased, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaseLimit)
	defer cancel()
	now, began := w.Clock.Now(), time.Now()
	length := leaseLimit + sendLimit*w.Timeout
	m := leased{
		latest: now.Add(length),
		ours:   began.Add(leaseLength - maxClockSkew), cutOff: began.Add(length), until: began.Add(length + recordLimit),
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
