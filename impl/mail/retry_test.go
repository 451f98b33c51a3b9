package mail

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/financelime/authorization/db"
)

type busyError struct{}

func (busyError) Error() string             { return "busy" }
func (busyError) RetryAfter() time.Duration { return time.Second }

func TestNextAttempt(t *testing.T) {
	t.Parallel()
	failure := errors.New("421 try again later")
	spread := map[time.Duration]bool{}
	for attempts, longest := range map[int64]time.Duration{
		0: 10 * time.Second, 1: 10 * time.Second, 2: 20 * time.Second, 3: 40 * time.Second, 9: 2560 * time.Second,
		10: time.Hour, 11: time.Hour, 64: time.Hour, 1 << 40: time.Hour,
	} {
		for range 200 {
			delay := nextAttempt(db.Mail{CreatedAt: sampleDate, Attempts: attempts}, sampleDate, failure).Sub(sampleDate)
			if delay < longest/2 || delay > longest || delay < retryMin || delay > retryMax {
				t.Fatalf("attempt %d: again after %s, want %s to %s", attempts, delay, longest/2, longest)
			}
			spread[delay] = true
		}
	}
	if len(spread) < 500 {
		t.Errorf("only %d different delays", len(spread))
	}

	// The last attempt is at the end of the time, not after it.
	late := sampleDate.Add(giveUpAfter - time.Second)
	if got := nextAttempt(db.Mail{CreatedAt: sampleDate, Attempts: 30}, late, failure); !got.Equal(sampleDate.Add(giveUpAfter)) {
		t.Errorf("the last attempt is at %s", got)
	}
	// Our own trouble passes soon.
	for range 200 {
		got := nextAttempt(db.Mail{CreatedAt: sampleDate, Attempts: 9}, sampleDate, fmt.Errorf("hash: %w", busyError{}))
		if delay := got.Sub(sampleDate); delay < time.Second || delay > 2*time.Second {
			t.Fatalf("when busy: again after %s", delay)
		}
	}
}
