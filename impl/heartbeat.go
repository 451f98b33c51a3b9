package impl

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/recovery"
)

const (
	beatEvery   = time.Second
	beatTimeout = 2 * time.Second

	// beatMissed is how old the last beat of all replicas is at least where there was an outage.
	beatMissed = 2 * time.Second

	// beatLonger is for how long after the grace of the last rotation the beats go on.
	beatLonger = 5 * time.Second
)

// heartbeat knows when answers of rotations may have been lost. Every replica beats once a second: it writes to the database that the
// service is alive, and reads which outages others have recorded. A beat has its own deadline, so neither a caller who hangs up nor the
// short deadline of a probe is an outage.
//
// A service without rotations writes nothing; its beats only read. So there are gaps between written beats that are no outages. They extend
// no grace: the beats are written until the grace of the last rotation is over, so no rotation is later than a grace before such a gap. A
// rotation is noted before its statement runs, and a beat is written within a second. The first one after a pause leaves the gap
// alone, because this process was alive all the time.
type heartbeat struct {
	rotationAt atomic.Int64             // when a rotation was attempted last, in microseconds of Unix time
	askedAt    atomic.Int64             // when the beat began that has no answer yet; 0 if there is none
	outages    atomic.Pointer[[]outage] // that answered beats know of; never changed in place

	// The rest belongs to the goroutine that beats.
	own       []outage  // in which this replica could not reach the database
	failing   time.Time // when the outage began that lasts; zero if there is none
	rotatedAt time.Time // when any replica noted a rotation, as far as the database knows
	writing   bool      // whether the last beat was written
}

// noteRotation makes the beats of all replicas write. It is called before the rotation, so that a crash forgets no rotation.
func (h *heartbeat) noteRotation(now time.Time) { h.rotationAt.Store(now.UnixMicro()) }

// mustWrite reports whether a grace may still depend on the beats, or the end of an outage is to be recorded. A rotation in the future was
// noted by a clock that is ahead, or before this one was set back.
func (h *heartbeat) mustWrite(now time.Time, grace time.Duration) bool {
	last := time.UnixMicro(h.rotationAt.Load())
	if h.rotatedAt.After(last) {
		last = h.rotatedAt
	}
	return !h.failing.IsZero() || now.Sub(last) <= grace+beatLonger
}

// known are the outages that may still extend a grace. A beat that waits for its answer for longer than a beat should take is an outage
// that lasts: whoever comes back before its end is known is not too late.
func (h *heartbeat) known(now time.Time) []outage {
	var all []outage
	if known := h.outages.Load(); known != nil {
		all = *known
	}
	if asked := h.askedAt.Load(); asked != 0 {
		began := time.UnixMicro(asked)
		if now.Sub(began) >= beatEvery {
			all = append(slices.Clip(all), outage{began: began.Add(-beatEvery)})
		}
	}
	return all
}

// failed notes that a beat, which began at a time, has failed. It reports whether the beat before did not. That one was answered, an
// interval earlier.
func (h *heartbeat) failed(began time.Time) (first bool) {
	if !h.failing.IsZero() {
		return false
	}
	h.failing = began.Add(-beatEvery)
	lasting := []outage{{began: h.failing}}
	if known := h.outages.Load(); known != nil {
		lasting = slices.Concat(*known, lasting)
	}
	h.outages.Store(&lasting)
	return true
}

// answered notes what a beat has learnt, and the end of the outage of this replica, if there was one.
func (h *heartbeat) answered(now time.Time, grace time.Duration, row db.Heartbeat) {
	if !h.failing.IsZero() {
		h.own = append(h.own, outage{began: h.failing, ended: now})
		h.failing = time.Time{}
	}
	h.own = slices.DeleteFunc(h.own, func(o outage) bool { return now.Sub(o.ended) > grace })
	all := slices.Clone(h.own)
	if row.OutageBeganAt != nil && row.OutageEndedAt != nil {
		all = append(all, outage{began: *row.OutageBeganAt, ended: *row.OutageEndedAt})
	}
	if row.PreviousOutageBeganAt != nil && row.PreviousOutageEndedAt != nil {
		all = append(all, outage{began: *row.PreviousOutageBeganAt, ended: *row.PreviousOutageEndedAt})
	}
	h.rotatedAt = row.RotationAt
	h.outages.Store(&all)
}

