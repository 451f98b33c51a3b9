package mail

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/financelime/authorization/db"
)

// How long mails are kept after they were sent or failed permanently, for operators who investigate.
const (
	// SentRetention is also how long a mail is kept at least, whatever its result.
	SentRetention = 7 * 24 * time.Hour
	deadRetention = 30 * 24 * time.Hour
)

// DeleteOld deletes the mails whose retention has ended, and returns how many.
func DeleteOld(ctx context.Context, store *db.Store, now time.Time) (deleted int64, err error) {
	sentBefore, deadBefore := now.Add(-SentRetention), now.Add(-deadRetention)
	deleted, err = db.DeleteInBatches(ctx, store, uuid.Nil, func(q *db.Queries, after uuid.UUID) ([]uuid.UUID, error) {
		return q.ListOldMails(ctx, db.ListOldMailsParams{
			After: after, QueuedBefore: db.FirstIDAt(sentBefore), SentBefore: &sentBefore, DeadBefore: &deadBefore, MaxRows: db.BatchRows,
		})
	}, func(q *db.Queries, first, last uuid.UUID) (int64, error) {
		return q.DeleteOldMails(ctx, db.DeleteOldMailsParams{First: first, Last: last, SentBefore: &sentBefore, DeadBefore: &deadBefore})
	})
	if err != nil {
		return deleted, fmt.Errorf("delete old mails: %w", err)
	}
	return deleted, nil
}
