package mail

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/financelime/authorization/db"
)

// How long mails stay in the outbox that are done with, for people who look into what happened.
const (
	keepSent = 7 * 24 * time.Hour
	keepDead = 30 * 24 * time.Hour
)

// cleanBatch is how many rows one write forgets, so that none holds others up.
const cleanBatch = 500

// Clean forgets the mails whose time is over, in batches, and counts them.
func Clean(ctx context.Context, store *db.Store, now time.Time) (forgotten int64, err error) {
	sentBefore, deadBefore := now.Add(-keepSent), now.Add(-keepDead)
	var after uuid.UUID // each batch begins where the last one ended
	for {
		done, err := store.Read().ListOldMails(ctx, db.ListOldMailsParams{
			After: after, QueuedBefore: db.FirstIDAt(sentBefore), SentBefore: &sentBefore, DeadBefore: &deadBefore, MaxRows: cleanBatch,
		})
		if err != nil {
			return forgotten, fmt.Errorf("look for old mails: %w", err)
		}
		if len(done) == 0 {
			return forgotten, nil
		}
		var deleted int64
		err = store.Write(ctx, func(q *db.Queries) (err error) {
			deleted, err = q.DeleteOldMails(ctx, db.DeleteOldMailsParams{
				First: done[0], Last: done[len(done)-1], SentBefore: &sentBefore, DeadBefore: &deadBefore,
			})
			return err
		})
		if err != nil {
			return forgotten, fmt.Errorf("forget old mails: %w", err)
		}
		forgotten += deleted
		after = done[len(done)-1]
		if len(done) < cleanBatch {
			return forgotten, nil
		}
	}
}
