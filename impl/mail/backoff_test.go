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
	spread := map[time.Duration]bool{}
	for attempts, longest := range map[int64]time.Duration{
		0: 10 * time.Second, 1: 10 * time.Second, 2: 20 * time.Second, 3: 40 * time.Second, 9: 2560 * time.Second,
		10: time.Hour, 11: time.Hour, 64: time.Hour, 1 << 40: time.Hour,
	} {
		for range 200 {
			delay := nextAttempt(db.Mail{CreatedAt: sampleDate, Attempts: attempts}, sampleDate).Sub(sampleDate)
			if delay < longest/2 || delay > longest || delay < retryMin || delay > retryMax {
				t.Fatalf("attempt %d: retried after %s, want %s to %s", attempts, delay, longest/2, longest)
			}
			spread[delay] = true
		}
	}
	if len(spread) < 500 {
		t.Errorf("only %d different delays", len(spread))
	}

	// The last attempt is when the mail is a day old, not later.
	late := sampleDate.Add(giveUpAfter - time.Second)
	if got := nextAttempt(db.Mail{CreatedAt: sampleDate, Attempts: 30}, late); !got.Equal(sampleDate.Add(giveUpAfter)) {
		t.Errorf("the last attempt is at %s", got)
	}
}

func TestInfrastructureRetry(t *testing.T) {
	t.Parallel()
	m := db.Mail{CreatedAt: sampleDate, Attempts: 9}
	now := sampleDate.Add(time.Hour)
	refusal := errors.New("421 no")
	for name, c := range map[string]struct {
		err         error
		from, until time.Time // between these it is due again
	}{
		"relay":                        {fmt.Errorf("send: %w", &RelayError{Err: refusal}), dueImmediately(sampleDate), dueImmediately(sampleDate)},
		"relay that has the recipient": {&RelayError{Err: refusal, AfterRecipient: true}, now, now},
		"busy":                         {fmt.Errorf("hash: %w", busyError{}), now.Add(time.Second), now.Add(2 * time.Second)},
	} {
		for range 100 {
			due, is := infrastructureRetry(m, now, c.err)
			if !is || due.Before(c.from) || due.After(c.until) {
				t.Fatalf("%s: %t, due %s", name, is, due)
			}
		}
	}
	for _, err := range []error{refusal, permanent(refusal)} {
		if _, is := infrastructureRetry(m, now, err); is {
			t.Errorf("%v is counted as the relay's problem", err)
		}
	}
	if due, _ := infrastructureRetry(m, sampleDate.Add(giveUpAfter), busyError{}); !due.Equal(sampleDate.Add(giveUpAfter)) {
		t.Errorf("due too late: %s", due)
	}
}
