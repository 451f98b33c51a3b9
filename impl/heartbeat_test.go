package impl

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/test/dbtest"
)

// replicaClock is a clock that the test sets.
type replicaClock struct{ at atomic.Int64 }

func (c *replicaClock) now() time.Time          { return time.UnixMicro(c.at.Load()) }
func (c *replicaClock) set(to time.Time)        { c.at.Store(to.UnixMicro()) }
func (c *replicaClock) advance(d time.Duration) { c.at.Add(d.Microseconds()) }

// replica returns a service with what the heartbeat needs.
func replica(store *db.Store, c *replicaClock, grace time.Duration) *Service {
	return &Service{Store: store, Log: slog.New(slog.DiscardHandler), RefreshGrace: grace, Clock: c.now}
}

// writeBeat writes a heartbeat: the first one after a pause, or one of a continuous series.
func (s *Service) writeBeat(t *testing.T, continuous bool) {
	t.Helper()
	s.heartbeat.recordRotation(s.Clock.Now())
	s.heartbeat.wasWritten = continuous
	s.beat(t.Context())
}

// canRepeat reports whether the replica would repeat the response to a rotation.
func (s *Service) canRepeat(rotated time.Time) bool {
	return inGrace(rotated, s.Clock.Now(), s.RefreshGrace, s.heartbeat.knownOutages(s.Clock.Now()))
}

const testGrace = 3 * time.Second

// A start records how long the service was down, also for replicas that start later.
func TestStartRecordsTheOutage(t *testing.T) {
	t.Parallel()
	dbtest.EachEngine(t, func(t *testing.T, url string) {
		store := dbtest.Open(t, url)
		begin := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
		c := new(replicaClock)
		c.set(begin)
		replica(store, c, testGrace).StartHeartbeat(t.Context()) // the first heartbeat ever
		c.advance(time.Second)
		killed := replica(store, c, testGrace)
		killed.writeBeat(t, true)
		last := c.now()

		// All replicas are down for a minute and start one after another.
		c.advance(time.Minute)
		back := c.now()
		first := replica(store, c, testGrace)
		first.StartHeartbeat(t.Context())
		c.advance(time.Second)
		second := replica(store, c, testGrace)
		second.StartHeartbeat(t.Context())
		for name, s := range map[string]*Service{"first": first, "second": second} {
			if !s.canRepeat(last.Add(time.Second)) || !s.canRepeat(last.Add(time.Microsecond-testGrace)) {
				t.Errorf("%s: a rotation whose response may be lost is not repeated", name)
			}
			if s.canRepeat(last.Add(-testGrace)) {
				t.Errorf("%s: an older rotation is repeated", name)
			}
		}
		c.set(back.Add(testGrace))
		if !first.canRepeat(last) || !second.canRepeat(last) {
			t.Error("not repeated until a grace after the start")
		}
		c.advance(time.Microsecond)
		if first.canRepeat(last) || second.canRepeat(last) {
			t.Error("repeated later than a grace after the start")
		}
	})
}

