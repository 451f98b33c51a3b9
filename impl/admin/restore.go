package admin

import (
	"context"
	"fmt"

	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/link"
)

// VoidAfterRestore invalidates what may have been used since the backup was made, and would be valid again: it ends all sessions, and
// deletes links that reset a password. It returns how many sessions it ended. Sign-up links stay valid: all they cause is a mail to the
// address.
func VoidAfterRestore(ctx context.Context, store *db.Store) (ended int64, err error) {
	ended, err = EndAllSessions(ctx, store)
	if err != nil {
		return ended, err
	}
	if err := store.Write(ctx, func(q *db.Queries) error {
		_, err := q.DeleteConfirmationsByPurpose(ctx, string(link.PasswordReset))
		return err
	}); err != nil {
		return ended, fmt.Errorf("delete the links: %w", err)
	}
	return ended, nil
}
