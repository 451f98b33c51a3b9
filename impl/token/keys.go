package token

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/recovery"
	"github.com/financelime/authorization/impl/secret"
)

// The default periods of a signing key: it is published, then it signs, then it only verifies, then it is deleted.
const (
	// JWKSMaxAge is how long the published keys may be cached (Cache-Control: max-age).
	JWKSMaxAge = 5 * time.Minute
	// PublishAhead is how long before its first use a key is published. By then every replica has read it (RefreshInterval), and every
	// gateway has fetched it from a replica (JWKSMaxAge).
	PublishAhead = 20 * time.Minute
	// KeyLife is how long a key signs.
	KeyLife = 30 * 24 * time.Hour
	// RefreshInterval is how often a replica reads the keys from the database, and so how long a deleted key is still used.
	RefreshInterval = 10 * time.Second

	// reloadInterval limits how often tokens with unknown keys, which anybody can send, cause a database query.
	reloadInterval = 5 * time.Second
	reloadTimeout  = 10 * time.Second
)

// Keys has this replica's copy of the signing keys. The keys are stored in the database, encrypted. Each replica refreshes its copy
// regularly, so tokens are issued and verified without the database.
type Keys struct {
	store    *db.Store
	sealer   sealer
	cfg      Config
	log      *slog.Logger
	interval time.Duration

	current atomic.Pointer[keySet]
	readAt  atomic.Int64 // when current was read, in microseconds of Unix time

	// refreshLock is a mutex whose wait can be cancelled. It guards the fields below, and allows one read of the database at a time.
	refreshLock chan struct{}
	reloadedAt  time.Time
	reloadErr   error
}

// OpenKeys reads the signing keys. If there is none, it creates the first one.
func OpenKeys(ctx context.Context, store *db.Store, root secret.Root, cfg Config, log *slog.Logger) (*Keys, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	sealer, err := newSealer(root)
	if err != nil {
		return nil, err
	}
	k := &Keys{store: store, sealer: sealer, cfg: cfg, log: log, interval: cfg.refreshInterval(), refreshLock: make(chan struct{}, 1)}
	if err := k.refresh(ctx); err != nil {
		return nil, fmt.Errorf("open signing keys: %w", err)
	}
	return k, nil
}

// MaxAge returns how long the JWKS may be cached.
func (k *Keys) MaxAge() time.Duration { return k.cfg.JWKSMaxAge }

// JWKS returns the published set of keys (RFC 7517) and its strong entity tag. It contains every key that is not deleted, including the
// next one. The body is the same on every replica. Callers must not modify it.
func (k *Keys) JWKS() (body []byte, etag string) {
	set := k.current.Load()
	return set.jwks, set.etag
}

// Run refreshes and rotates the keys until ctx ends.
func (k *Keys) Run(ctx context.Context) {
	ticker := time.NewTicker(k.interval)
	defer ticker.Stop()
	failing := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		// The current keys can be used for a long time, so a failure is only logged and retried.
		err := k.tick(ctx)
		if err != nil && !failing && ctx.Err() == nil { // logged once for each outage
			k.log.ErrorContext(ctx, "keys.refresh_failed", "error", err)
		}
		failing = err != nil
	}
}

// tick is one refresh. A panic in it may end neither the service nor the rotation.
func (k *Keys) tick(ctx context.Context) (err error) {
	defer recovery.ToError(&err)
	ctx, cancel := context.WithTimeout(ctx, max(k.interval, reloadTimeout))
	defer cancel()
	return k.refresh(ctx)
}

// refresh reads the keys, creates the next one if it is due, and deletes the expired ones.
func (k *Keys) refresh(ctx context.Context) error {
	select {
	case k.refreshLock <- struct{}{}:
		defer func() { <-k.refreshLock }()
	case <-ctx.Done():
		return ctx.Err()
	}
	keys, err := k.load(ctx)
	if err != nil {
		return err
	}
	// If a following step fails, the keys that were read are used anyway.
	var added, deleted error
	resealed := k.reseal(ctx, keys)
	if activeAt, due := k.nextKey(keys); due {
		if added = k.addNext(ctx, keys, activeAt); added == nil {
			if keys, err = k.load(ctx); err != nil {
				return err
			}
		}
	}
	unexpired := k.unexpired(keys)
	for _, old := range keys[:len(keys)-len(unexpired)] {
		deleted = errors.Join(deleted, k.delete(ctx, old))
	}
	k.use(unexpired)
	return errors.Join(resealed, added, deleted)
}

// use replaces this replica's keys by those that were read. If none were read, the replica continues with the keys that it has.
func (k *Keys) use(keys []*signingKey) {
	if len(keys) > 0 {
		k.current.Store(newKeySet(keys))
		k.readAt.Store(k.cfg.Clock.Now().UnixMicro())
	}
}

// nextKey reports whether a new key is due, and when it must begin to sign.
//
// Clocks: a replica whose clock is 5 s ahead creates the next key 5 s early. A replica whose clock is behind, or was set back by 10 min,
// still waits for the published key and creates none; the other replicas do. If a replica whose clock is behind creates a key, the
// others sign with it that much earlier after its publication: of PublishAhead (20 min) at least 10 min remain, and the JWKS is cached
// for 5 min.
func (k *Keys) nextKey(keys []*signingKey) (activeAt time.Time, due bool) {
	now := k.cfg.Clock.Now()
	if len(keys) == 0 {
		return now, true // no tokens exist, so the first key can sign immediately
	}
	newest := keys[len(keys)-1]
	activeAt = now.Add(k.cfg.publishAhead())
	if newest.activeAt.After(now) {
		// At most one unused key exists. So two replicas with different settings, as during a rolling change of the algorithm, create at
		// most one key in each PublishAhead.
		return activeAt, false
	}
	old := !activeAt.Before(newest.activeAt.Add(k.cfg.KeyLife))
	return activeAt, old || newest.algorithm != k.cfg.Algorithm
}

// retireAt returns when a key expires that successor replaced.
func (k *Keys) retireAt(successor *signingKey) time.Time {
	return successor.activeAt.Add(k.cfg.retireAfter())
}

// unexpired returns the keys that have not expired. A key expires when its successor has signed for retireAfter, so for longer than the
// lifetime of a token.
//
// Clocks: a replica whose clock is 5 s ahead deletes a key 5 s early, well within the margin of retireAfter. If the clock of a replica
// was set back by 10 min, its last tokens of the old key expire for all others before the key is deleted, because their lifetime counts
// from its clock.
func (k *Keys) unexpired(keys []*signingKey) []*signingKey {
	now := k.cfg.Clock.Now()
	for len(keys) > 1 && k.retireAt(keys[1]).Before(now) {
		keys = keys[1:]
	}
	return keys
}

// signing returns the key that signs now.
func (k *Keys) signing() *signingKey { return k.current.Load().signing(k.cfg.Clock.Now()) }
