package impl

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/invite"
)

// The rules for invites. A sign-up reserves a use of its invite, an unconfirmed account holds the reservation until it expires, and the
// confirmation (confirm_user_email.go) turns it into a use.

var (
	errInviteNotFound  = errors.New("no such invite")
	errInviteExhausted = errors.New("the invite is exhausted")
)

// exhaustedError is errInviteExhausted with the ID of the invite.
type exhaustedError struct{ inviteID uuid.UUID }

func (exhaustedError) Error() string { return errInviteExhausted.Error() }

func (exhaustedError) Unwrap() error { return errInviteExhausted }

// inviteUse is one use of an invite. The zero inviteUse is a sign-up without an invite.
type inviteUse struct {
	inviteID *uuid.UUID
	reserved int64 // used and reserved uses of the invite, including this one
}

// findInviteUse returns an available use of the invite and locks the invite's row, so that no other sign-up can reserve the same use. It
// fails with errInviteNotFound or an exhaustedError.
//
// Clocks: a clock that is 5 s ahead releases the use of an expired sign-up as much earlier; one that was set back holds it as much longer.
// In neither case is an invite used more often than allowed: ConsumeInvite decides that by the invite's row.
func (s *Service) findInviteUse(ctx context.Context, q *db.Queries, code string, now time.Time) (inviteUse, error) {
	if code == "" {
		return inviteUse{}, nil // invites are optional, and the client gave none
	}
	found, err := s.lockInvite(ctx, q, code, now)
	if err != nil {
		return inviteUse{}, err
	}
	reserved := found.Reserved
	if reserved >= found.MaxUses { // the column also counts sign-ups that have expired: count again
		pending, err := q.CountPendingSignUps(ctx, db.CountPendingSignUpsParams{InviteID: &found.ID, Now: &now})
		if err != nil {
			return inviteUse{}, fmt.Errorf("count the pending sign-ups of the invite: %w", err)
		}
		reserved = found.Uses + pending
	}
	if reserved >= found.MaxUses {
		return inviteUse{}, exhaustedError{found.ID}
	}
	return inviteUse{inviteID: &found.ID, reserved: reserved + 1}, nil
}

// lockInvite finds a valid invite and locks its row. Its code may be hashed under any of the service's secrets.
func (s *Service) lockInvite(ctx context.Context, q *db.Queries, code string, now time.Time) (found db.Invite, err error) {
	for _, hash := range invite.Hashes(s.Root, code) {
		found, err = q.LockInviteByCode(ctx, db.LockInviteByCodeParams{CodeHash: hash, Now: now})
		if err == nil {
			return found, nil
		}
		if !errors.Is(err, db.ErrNotFound) {
			return found, fmt.Errorf("lock the invite: %w", err)
		}
	}
	return found, errInviteNotFound
}
