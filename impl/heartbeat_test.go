package impl

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/test/postgres"
)

// replicaClock is a clock that a test sets.
type replicaClock struct{ at atomic.Int64 }

func (c *replicaClock) now() time.Time          { return time.UnixMicro(c.at.Load()) }
func (c *replicaClock) set(to time.Time)        { c.at.Store(to.UnixMicro()) }
func (c *replicaClock) advance(d time.Duration) { c.at.Add(d.Microseconds()) }

// onEachDatabase runs a test on both engines.
func onEachDatabase(t *testing.T, test func(t *testing.T, url string)) {
	t.Helper()
	t.Parallel()
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		test(t, "sqlite:"+filepath.Join(t.TempDir(), "auth.db"))
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		test(t, postgres.URL(t))
	})
}

func openMigrated(t *testing.T, url string) *db.Store {
	t.Helper()
	store, err := db.Open(t.Context(), url)
	if err == nil {
		err = store.Migrate(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	return store
}

// replica is as much of a service as beats.
func replica(store *db.Store, c *replicaClock, grace time.Duration) *Service {
	return &Service{Store: store, Log: slog.New(slog.DiscardHandler), RefreshGrace: grace, Clock: c.now}
}

// beats writes a beat, the first one after a pause or one in a row.
func (s *Service) beats(t *testing.T, inARow bool) {
	t.Helper()
	s.heartbeat.noteRotation(s.Clock.Now())
	s.heartbeat.writing = inARow
	s.beat(t.Context())
}

// repeats reports whether a replica would repeat the answer of a rotation.
func (s *Service) repeats(rotated time.Time) bool {
	return inGrace(rotated, s.Clock.Now(), s.RefreshGrace, s.heartbeat.known(s.Clock.Now()))
}

const testGrace = 3 * time.Second

func TestAStartKnowsHowLongTheServiceWasAway(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, url string) {
		store := openMigrated(t, url)
		begin := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
		c := new(replicaClock)
		c.set(begin)
		replica(store, c, testGrace).StartHeartbeat(t.Context()) // the very first
		c.advance(time.Second)
		killed := replica(store, c, testGrace)
		killed.beats(t, true)
		last := c.now()

		// All replicas are away for a minute, and start one after another.
		c.advance(time.Minute)
		back := c.now()
		first := replica(store, c, testGrace)
		first.StartHeartbeat(t.Context())
		c.advance(time.Second)
		second := replica(store, c, testGrace)
		second.StartHeartbeat(t.Context())
		for name, s := range map[string]*Service{"first": first, "second": second} {
			if !s.repeats(last.Add(time.Second)) || !s.repeats(last.Add(time.Microsecond-testGrace)) {
				t.Errorf("%s: a rotation that the stop may have swallowed is not repeated", name)
			}
			if s.repeats(last.Add(-testGrace)) {
				t.Errorf("%s: a rotation from before that is repeated", name)
			}
		}
		c.set(back.Add(testGrace))
		if !first.repeats(last) || !second.repeats(last) {
			t.Error("not repeated until a grace after the start")
		}
		c.advance(time.Microsecond)
		if first.repeats(last) || second.repeats(last) {
			t.Error("repeated later than a grace after the start")
		}
	})
}

// Of two outages within one grace the first is not forgotten, not even by a replica that did not live then.
func TestTwoOutagesWithinOneGrace(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, url string) {
		store := openMigrated(t, url)
		c := new(replicaClock)
		c.set(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
		rotated := c.now()
		const grace = time.Minute
		replica(store, c, grace).StartHeartbeat(t.Context())
		c.advance(50 * time.Second)
		replica(store, c, grace).beats(t, true) // the first is from the rotation + 0 s until + 50 s
		for range 14 {                          // the second begins when the grace of the rotation is over
			c.advance(time.Second)
			replica(store, c, grace).beats(t, true)
		}
		c.advance(10 * time.Second)
		s := replica(store, c, grace)
		s.StartHeartbeat(t.Context())
		if got := s.heartbeat.known(s.Clock.Now()); len(got) != 2 {
			t.Fatalf("outages: %v", got)
		}
		if !s.repeats(rotated) {
			t.Error("the first outage is forgotten")
		}
	})
}

func TestBeatsRecordOutagesOnly(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, url string) {
		store := openMigrated(t, url)
		c := new(replicaClock)
		c.set(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
		s := replica(store, c, testGrace)
		outages := func() int { return len(s.heartbeat.known(s.Clock.Now())) }
		s.StartHeartbeat(t.Context())
		for range 5 {
			c.advance(beatMissed) // exactly so late is not too late
			s.beats(t, true)
		}
		if outages() != 0 {
			t.Errorf("beats in time are an outage: %v", s.heartbeat.known(s.Clock.Now()))
		}
		c.advance(time.Hour)
		s.beats(t, false)
		if outages() != 0 {
			t.Errorf("a pause is an outage: %v", s.heartbeat.known(s.Clock.Now()))
		}
		c.advance(-10 * time.Minute)
		s.beats(t, true)
		c.advance(10 * time.Minute)
		s.beats(t, true)
		if outages() != 0 {
			t.Errorf("a clock that was set back for a while is an outage: %v", s.heartbeat.known(s.Clock.Now()))
		}
		c.advance(beatMissed + time.Microsecond)
		s.beats(t, true)
		if outages() != 1 {
			t.Error("a beat that is missing is no outage")
		}
		// A clock that was years ahead does not keep outages from being known for years.
		now := c.now()
		c.advance(10 * 365 * 24 * time.Hour)
		s.beats(t, false)
		c.set(now.Add(time.Minute))
		s.beats(t, true)
		c.advance(time.Minute)
		s.beats(t, true)
		if known := s.heartbeat.known(s.Clock.Now()); len(known) == 0 || !known[0].ended.Equal(c.now()) {
			t.Errorf("outages: %v", known)
		}
	})
}

