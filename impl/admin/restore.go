package admin

import (
	"context"
	"fmt"

	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/link"
)

// Voided counts what VoidAfterRestore ended, and what needs an operator's attention.
type Voided struct {
	Sessions int64 // ended
	Closing  int64 // users whose deletion will take place: those among them who have undone it since the backup cannot do so again
}

// VoidAfterRestore invalidates what may have been used since the backup was made, and would be valid again: it ends all sessions, and
// deletes links. Sign-up links stay valid: all they cause is that the owner of the address gets a password. It returns what it did so far
// also with an error.
func VoidAfterRestore(ctx context.Context, store *db.Store) (voided Voided, err error) {
	voided.Sessions, err = EndAllSessions(ctx, store)
	if err != nil {
		return voided, err
	}
	if err := store.InTx(ctx, func(q *db.Queries) (err error) {
		if _, err := q.DeleteConfirmationsByPurpose(ctx, string(link.PasswordReset)); err != nil {
			return err
		}
		if _, err := q.DeleteLinksExcept(ctx, string(link.SignUp)); err != nil {
			return err
		}
		voided.Closing, err = q.CountClosingAccounts(ctx)
		return err
	}); err != nil {
		return voided, fmt.Errorf("delete the links: %w", err)
	}
	return voided, nil
}