// Of two outages within one grace, the first is still known, also to a replica that did not run during it.
func TestTwoOutagesWithinOneGrace(t *testing.T) {
	t.Parallel()
	dbtest.EachEngine(t, func(t *testing.T, url string) {
		store := dbtest.Open(t, url)
		c := new(replicaClock)
		c.set(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
		rotated := c.now()
		const grace = time.Minute
		replica(store, c, grace).StartHeartbeat(t.Context())
		c.advance(50 * time.Second)
		replica(store, c, grace).writeBeat(t, true) // the first outage: from the rotation until 50 s later
		for range 14 {                              // the second outage begins when the grace of the rotation has ended
			c.advance(time.Second)
			replica(store, c, grace).writeBeat(t, true)
		}
		c.advance(10 * time.Second)
		s := replica(store, c, grace)
		s.StartHeartbeat(t.Context())
		if got := s.heartbeat.knownOutages(s.Clock.Now()); len(got) != 2 {
			t.Fatalf("outages: %v", got)
		}
		if !s.canRepeat(rotated) {
			t.Error("the first outage is unknown")
		}
	})
}

// Only a missing heartbeat of a continuous series is recorded as an outage.
func TestHeartbeatsRecordOnlyOutages(t *testing.T) {
	t.Parallel()
	dbtest.EachEngine(t, func(t *testing.T, url string) {
		store := dbtest.Open(t, url)
		c := new(replicaClock)
		c.set(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
		s := replica(store, c, testGrace)
		outages := func() int { return len(s.heartbeat.knownOutages(s.Clock.Now())) }
		s.StartHeartbeat(t.Context())
		for range 5 {
			c.advance(outageThreshold) // exactly the threshold is not too late
			s.writeBeat(t, true)
		}
		if outages() != 0 {
			t.Errorf("heartbeats in time are an outage: %v", s.heartbeat.knownOutages(s.Clock.Now()))
		}
		c.advance(time.Hour)
		s.writeBeat(t, false)
		if outages() != 0 {
			t.Errorf("a pause is an outage: %v", s.heartbeat.knownOutages(s.Clock.Now()))
		}
		c.advance(-10 * time.Minute)
		s.writeBeat(t, true)
		c.advance(10 * time.Minute)
		s.writeBeat(t, true)
		if outages() != 0 {
			t.Errorf("a clock that was set back for a while is an outage: %v", s.heartbeat.knownOutages(s.Clock.Now()))
		}
		c.advance(outageThreshold + time.Microsecond)
		s.writeBeat(t, true)
		if outages() != 1 {
			t.Error("a missing heartbeat is no outage")
		}
		// After a clock was years ahead, outages are still recorded.
		now := c.now()
		c.advance(10 * 365 * 24 * time.Hour)
		s.writeBeat(t, false)
		c.set(now.Add(time.Minute))
		s.writeBeat(t, true)
		c.advance(time.Minute)
		s.writeBeat(t, true)
		if known := s.heartbeat.knownOutages(s.Clock.Now()); len(known) == 0 || !known[0].ended.Equal(c.now()) {
			t.Errorf("outages: %v", known)
		}
	})
}

// A replica that cannot reach the database extends the grace until it can, and for a grace longer.
func TestReplicaRecordsItsOwnOutage(t *testing.T) {
	t.Parallel()
	dbtest.EachEngine(t, func(t *testing.T, url string) {
		store := dbtest.Open(t, url)
		closed := dbtest.Open(t, url)
		if err := closed.Close(); err != nil { // every query fails as unavailable
			t.Fatal(err)
		}
		c := new(replicaClock)
		c.set(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
		s, other := replica(store, c, testGrace), replica(store, c, testGrace)
		s.StartHeartbeat(t.Context())
		c.advance(time.Second)
		began := c.now()
		s.Store = closed
		for range 60 {
			s.writeBeat(t, true)
			other.writeBeat(t, true) // no gap for the database
			c.advance(time.Second)
		}
		maybeLost, older := began.Add(time.Microsecond-beatInterval-testGrace), began.Add(-beatInterval-testGrace)
		if !s.canRepeat(began) || !s.canRepeat(maybeLost) || s.canRepeat(older) {
			t.Error("while the outage lasts")
		}
		if other.canRepeat(began) {
			t.Error("a replica that could reach the database repeats too")
		}
		s.Store = store
		s.writeBeat(t, true)
		c.advance(testGrace)
		if !s.canRepeat(began) || !s.canRepeat(maybeLost) || s.canRepeat(older) {
			t.Error("a grace after the outage")
		}
		c.advance(time.Microsecond)
		if s.canRepeat(began) {
			t.Error("later than a grace after the outage")
		}
		s.writeBeat(t, true)
		c.advance(time.Second)
		s.writeBeat(t, true)
		if n := len(s.heartbeat.ownOutages); n != 0 {
			t.Errorf("%d outages are never deleted", n)
		}
	})
}

// A heartbeat that gets no response is an outage before its timeout: the database, and then a client, may be back earlier.
func TestPendingHeartbeatIsAnOutage(t *testing.T) {
	t.Parallel()
	c := new(replicaClock)
	c.set(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
	s := replica(nil, c, time.Second)
	rotated := c.now()
	c.advance(time.Second)
	s.heartbeat.pendingSince.Store(c.now().UnixMicro())
	c.advance(beatInterval - time.Microsecond)
	if s.canRepeat(rotated) {
		t.Error("an outage immediately")
	}
	c.advance(time.Microsecond)
	if !s.canRepeat(rotated) {
		t.Error("no outage")
	}
}

// Clients cause no outage: neither by a deadline that ends before or during a query, nor by a disconnect.
func TestClientsCauseNoOutage(t *testing.T) {
	t.Parallel()
	dbtest.EachEngine(t, func(t *testing.T, url string) {
		store := dbtest.Open(t, url)
		c := new(replicaClock)
		c.set(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
		s := replica(store, c, testGrace)
		s.StartHeartbeat(t.Context())
		rotated := c.now()
		for _, d := range []time.Duration{0, time.Microsecond, 100 * time.Microsecond, time.Millisecond} {
			short, cancel := context.WithTimeout(t.Context(), d)
			_ = store.Ping(short)
			_, _ = store.Read().LastSessionID(short)
			cancel()
			cancelled, cancelLater := context.WithCancel(t.Context())
			time.AfterFunc(d, cancelLater)
			_ = store.Ping(cancelled)
			_ = store.InTx(cancelled, func(q *db.Queries) error {
				_, err := q.LastSessionID(cancelled)
				return err
			})
			cancelLater()
		}
		for range 4 {
			c.advance(time.Second)
			s.writeBeat(t, true)
		}
		if s.canRepeat(rotated) {
			t.Errorf("outages: %v", s.heartbeat.knownOutages(s.Clock.Now()))
		}
	})
}

// Heartbeats are written from a rotation of any replica until some seconds after its grace, and once more when the process stops.
func TestHeartbeatsFollowRotations(t *testing.T) {
	t.Parallel()
	dbtest.EachEngine(t, func(t *testing.T, url string) {
		store := dbtest.Open(t, url)
		c := new(replicaClock)
		c.set(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
		written := func() bool {
			t.Helper()
			row, err := store.Read().GetHeartbeat(t.Context())
			if err != nil && !errors.Is(err, db.ErrNotFound) {
				t.Fatal(err)
			}
			return row.BeatAt.Equal(c.now())
		}
		s, other := replica(store, c, testGrace), replica(store, c, testGrace)
		s.beat(t.Context())
		if written() {
			t.Error("a heartbeat was written without a rotation")
		}
		s.heartbeat.recordRotation(c.now())
		s.beat(t.Context())
		if !written() {
			t.Error("no heartbeat was written after a rotation")
		}
		other.beat(t.Context())
		for range (testGrace + beatExtension) / beatInterval {
			c.advance(beatInterval)
			other.beat(t.Context())
			if !written() {
				t.Error("no heartbeat was written in the grace of another replica's rotation")
			}
		}
		c.advance(-time.Hour)
		other.beat(t.Context())
		if !other.heartbeat.wasWritten {
			t.Error("no heartbeat was written after the clock was set back")
		}
		c.advance(time.Hour + beatInterval)
		other.beat(t.Context()) // one more
		c.advance(beatInterval)
		other.beat(t.Context())
		if written() {
			t.Error("heartbeats are still written")
		}
		if n := len(s.heartbeat.knownOutages(c.now())) + len(other.heartbeat.knownOutages(c.now())); n != 0 {
			t.Errorf("%d outages", n)
		}

		s.StartHeartbeat(t.Context())
		c.advance(beatInterval)
		ctx, stop := context.WithCancel(t.Context())
		stop()
		s.RunHeartbeat(ctx)
		if !written() {
			t.Error("no heartbeat was written at the stop")
		}
	})
}

// A process that was suspended for longer than its heartbeats would have been written records the gap. One that had nothing to write does not.
func TestSuspendedProcess(t *testing.T) {
	t.Parallel()
	dbtest.EachEngine(t, func(t *testing.T, url string) {
		store := dbtest.Open(t, url)
		c := new(replicaClock)
		c.set(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
		s := replica(store, c, testGrace)
		s.StartHeartbeat(t.Context())
		rotated := c.now()
		c.advance(time.Hour)
		s.beat(t.Context())
		if !s.canRepeat(rotated) {
			t.Error("a rotation before the suspension is not repeated")
		}
		c.advance(time.Hour)
		s.beat(t.Context())
		c.advance(time.Hour)
		s.writeBeat(t, false)
		if s.canRepeat(rotated) {
			t.Error("a rotation before a pause is repeated")
		}
	})
}

// Without a grace nothing depends on heartbeats, and none are sent.
func TestNoHeartbeatsWithoutAGrace(t *testing.T) {
	t.Parallel()
	s := replica(nil, new(replicaClock), 0)
	s.StartHeartbeat(t.Context())
	s.RunHeartbeat(t.Context())
}
