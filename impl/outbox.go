package impl

import (
	"context"
	"fmt"

	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/caller"
)

// queueMail owes a mail to an account's address, in the transaction of what it tells of. The mail remembers the
// request that caused it: its link carries that request's name, and so does the click.
func queueMail(ctx context.Context, q *db.Queries, m db.InsertMailParams) error {
	m.ID = newID()
	m.RequestID = caller.FromContext(ctx).RequestID
	if err := q.InsertMail(ctx, m); err != nil {
		return fmt.Errorf("queue the %s mail: %w", m.Kind, err)
	}
	return nil
}
