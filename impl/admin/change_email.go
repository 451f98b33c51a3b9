package admin

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/address"
	"github.com/financelime/authorization/impl/clock"
	"github.com/financelime/authorization/impl/emailchange"
	"github.com/financelime/authorization/impl/link"
)

var (
	// ErrAddress means that a text is no e-mail address.
	ErrAddress = errors.New("not an e-mail address")
	// ErrAddressTaken means that another user has the address, or can return to it.
	ErrAddressTaken = errors.New("the address belongs to another user, or to one who changed it within the last three days and can undo that")
	// ErrAddressUnchanged means that the user has the address.
	ErrAddressUnchanged = errors.New("the user has this address")
	// ErrNotActive means that the address of a user cannot be changed, because it is not confirmed or the user could not undo the change.
	ErrNotActive = errors.New("only the address of an active user can be changed: enable the user first, or delete the unconfirmed sign-up")
)

// ChangeEmail gives a user another address without confirmation, for users who have lost their mailbox. It ends all sessions, because
// someone else may have taken over the account; the password stays. The old address gets a link that undoes the change, unless an earlier
// change can still be undone.
func ChangeEmail(
	ctx context.Context, store *db.Store, keys link.Keys, id uuid.UUID, newAddress string, now time.Time,
) (changed db.Account, ended Ended, err error) {
	email, err := address.Normalize(newAddress)
	if err != nil {
		return changed, ended, ErrAddress
	}
	now = clock.Truncate(now)
	err = store.InTx(ctx, func(q *db.Queries) error {
		changed, err = q.LockAccount(ctx, id)
		switch {
		case errors.Is(err, db.ErrNotFound):
			return ErrNoUser
		case err != nil:
			return fmt.Errorf("lock the account: %w", err)
		case changed.DisabledAt != nil || changed.PendingUntil != nil:
			return ErrNotActive
		case changed.Email == email:
			return ErrAddressUnchanged
		}
		err = emailchange.Change(ctx, q, keys, changed, email, "user-email-"+uuid.NewString(), now)
		if errors.Is(err, emailchange.ErrTaken) {
			return ErrAddressTaken
		}
		if err != nil {
			return fmt.Errorf("change the address: %w", err)
		}
		changed.Email = email
		if ended.Sessions, err = q.DeleteAccountSessions(ctx, id); err != nil {
			return fmt.Errorf("end the sessions: %w", err)
		}
		return nil
	})
	return changed, ended, err
}
