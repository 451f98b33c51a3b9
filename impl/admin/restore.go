package admin

import (
	"context"
	"fmt"

	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/link"
)

// VoidAfterRestore takes away what was used up since a database's backup and would be good once more: all sessions, which it
// counts, and the links that reset a password. A sign-up's link stays: it leads to nothing but a mail to the address.
func VoidAfterRestore(ctx context.Context, store *db.Store) (ended int64, err error) {
	ended, err = EndAllSessions(ctx, store)
	if err != nil {
		return ended, err
	}
	if err := store.Write(ctx, func(q *db.Queries) error {
		_, err := q.DeleteConfirmationsByPurpose(ctx, string(link.PasswordReset))
		return err
	}); err != nil {
		return ended, fmt.Errorf("void the links: %w", err)
	}
	return ended, nil
}
