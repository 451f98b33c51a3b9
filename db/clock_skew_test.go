package db_test

import (
	"testing"
	"time"

	"github.com/financelime/authorization/db"
)

// ClockSkew measures the skew of a clock that is ahead or behind. An idle database responds within a fraction of the skew.
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
			// The server and the test have the same clock.
			if known && (skew-offset).Abs() > took/2+time.Millisecond {
				t.Errorf("a skew of %s is measured as %s, in %s", offset, skew, took)
			}
		}
	})
}

// The error is at most half of the round-trip time.
func TestClockSkewOfSlowResponse(t *testing.T) {
	onBoth(t, func(t *testing.T, s *db.Store) {
		calls := 0
		skew, known, err := s.ClockSkew(t.Context(), func() time.Time {
			calls++
			return time.Now().Add(time.Duration(calls-1) * time.Second) // as if the response took one second longer
		})
		must(t, err)
		if known && (skew < 400*time.Millisecond || skew > time.Second) {
			t.Errorf("measured as %s", skew)
		}
	})
}
