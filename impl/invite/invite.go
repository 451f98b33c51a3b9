// Package invite creates invites and finds them by their code. The rules for sign-ups with an invite are in package impl, signup_invite.go.
package invite

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"regexp"
	"time"

	"github.com/google/uuid"

	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/clock"
	"github.com/financelime/authorization/impl/secret"
)

// ErrExists means that an invite with this code exists.
var ErrExists = errors.New("an invite with this code already exists")

// ErrInvalidCode means that a text is not an invite code as openapi.yaml defines it.
var ErrInvalidCode = errors.New("an invite code must have 1 to 64 printable ASCII characters and no spaces")

var validCode = regexp.MustCompile(`^[!-~]{1,64}$`)

// Options describe a new invite.
type Options struct {
	Code     string // generated if empty
	Uses     int64
	Lifetime time.Duration
}

// Create stores an invite and returns its code. The database contains only a keyed hash of the code.
func Create(ctx context.Context, store *db.Store, root secret.Root, o Options, now time.Time) (code string, err error) {
	if o.Code == "" {
		o.Code = rand.Text() // 130 bits, ASVS 11.5.1
	}
	if !validCode.MatchString(o.Code) {
		return "", ErrInvalidCode
	}
	id, err := uuid.NewV7()
	if err != nil {
		return "", fmt.Errorf("generate an ID: %w", err)
	}
	now = clock.Truncate(now)
	if _, err := Find(ctx, store.Read(), root, o.Code); err == nil {
		return "", ErrExists // perhaps hashed under the previous secret, so the unique index does not prevent it
	} else if !errors.Is(err, db.ErrNotFound) {
		return "", err
	}
	var stored int64
	err = store.Write(ctx, func(q *db.Queries) error {
		stored, err = q.InsertInvite(ctx, db.InsertInviteParams{
			ID: id, CodeHash: Hashes(root, o.Code)[0], MaxUses: o.Uses, CreatedAt: now, ExpiresAt: now.Add(o.Lifetime),
		})
		if err == nil && stored == 0 {
			return ErrExists // rolls the transaction back, with its audit event
		}
		return err
	})
	if errors.Is(err, ErrExists) {
		return "", ErrExists
	}
	if err != nil {
		return "", fmt.Errorf("store the invite: %w", err)
	}
	return o.Code, nil
}

// Find returns the invite with a code, or fails with db.ErrNotFound.
func Find(ctx context.Context, q *db.Queries, root secret.Root, code string) (found db.Invite, err error) {
	for _, hash := range Hashes(root, code) {
		if found, err = q.GetInviteByCode(ctx, hash); !errors.Is(err, db.ErrNotFound) {
			break
		}
	}
	if err != nil {
		return found, fmt.Errorf("find the invite: %w", err)
	}
	return found, nil
}

// Hashes returns the hashes under which the database may contain a code. They are keyed, so that a short code cannot be guessed from a
// stolen copy of the database. A new invite has the first hash; an older one may have been stored under a previous secret.
func Hashes(root secret.Root, code string) [][]byte {
	var hashes [][]byte
	for _, r := range root.All() {
		hashes = append(hashes, r.Hash("invite-code", []byte(code)))
	}
	return hashes
}
