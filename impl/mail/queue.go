package mail

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/financelime/authorization/db"
)

// queueEarly is by how much the clocks of replicas may differ, or one may be set back, before a mail that was just queued has to wait.
const queueEarly = time.Hour

// dueAtOnce returns the time at which a mail is due that is queued now: so long ago that it is due by the clock of every replica. The
// order of queueing is kept. Retries stand behind what was queued until an hour after them, which matters only to a queue that
// nobody gets through. How old a mail is, its created_at says.
func dueAtOnce(now time.Time) time.Time { return now.Add(-queueEarly) }

// Queue puts a mail into the outbox, in the transaction of what it tells of, and returns its id. A mail with a password has its
// number already: from NextPasswordNumber, in the same transaction.
func Queue(ctx context.Context, q *db.Queries, m db.InsertMailParams) (uuid.UUID, error) {
	m.ID = uuid.Must(uuid.NewV7()) // fails only where crypto/rand does, and that ends the process
	m.DueAt = dueAtOnce(m.Now)
	if err := q.InsertMail(ctx, m); err != nil {
		return uuid.Nil, fmt.Errorf("queue the %s mail: %w", m.Kind, err)
	}
	return m.ID, nil
}
