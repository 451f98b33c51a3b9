package token

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/financelime/authorization/db"
)

// The states of a signing key, in order.
const (
	StatePublished = "published" // in the JWKS, so that gateways have it before its first use
	StateSigning   = "signing"
	StateVerifying = "verifying" // some tokens that it signed are still valid
	StateExpired   = "expired"   // about to be deleted
)

// KeyInfo describes a signing key without its private half.
type KeyInfo struct {
	ID         string // kid
	Number     int64
	Algorithm  string
	State      string
	CreatedAt  time.Time
	ActiveFrom time.Time
	RetiresAt  time.Time // when it stops verifying; zero for the newest key
}

// ListKeys returns the signing keys in the database, by number. It needs no secret.
func ListKeys(ctx context.Context, store *db.Store, cfg Config) ([]KeyInfo, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	rows, err := store.Read().ListSigningKeys(ctx)
	if err != nil {
		return nil, fmt.Errorf("read signing keys: %w", err)
	}
	now := cfg.Clock.Now()
	keys := make([]KeyInfo, len(rows))
	signing := 0
	for i, row := range rows {
		keys[i] = KeyInfo{
			ID: row.ID, Number: row.Number, Algorithm: row.Algorithm, State: StatePublished,
			CreatedAt: row.CreatedAt.UTC(), ActiveFrom: row.ActiveAt.UTC(),
		}
		if !row.ActiveAt.After(now) {
			signing = i
		}
	}
	for i := range keys {
		if i+1 < len(keys) {
			keys[i].RetiresAt = keys[i+1].ActiveFrom.Add(cfg.retireAfter())
		}
		switch {
		case i == signing:
			keys[i].State = StateSigning
		case i < signing && keys[i].RetiresAt.Before(now):
			keys[i].State = StateExpired
		case i < signing:
			keys[i].State = StateVerifying
		}
	}
	return keys, nil
}

// Rotate publishes the next key, which begins to sign when every gateway has it. If a key is already published, Rotate returns that one
// and creates none.
//
// Clocks: an operator whose clock is 5 s ahead can create another key 5 s early. For an operator whose clock is behind, or was set back
// by 10 min, Rotate returns the key that already signs as one that is only published.
func (k *Keys) Rotate(ctx context.Context) (next KeyInfo, created bool, err error) {
	keys, err := ListKeys(ctx, k.store, k.cfg)
	if err != nil {
		return next, false, err
	}
	newest := keys[len(keys)-1]
	if newest.State == StatePublished {
		return newest, false, nil
	}
	return k.publishNext(ctx, newest)
}

// publishNext creates the key after newest. If several processes do so at the same time, one succeeds and all return its key.
func (k *Keys) publishNext(ctx context.Context, newest KeyInfo) (next KeyInfo, created bool, err error) {
	created, err = k.add(ctx, k.current.Load().keys, newest.Number+1, k.cfg.Clock.Now().Add(k.cfg.publishAhead()))
	if err != nil {
		return next, false, err
	}
	keys, err := ListKeys(ctx, k.store, k.cfg)
	if err != nil {
		return next, created, err
	}
	for _, key := range keys {
		if key.Number == newest.Number+1 {
			return key, created, nil
		}
	}
	return next, created, errReplaced
}

var errReplaced = errors.New("the new key was deleted: another process replaced all keys at the same time")

// ReplaceAll replaces all keys, because somebody else has them, by a new one. The tokens that they signed become invalid. The new key is
// published first, as always, and signs when every replica has had time to read it, so no token is signed by a key that some replica
// does not publish. published is called before that wait. If ReplaceAll is interrupted, all keys remain, and the new key is published
// as after Rotate.
func (k *Keys) ReplaceAll(ctx context.Context, published func(KeyInfo, time.Duration)) (signs KeyInfo, removed int64, err error) {
	keys, err := ListKeys(ctx, k.store, k.cfg)
	if err != nil {
		return signs, 0, err
	}
	// A key that is only published was stored beside the others, so it has leaked too.
	signs, _, err = k.publishNext(ctx, keys[len(keys)-1])
	if err != nil {
		return signs, 0, err
	}
	wait := k.cfg.refreshInterval() * 3 / 2 // one interval until a replica reads the keys, and half of one for the reading
	published(signs, wait)
	select {
	case <-ctx.Done():
		return signs, 0, fmt.Errorf("the new key is published, but the old ones were not deleted: %w", ctx.Err())
	case <-time.After(wait):
	}
	err = k.store.InTx(ctx, func(q *db.Queries) error {
		// Clocks: the operator's clock may be 5 s ahead of a replica's, or a replica's clock set back by 10 min. The key is not active
		// there yet, but it signs anyway, because it is the only one (keySet.signing).
		now := k.cfg.Clock.Now()
		if _, err := q.ActivateSigningKey(ctx, db.ActivateSigningKeyParams{Now: now, ID: signs.ID}); err != nil {
			return fmt.Errorf("activate the new key: %w", err)
		}
		removed, err = q.DeleteOlderSigningKeys(ctx, signs.Number)
		if err != nil {
			return fmt.Errorf("delete the old keys: %w", err)
		}
		signs.State, signs.ActiveFrom = StateSigning, now
		return nil
	})
	return signs, removed, err
}
