// Package invite makes invite codes and finds the rows that stand for them.
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

// ErrTaken says that an invite with this code exists.
var ErrTaken = errors.New("an invite with this code exists already")

// ErrCode says that a code can not be one: openapi.yaml allows 1 to 64 printable ASCII characters without spaces.
var ErrCode = errors.New("an invite code has 1 to 64 printable ASCII characters and no spaces")

var codes = regexp.MustCompile(`^[!-~]{1,64}$`)

// Options describe a new invite.
type Options struct {
	Code     string // made up if empty
	Uses     int64
	Lifetime time.Duration
}

// Create stores an invite and returns its code. The code is nowhere else: the database has a keyed hash of it.
func Create(ctx context.Context, store *db.Store, root secret.Root, o Options, now time.Time) (code string, err error) {
	if o.Code == "" {
		o.Code = rand.Text() // 130 bits, ASVS 11.5.1
	}
	if !codes.MatchString(o.Code) {
		return "", ErrCode
	}
	id, err := uuid.NewV7()
	if err != nil {
		return "", fmt.Errorf("make an id: %w", err)
	}
	now = clock.Truncate(now)
	if _, err := Find(ctx, store.Read(), root, o.Code); err == nil {
		return "", ErrTaken // perhaps under the secret before this one, which the database can not see
	} else if !errors.Is(err, db.ErrNotFound) {
		return "", err
	}
	var stored int64
	err = store.Write(ctx, func(q *db.Queries) error {
		stored, err = q.InsertInvite(ctx, db.InsertInviteParams{
			ID: id, CodeHash: Hashes(root, o.Code)[0], MaxUses: o.Uses, CreatedAt: now, ExpiresAt: now.Add(o.Lifetime),
		})
		if err == nil && stored == 0 {
			return ErrTaken // and nothing is recorded
		}
		return err
	})
	if errors.Is(err, ErrTaken) {
		return "", ErrTaken
	}
	if err != nil {
		return "", fmt.Errorf("store the invite: %w", err)
	}
	return o.Code, nil
}

// Find finds the invite of a code, or fails with db.ErrNotFound.
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

// Hashes are what the database may know of a code: keyed, so that a short code can not be tried out on a stolen copy. A
// new invite has the first; an older one may have been stored under another of the service's secrets.
func Hashes(root secret.Root, code string) [][]byte {
	var hashes [][]byte
	for _, r := range root.All() {
		hashes = append(hashes, r.Hash("invite-code", []byte(code)))
	}
	return hashes
}
