package mail

import (
	"context"
	"fmt"

	"github.com/google/uuid"

	"github.com/financelime/authorization/db"
)

// Queue puts a mail into the outbox, in the transaction of what it tells of, and returns its id. A mail with a password has its
// number already: from NextPasswordNumber, in the same transaction.
func Queue(ctx context.Context, q *db.Queries, m db.InsertMailParams) (uuid.UUID, error) {
	m.ID = uuid.Must(uuid.NewV7()) // fails only where crypto/rand does, and that ends the process
	m.DueAt = m.Now
	if err := q.InsertMail(ctx, m); err != nil {
		return uuid.Nil, fmt.Errorf("queue the %s mail: %w", m.Kind, err)
	}
	return m.ID, nil
}