// StartHeartbeat beats once, before the service answers anybody: so it learns how long it was away, and so do replicas that start
// after it. Like a rotation, a start makes the beats write for a while.
func (s *Service) StartHeartbeat(ctx context.Context) {
	if s.RefreshGrace > 0 {
		s.heartbeat.noteRotation(s.Clock.Now())
		s.heartbeat.writing = true
		s.beat(ctx)
	}
}

// RunHeartbeat beats until ctx ends, which is to be after the last request. StartHeartbeat comes first. Without a grace nothing
// depends on the beats, and there are none.
func (s *Service) RunHeartbeat(ctx context.Context) {
	if s.RefreshGrace <= 0 {
		return
	}
	ticker := time.NewTicker(beatEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			s.beat(context.WithoutCancel(ctx)) // so that the database knows when an orderly stop was
			return
		case <-ticker.C:
			s.beat(ctx)
		}
	}
}

// beat tells the database that the service is alive, if that matters, and takes notice of outages. A gap since the last written beat of any
// replica is recorded as an outage, but not after a pause of this replica. Within a row of beats a gap is one: the process was stopped
// or starved.
//
// Clocks: a replica that is 5 s ahead and starts while others beat takes 5 s for an outage: rotations of the last grace stay in grace
// for a grace and 5 s more. One that is behind, or set back by 10 min, records no outage before its clock has caught up: a crash in
// that time extends no grace, unless others beat too. Neither makes a rotation repeatable that is older than a grace before the gap.
func (s *Service) beat(ctx context.Context) {
	h := &s.heartbeat
	began := s.Clock.Now()
	must := h.mustWrite(began, s.RefreshGrace)
	// One more than there must be: a process that was stopped for longer than a grace is to see the gap too.
	row, err := s.ask(ctx, began, must || h.writing, h.writing)
	h.writing = must
	switch {
	case err == nil:
		h.answered(s.Clock.Now(), s.RefreshGrace, row)
	case ctx.Err() != nil: // the process stops, which tells nothing
	case h.failed(began):
		s.Log.WarnContext(ctx, "heartbeat.failed", slog.Any("error", err)) // once for an outage
	}
	h.askedAt.Store(0)
}

// ask is the database's part of a beat. It makes an error of a panic, so that it ends neither the process nor the beats.
func (s *Service) ask(ctx context.Context, now time.Time, write, record bool) (row db.Heartbeat, err error) {
	defer recovery.ToError(&err)
	ctx, cancel := context.WithTimeout(ctx, beatTimeout)
	defer cancel()
	s.heartbeat.askedAt.Store(now.UnixMicro())
	if !write {
		if row, err = s.Store.Read().GetHeartbeat(ctx); err != nil && !errors.Is(err, db.ErrNotFound) {
			return row, fmt.Errorf("look for a heartbeat: %w", err)
		}
		return row, nil
	}
	beat := db.RecordHeartbeatParams{
		Now: now, RotationAt: time.UnixMicro(s.heartbeat.rotationAt.Load()).UTC(), OutageThreshold: time.Unix(0, 0).UTC(), FarAhead: now.Add(maxSkew),
	}
	if record {
		beat.OutageThreshold = now.Add(-beatMissed)
	}
	err = s.Store.Write(ctx, func(q *db.Queries) error {
		row, err = q.RecordHeartbeat(ctx, beat)
		return err
	})
	if err != nil {
		return row, fmt.Errorf("write a heartbeat: %w", err)
	}
	return row, nil
}
