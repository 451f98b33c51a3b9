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
	beatInterval = time.Second
	beatTimeout  = 2 * time.Second

	// outageThreshold is how old the last heartbeat of all replicas must be for the next one to record an outage.
	outageThreshold = 2 * time.Second

	// beatExtension is for how long after the grace of the last rotation heartbeats are still written.
	beatExtension = 5 * time.Second
)

// heartbeat detects when responses to rotations may have been lost. Once a second, every replica writes to the database that the service is
// alive, and reads which outages other replicas have recorded. A heartbeat has its own timeout, so neither a client that disconnects nor
// the short deadline of a health check counts as an outage.
//
// A gap between written heartbeats is an outage only if the replica that ends it has just started, or also wrote its previous heartbeat.
// Otherwise the replica was alive and only read, because a service without rotations writes nothing. Such a gap need not extend a grace:
// heartbeats are written until the grace of the last rotation is over, so no rotation is later than a grace before the gap.
//
// Example: the grace is 2 min, and the last rotation is at 12:00:00. Heartbeats are written until about 12:02:05 and then only read. The next
// rotation, at 13:00:00, is recorded before its statement runs, and a heartbeat is written within a second. It does not record the gap.
type heartbeat struct {
	rotationAt   atomic.Int64             // last attempted rotation of this replica, in microseconds since 1970
	pendingSince atomic.Int64             // start of the heartbeat in progress, in microseconds since 1970; 0: none
	outages      atomic.Pointer[[]outage] // known from completed heartbeats; the slice is never changed in place

	// The fields below belong to the goroutine that runs the heartbeats.
	ownOutages     []outage  // during which this replica could not reach the database
	outageBegan    time.Time // start of the current outage of this replica; zero: none
	lastRotationAt time.Time // last rotation of any replica, according to the database
	wasWritten     bool      // the last heartbeat was written, not only read
}

// recordRotation makes the heartbeats of all replicas write. It is called before the rotation, so that no rotation is missed after a crash.
func (h *heartbeat) recordRotation(now time.Time) { h.rotationAt.Store(now.UnixMicro()) }

// mustWrite reports whether a grace may still depend on the heartbeats, or the end of an outage must be recorded. If the last rotation is
// after now, a clock was wrong (another one is ahead, or this one was set back); keep writing.
func (h *heartbeat) mustWrite(now time.Time, grace time.Duration) bool {
	last := time.UnixMicro(h.rotationAt.Load())
	if h.lastRotationAt.After(last) {
		last = h.lastRotationAt
	}
	return !h.outageBegan.IsZero() || now.Sub(last) <= grace+beatExtension
}

// knownOutages returns the outages that may still extend a grace. A heartbeat that has been in progress for longer than it should take is
// an outage that has not ended: a client that retries before the heartbeat fails is not too late.
func (h *heartbeat) knownOutages(now time.Time) []outage {
	var all []outage
	if known := h.outages.Load(); known != nil {
		all = *known
	}
	if pending := h.pendingSince.Load(); pending != 0 {
		began := time.UnixMicro(pending)
		if now.Sub(began) >= beatInterval {
			all = append(slices.Clip(all), outage{began: began.Add(-beatInterval)})
		}
	}
	return all
}

// recordFailure records that a heartbeat that began at a time has failed. It reports whether this is the first failure of an outage. The
// outage then began with the last successful heartbeat, one interval earlier.
func (h *heartbeat) recordFailure(began time.Time) (first bool) {
	if !h.outageBegan.IsZero() {
		return false
	}
	h.outageBegan = began.Add(-beatInterval)
	all := []outage{{began: h.outageBegan}}
	if known := h.outages.Load(); known != nil {
		all = slices.Concat(*known, all)
	}
	h.outages.Store(&all)
	return true
}

// recordSuccess records what a heartbeat has read, and the end of this replica's outage, if there was one.
func (h *heartbeat) recordSuccess(now time.Time, grace time.Duration, row db.Heartbeat) {
	if !h.outageBegan.IsZero() {
		h.ownOutages = append(h.ownOutages, outage{began: h.outageBegan, ended: now})
		h.outageBegan = time.Time{}
	}
	h.ownOutages = slices.DeleteFunc(h.ownOutages, func(o outage) bool { return now.Sub(o.ended) > grace })
	all := slices.Clone(h.ownOutages)
	if row.OutageBeganAt != nil && row.OutageEndedAt != nil {
		all = append(all, outage{began: *row.OutageBeganAt, ended: *row.OutageEndedAt})
	}
	if row.PreviousOutageBeganAt != nil && row.PreviousOutageEndedAt != nil {
		all = append(all, outage{began: *row.PreviousOutageBeganAt, ended: *row.PreviousOutageEndedAt})
	}
	h.lastRotationAt = row.RotationAt
	h.outages.Store(&all)
}

