package mail

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/google/uuid"

	"github.com/financelime/authorization/db"
)

// How long mails stay in the outbox that are done with, for people who look into what happened.
const (
	keepSent = 7 * 24 * time.Hour
	keepDead = 30 * 24 * time.Hour
)

const (
	// purgeBatch is how many rows one write forgets, so that none holds others up.
	purgeBatch = 500

	firstPurge = time.Minute
	purgeEvery = time.Hour
)

// keepHouse forgets old mails now and then, until ctx ends. Replicas need not agree about who does it.
func (w *Worker) keepHouse(ctx context.Context) {
	for next := firstPurge; ; next = purgeEvery {
		w.pause(ctx, next*9/10+rand.N(next/5), nil) //nolint:gosec // spreads load, guards nothing
		if ctx.Err() != nil {
			return
		}
		forgotten, err := w.purge(ctx)
		if err != nil && ctx.Err() == nil {
			w.Log.WarnContext(ctx, "mail.purge_failed", "error", clean(err))
		}
		if forgotten > 0 {
			w.Log.InfoContext(ctx, "mail.purged", "mails", forgotten)
		}
	}
}

// purge forgets the mails whose time is over, in batches, and counts them.
func (w *Worker) purge(ctx context.Context) (forgotten int64, err error) {
	now := w.now()
	sentBefore, deadBefore := now.Add(-keepSent), now.Add(-keepDead)
	for {
		done, err := w.Store.Read().ListDoneMails(ctx, db.ListDoneMailsParams{
			QueuedBefore: firstIDAt(sentBefore), SentBefore: &sentBefore, DeadBefore: &deadBefore, Most: purgeBatch,
		})
		if err != nil {
			return forgotten, fmt.Errorf("look for old mails: %w", err)
		}
		if len(done) == 0 {
			return forgotten, nil
		}
		var deleted int64
		err = w.Store.Write(ctx, func(q *db.Queries) (err error) {
			deleted, err = q.DeleteDoneMails(ctx, db.DeleteDoneMailsParams{
				First: done[0], Last: done[len(done)-1], SentBefore: &sentBefore, DeadBefore: &deadBefore,
			})
			return err
		})
		if err != nil {
			return forgotten, fmt.Errorf("forget old mails: %w", err)
		}
		forgotten += deleted
		if len(done) < purgeBatch {
			return forgotten, nil
		}
	}
}

// firstIDAt is not after any id that was made at t or later: ids are UUIDs of version 7, which begin with 48 bits of
// milliseconds (RFC 9562, section 5.7).
func firstIDAt(t time.Time) (id uuid.UUID) {
	binary.BigEndian.PutUint64(id[:8], uint64(t.UnixMilli())<<16)
	return id
}
