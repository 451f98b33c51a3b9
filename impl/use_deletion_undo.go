package impl

import (
	"context"
	"errors"

	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/userdata"
)

// useDeletionUndoLink restores an account that its owner has deleted, with the password that it had. It fails with db.ErrNotFound if the
// account is not closing: an operator has disabled it, and no link lifts that. The transaction of q has locked the account.
func useDeletionUndoLink(ctx context.Context, q *db.Queries, account db.Account) error {
	err := userdata.Restore(ctx, q, account.ID)
	if errors.Is(err, userdata.ErrNotClosing) {
		return db.ErrNotFound
	}
	return err
}