func TestAReplicaKnowsItsOwnOutage(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, url string) {
		store := openMigrated(t, url)
		away := openMigrated(t, url)
		if err := away.Close(); err != nil { // what it is asked for is unavailable
			t.Fatal(err)
		}
		c := new(replicaClock)
		c.set(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
		s, other := replica(store, c, testGrace), replica(store, c, testGrace)
		s.StartHeartbeat(t.Context())
		c.advance(time.Second)
		gone := c.now()
		s.Store = away
		for range 60 {
			s.beats(t, true)
			other.beats(t, true) // so that the database records no gap
			c.advance(time.Second)
		}
		swallowed, before := gone.Add(time.Microsecond-beatEvery-testGrace), gone.Add(-beatEvery-testGrace)
		if !s.repeats(gone) || !s.repeats(swallowed) || s.repeats(before) {
			t.Error("while the outage lasts")
		}
		if other.repeats(gone) {
			t.Error("a replica that could reach the database repeats what it need not")
		}
		s.Store = store
		s.beats(t, true)
		c.advance(testGrace)
		if !s.repeats(gone) || !s.repeats(swallowed) || s.repeats(before) {
			t.Error("a grace after the outage")
		}
		c.advance(time.Microsecond)
		if s.repeats(gone) {
			t.Error("later than a grace after the outage")
		}
		s.beats(t, true)
		c.advance(time.Second)
		s.beats(t, true)
		if n := len(s.heartbeat.own); n != 0 {
			t.Errorf("%d outages are kept for ever", n)
		}
	})
}

// A beat without an answer is an outage before its deadline: the database may be back, and a client with it, earlier.
func TestABeatThatWaitsIsAnOutage(t *testing.T) {
	t.Parallel()
	c := new(replicaClock)
	c.set(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
	s := replica(nil, c, time.Second)
	rotated := c.now()
	c.advance(time.Second)
	s.heartbeat.askedAt.Store(c.now().UnixMicro())
	c.advance(beatEvery - time.Microsecond)
	if s.repeats(rotated) {
		t.Error("an outage at once")
	}
	c.advance(time.Microsecond)
	if !s.repeats(rotated) {
		t.Error("no outage")
	}
}

// What callers make of their own requests is no outage: deadlines that pass, before or while the database is asked, and hang-ups.
func TestCallersMakeNoOutage(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, url string) {
		store := openMigrated(t, url)
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
			gone, hangUp := context.WithCancel(t.Context())
			time.AfterFunc(d, hangUp)
			_ = store.Ping(gone)
			_ = store.InTx(gone, func(q *db.Queries) error {
				_, err := q.LastSessionID(gone)
				return err
			})
			hangUp()
		}
		for range 4 {
			c.advance(time.Second)
			s.beats(t, true)
		}
		if s.repeats(rotated) {
			t.Errorf("outages: %v", s.heartbeat.known(s.Clock.Now()))
		}
	})
}

// Beats write from a rotation of any replica until some seconds after its grace, and once more at the end of the process.
func TestBeatsFollowRotations(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, url string) {
		store := openMigrated(t, url)
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
			t.Error("a beat without a rotation")
		}
		s.heartbeat.noteRotation(c.now())
		s.beat(t.Context())
		if !written() {
			t.Error("no beat after a rotation")
		}
		other.beat(t.Context())
		for range (testGrace + beatLonger) / beatEvery {
			c.advance(beatEvery)
			other.beat(t.Context())
			if !written() {
				t.Error("no beat in the grace of another replica's rotation")
			}
		}
		c.advance(-time.Hour)
		other.beat(t.Context())
		if !other.heartbeat.writing {
			t.Error("no beat after the clock was set back")
		}
		c.advance(time.Hour + beatEvery)
		other.beat(t.Context()) // one more
		c.advance(beatEvery)
		other.beat(t.Context())
		if written() {
			t.Error("beats for ever")
		}
		if n := len(s.heartbeat.known(c.now())) + len(other.heartbeat.known(c.now())); n != 0 {
			t.Errorf("%d outages", n)
		}

		s.StartHeartbeat(t.Context())
		c.advance(beatEvery)
		ctx, stop := context.WithCancel(t.Context())
		stop()
		s.RunHeartbeat(ctx)
		if !written() {
			t.Error("no beat at the end")
		}
	})
}

// A process that was stopped for longer than its beats would have gone on notices it, and one that had nothing to write does not.
func TestAProcessThatWasStopped(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, url string) {
		store := openMigrated(t, url)
		c := new(replicaClock)
		c.set(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
		s := replica(store, c, testGrace)
		s.StartHeartbeat(t.Context())
		rotated := c.now()
		c.advance(time.Hour)
		s.beat(t.Context())
		if !s.repeats(rotated) {
			t.Error("the stop swallowed an answer")
		}
		c.advance(time.Hour)
		s.beat(t.Context())
		c.advance(time.Hour)
		s.beats(t, false)
		if s.repeats(rotated) {
			t.Error("a pause revives a token")
		}
	})
}

// Without a grace nothing depends on the beats, and there are none.
func TestNoBeatsWithoutAGrace(t *testing.T) {
	t.Parallel()
	s := replica(nil, new(replicaClock), 0)
	s.StartHeartbeat(t.Context())
	s.RunHeartbeat(t.Context())
}
