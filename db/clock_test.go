package db_test

import (
	"testing"
	"time"

	"github.com/financelime/authorization/db"
)

// The skew of a clock that is off is measured, whichever way; an idle database answers within a fraction of it.
func TestClockSkew(t *testing.T) {
	onBoth(t, func(t *testing.T, s *db.Store) {
		for _, offset := range []time.Duration{0, 5 * time.Second, -5 * time.Second, -10 * time.Minute} {
			began := time.Now()
			skew, known, err := s.ClockSkew(t.Context(), func() time.Time { return time.Now().Add(offset) })
			took := time.Since(began)
			must(t, err)
			if known != (s.Engine() == "postgres") {
				t.Fatalf("known: %t", known)
			}
			// Server and test share a machine, and so a clock.
			if known && (skew-offset).Abs() > took/2+time.Millisecond {
				t.Errorf("a clock that is off by %s is measured as %s, in %s", offset, skew, took)
			}
		}
	})
}

// A slow answer makes the measure less exact, by half of its time at the most.
func TestClockSkewOfASlowAnswer(t *testing.T) {
	onBoth(t, func(t *testing.T, s *db.Store) {
		calls := 0
		skew, known, err := s.ClockSkew(t.Context(), func() time.Time {
			calls++
			return time.Now().Add(time.Duration(calls-1) * time.Second) // as if the answer took a second more
		})
		must(t, err)
		if known && (skew < 400*time.Millisecond || skew > time.Second) {
			t.Errorf("measured as %s", skew)
		}
	})
}