// StartHeartbeat sends one heartbeat, before the service accepts requests. It records how long the service was down, for this replica and
// for replicas that start later. Like a rotation, a start makes the heartbeats write for a while.
func (s *Service) StartHeartbeat(ctx context.Context) {
	if s.RefreshGrace > 0 {
		s.heartbeat.recordRotation(s.Clock.Now())
		s.heartbeat.wasWritten = true
		s.beat(ctx)
	}
}

// RunHeartbeat sends heartbeats until ctx ends, which must be after the last request. Call StartHeartbeat before. Without a grace nothing
// depends on heartbeats, and none are sent.
func (s *Service) RunHeartbeat(ctx context.Context) {
	if s.RefreshGrace <= 0 {
		return
	}
	ticker := time.NewTicker(beatInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			s.beat(context.WithoutCancel(ctx)) // records when the service stopped
			return
		case <-ticker.C:
			s.beat(ctx)
		}
	}
}

// beat sends one heartbeat: it records that the service is alive, if anything depends on it, and reads outages. A gap since the last written
// heartbeat of any replica is an outage only if this replica also wrote its previous heartbeat: then the process was suspended or got no CPU
// time. If it only read before, the gap is not recorded.
//
// Clocks: whatever they show, a rotation that is older than a grace before the gap is never repeated. Example: a replica that is 5 s ahead and
// starts while others send heartbeats records an outage of 5 s, so rotations of the last grace stay in grace for a grace and 5 s more. A
// replica that is behind, or was set back by 10 min, records no outage until its clock has caught up: a crash in that time extends no grace,
// unless other replicas send heartbeats too.
func (s *Service) beat(ctx context.Context) {
	h := &s.heartbeat
	began := s.Clock.Now()
	must := h.mustWrite(began, s.RefreshGrace)
	// One more than necessary is written: a process that was suspended for longer than a grace must notice the gap too.
	row, err := s.sendHeartbeat(ctx, began, must || h.wasWritten, h.wasWritten)
	h.wasWritten = must
	switch {
	case err == nil:
		h.recordSuccess(s.Clock.Now(), s.RefreshGrace, row)
	case ctx.Err() != nil: // the process stops: no outage
	case h.recordFailure(began):
		s.Log.WarnContext(ctx, "heartbeat.failed", slog.Any("error", err)) // once per outage
	}
	h.pendingSince.Store(0)
}

// sendHeartbeat reads the heartbeat row, or writes it too. If recordGap is set, it records a gap as an outage. A panic becomes an error, so
// that it ends neither the process nor the heartbeats.
func (s *Service) sendHeartbeat(ctx context.Context, now time.Time, write, recordGap bool) (row db.Heartbeat, err error) {
	defer recovery.ToError(&err)
	ctx, cancel := context.WithTimeout(ctx, beatTimeout)
	defer cancel()
	s.heartbeat.pendingSince.Store(now.UnixMicro())
	if !write {
		if row, err = s.Store.Read().GetHeartbeat(ctx); err != nil && !errors.Is(err, db.ErrNotFound) {
			return row, fmt.Errorf("read the heartbeat: %w", err)
		}
		return row, nil
	}
	beat := db.RecordHeartbeatParams{
		Now: now, RotationAt: time.UnixMicro(s.heartbeat.rotationAt.Load()).UTC(), OutageThreshold: time.Unix(0, 0).UTC(), FarAhead: now.Add(maxSkew),
	}
	if recordGap {
		beat.OutageThreshold = now.Add(-outageThreshold)
	}
	err = s.Store.Write(ctx, func(q *db.Queries) error {
		row, err = q.RecordHeartbeat(ctx, beat)
		return err
	})
	if err != nil {
		return row, fmt.Errorf("write the heartbeat: %w", err)
	}
	return row, nil
}
