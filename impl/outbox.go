package impl

import (
	"context"

	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/mail"
	"github.com/financelime/authorization/impl/reqinfo"
)

// queueMail owes a mail to an account's address, in the transaction of what it tells of. The mail remembers the
// request that caused it: its link carries that request's name, and so does the click.
func queueMail(ctx context.Context, q *db.Queries, m db.InsertMailParams) error {
	m.RequestID = reqinfo.FromContext(ctx).RequestID
	_, err := mail.Enqueue(ctx, q, m)
	return err
}
