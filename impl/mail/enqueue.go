package mail

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/link"
)

// clockAllowance is by how much the clocks of replicas may differ, or one may be set back, before a new mail is delayed.
const clockAllowance = time.Hour

// dueImmediately returns the due time of a mail that is enqueued at now. It is in the past, so that the mail is due by the clock of every
// replica. Mails stay in the order in which they were enqueued. A retry comes after all mails enqueued within the hour after its due time.
// That delays it only if the queue is never empty. The age of a mail is counted from created_at.
func dueImmediately(now time.Time) time.Time { return now.Add(-clockAllowance) }

// Enqueue inserts a mail into the outbox and returns its ID. Call it in the transaction that causes the mail. A mail with a password
// must already have its number from NextPasswordNumber, called in the same transaction.
func Enqueue(ctx context.Context, q *db.Queries, m db.InsertMailParams) (uuid.UUID, error) {
	m.ID = uuid.Must(uuid.NewV7()) // fails only if crypto/rand fails, which ends the process
	m.DueAt = dueImmediately(m.Now)
	if err := q.InsertMail(ctx, m); err != nil {
		return uuid.Nil, fmt.Errorf("enqueue the %s mail: %w", m.Kind, err)
	}
	return m.ID, nil
}

// EnqueuePageLink creates a link that opens a page, which replaces an older one of the account for the same purpose, and enqueues a mail of
// the given kind with it. The ID and the hash of the key in row are ignored. It returns the ID of the link.
func EnqueuePageLink(
	ctx context.Context, q *db.Queries, keys link.Keys, row db.UpsertLinkParams, kind, requestID string,
) (id uuid.UUID, err error) {
	row.ID, row.KeyHash = keys.Create()
	if err := q.UpsertLink(ctx, row); err != nil {
		return row.ID, fmt.Errorf("store the link: %w", err)
	}
	_, err = Enqueue(ctx, q, db.InsertMailParams{
		AccountID: row.AccountID, Kind: kind, ConfirmationID: &row.ID, RequestID: requestID, Now: row.CreatedAt,
	})
	return row.ID, err
}
