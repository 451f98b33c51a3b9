package mail

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/clock"
)

// updateBreaker reports the result of an attempt to the circuit breaker, and logs if the relay went down or came up. It returns the result,
// changed to a RelayError if the relay refuses every recipient: then it is a problem of the relay and not of the mail.
func (d *delivery) updateBreaker(ctx context.Context, result error) error {
	now := time.Now()
	if relayErr, ok := errors.AsType[*RelayError](result); ok {
		if d.breaker.recordRelayFailure(now) {
			d.logRelayDown(ctx, relayErr)
		}
		return result
	}
	record := d.breaker.recordAccepted
	if refused, ok := errors.AsType[*RefusedError](result); ok {
		if down, first := d.breaker.recordRefused(now, d.recipient, d.mail.ID); down {
			if first {
				d.logRelayDown(ctx, refused)
			}
			return &RelayError{Err: refused.Err, AfterRecipient: true}
		}
		record = d.breaker.recordReply
	} else if result != nil {
		record = d.breaker.recordReply
	}
	if wasDown, after := record(now); wasDown {
		d.Log.InfoContext(ctx, "mail.relay_up", "after", after.Round(time.Millisecond).String())
	}
	return result
}

func (d *delivery) logRelayDown(ctx context.Context, err error) {
	d.Log.WarnContext(ctx, "mail.relay_down", "error", redact(err, d.secrets...))
}

// rescheduleDelayed reschedules the mails that wait for a retry only because the relay had refused every recipient. They are spread over
// 10 s.
func (d *delivery) rescheduleDelayed(ctx context.Context) {
	const within = 10 * time.Second
	for _, id := range d.breaker.takeDelayed() {
		due := clock.Truncate(d.Clock.Now().Add(rand.N(within))) //nolint:gosec // no security depends on it
		err := d.Store.Write(ctx, func(q *db.Queries) error {
			_, err := q.RescheduleMailNow(ctx, db.RescheduleMailNowParams{DueAt: due, Now: due, ID: id})
			return err
		})
		if err != nil { // they are retried after their own delays
			return
		}
	}
}
