package token

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/financelime/authorization/db"
)

// The states of a signing key, in the order of its life.
const (
	StatePublished = "published" // gateways get to know it
	StateSigning   = "signing"
	StateVerifying = "verifying" // tokens that it signed are still about
	StateExpired   = "expired"   // about to be deleted
)

// KeyInfo is what people may know of a signing key.
type KeyInfo struct {
	ID         string // kid
	Number     int64
	Algorithm  string
	State      string
	CreatedAt  time.Time
	ActiveFrom time.Time
	GoesAt     time.Time // zero while no other key has replaced it
}

// ListKeys tells of the signing keys in the database, by number. It needs no secret.
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
			keys[i].GoesAt = keys[i+1].ActiveFrom.Add(cfg.retireAfter())
		}
		switch {
		case i == signing:
			keys[i].State = StateSigning
		case i < signing && keys[i].GoesAt.Before(now):
			keys[i].State = StateExpired
		case i < signing:
			keys[i].State = StateVerifying
		}
	}
	return keys, nil
}

// Rotate publishes the next key, which signs once every gateway knows it. Where one is published already it makes none:
// the next one is then that.
//
// Clocks: an operator whose clock is 5 s ahead can make another key 5 s early; one whose clock is behind, or was set back by 10 min, is told
// of the key that signs already as of one that is to come.
func (k *Keys) Rotate(ctx context.Context) (next KeyInfo, made bool, err error) {
	keys, err := ListKeys(ctx, k.store, k.cfg)
	if err != nil {
		return next, false, err
	}
	newest := keys[len(keys)-1]
	if newest.State == StatePublished {
		return newest, false, nil
	}
	return k.follow(ctx, newest)
}

// follow makes the key after another one. Of several that do so at once one succeeds, and all get its key.
func (k *Keys) follow(ctx context.Context, newest KeyInfo) (next KeyInfo, made bool, err error) {
	made, err = k.add(ctx, k.ring.Load().keys, newest.Number+1, k.cfg.Clock.Now().Add(k.cfg.publishAhead()))
	if err != nil {
		return next, false, err
	}
	keys, err := ListKeys(ctx, k.store, k.cfg)
	if err != nil {
		return next, made, err
	}
	for _, key := range keys {
		if key.Number == newest.Number+1 {
			return key, made, nil
		}
	}
	return next, made, errReplaced
}

var errReplaced = errors.New("the new key is gone already: somebody replaced all keys at the same time")

// ReplaceAll takes all keys away, because they are known to somebody else, and lets a new one sign. Their tokens die with
// them. No token is ever signed by a key that a replica does not publish: the new one is published first, as always,
// and signs when every replica has had the time to read it; published hears of it, and that is what takes the time. When
// anything ends it halfway, the new key stays, as after Rotate, and so do the others.
func (k *Keys) ReplaceAll(ctx context.Context, published func(KeyInfo, time.Duration)) (signs KeyInfo, removed int64, err error) {
	keys, err := ListKeys(ctx, k.store, k.cfg)
	if err != nil {
		return signs, 0, err
	}
	// A key that is coming has lain beside the others, and is no better than they are.
	signs, _, err = k.follow(ctx, keys[len(keys)-1])
	if err != nil {
		return signs, 0, err
	}
	wait := k.cfg.refreshEvery() * 3 / 2 // a replica reads them within the one, and has half as much for the reading
	published(signs, wait)
	select {
	case <-ctx.Done():
		return signs, 0, fmt.Errorf("the new key is only published, and the old ones are still there: %w", ctx.Err())
	case <-time.After(wait):
	}
	err = k.store.InTx(ctx, func(q *db.Queries) error {
		// Clocks: the operator's may be 5 s ahead of a replica's, or the replica's set back by 10 min, so that the key is not active there
		// yet. It is the only one, so it signs all the same (ring.signing).
		now := k.cfg.Clock.Now()
		if _, err := q.ActivateSigningKey(ctx, db.ActivateSigningKeyParams{Now: now, ID: signs.ID}); err != nil {
			return fmt.Errorf("let the new key sign: %w", err)
		}
		removed, err = q.DeleteOlderSigningKeys(ctx, signs.Number)
		if err != nil {
			return fmt.Errorf("take the old keys away: %w", err)
		}
		signs.State, signs.ActiveFrom = StateSigning, now
		return nil
	})
	return signs, removed, err
}
