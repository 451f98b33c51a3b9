package token

import (
	"bytes"
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

// The life of a signing key. It is published, then it signs, then it only verifies, then it is deleted. These are the
// defaults; a Config can have others.
const (
	// JWKSMaxAge is how long the published keys may be cached (Cache-Control: max-age).
	JWKSMaxAge = 5 * time.Minute
	// PublishAhead is how long before its first use a key is published. By then every replica has read it
	// (RefreshEvery), and every gateway has read it from a replica (JWKSMaxAge).
	PublishAhead = 20 * time.Minute
	// KeyLife is how long a key signs.
	KeyLife = 30 * 24 * time.Hour
	// RefreshEvery is how often a replica looks at the keys in the database. So long it takes until none uses a key
	// that was taken away.
	RefreshEvery = 10 * time.Second

	// reloadEvery bounds how often tokens with unknown keys, which anybody can send, make us ask the database.
	reloadEvery   = 5 * time.Second
	reloadTimeout = 10 * time.Second
)

// Keys are the signing keys, as this replica knows them. They live sealed in the database; each replica has a copy
// that it refreshes, so that tokens are made and checked without the database.
type Keys struct {
	store  *db.Store
	sealer sealer
	cfg    Config
	log    *slog.Logger
	every  time.Duration

	ring   atomic.Pointer[ring]
	readAt atomic.Int64 // when the ring was read last, in microseconds of Unix time

	// turn is a lock that one can stop waiting for; the rest belongs to whoever has it.
	turn       chan struct{}
	reloadedAt time.Time
	reloadErr  error
}

// OpenKeys reads the signing keys, and makes the first one when there is none.
func OpenKeys(ctx context.Context, store *db.Store, root secret.Root, cfg Config, log *slog.Logger) (*Keys, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	seals, err := newSealer(root)
	if err != nil {
		return nil, err
	}
	k := &Keys{store: store, sealer: seals, cfg: cfg, log: log, every: cfg.refreshEvery(), turn: make(chan struct{}, 1)}
	if err := k.refresh(ctx); err != nil {
		return nil, fmt.Errorf("open signing keys: %w", err)
	}
	return k, nil
}

// MaxAge is how long the JWKS may be cached.
func (k *Keys) MaxAge() time.Duration { return k.cfg.JWKSMaxAge }

// JWKS is the published set of keys (RFC 7517) and its strong entity tag: every key that is not deleted yet, the
// coming one included. The body is the same on every replica. It may not be changed.
func (k *Keys) JWKS() (body []byte, etag string) {
	r := k.ring.Load()
	return r.jwks, r.etag
}

// Run keeps the keys fresh and rotates them until ctx ends.
func (k *Keys) Run(ctx context.Context) {
	ticker := time.NewTicker(k.every)
	defer ticker.Stop()
	failing := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		// The keys that we have stay good for a long while, so a failure is tried again and nothing else happens.
		err := k.tick(ctx)
		if err != nil && !failing && ctx.Err() == nil { // once for an outage
			k.log.ErrorContext(ctx, "keys.refresh_failed", "error", err)
		}
		failing = err != nil
	}
}

// tick is one refresh. A panic in it may end neither the service nor the rotation.
func (k *Keys) tick(ctx context.Context) (err error) {
	defer recovery.ToError(&err)
	ctx, cancel := context.WithTimeout(ctx, max(k.every, reloadTimeout))
	defer cancel()
	return k.refresh(ctx)
}

// lookup finds a key to verify with; nil when there is none. For an unknown one it asks the database, because another
// replica may have made it, but not more often than every reloadEvery. An error means that it cannot be told.
func (k *Keys) lookup(ctx context.Context, id string) (*signingKey, error) {
	if found := k.ring.Load().byID[id]; found != nil {
		return found, nil
	}
	select {
	case k.turn <- struct{}{}:
		defer func() { <-k.turn }()
	case <-ctx.Done():
		return nil, notTold(ctx.Err())
	}
	if found := k.ring.Load().byID[id]; found != nil { // whoever was before us found it
		return found, nil
	}
	now := k.cfg.Clock.Now()
	if since := now.Sub(k.reloadedAt); since < 0 || since >= reloadEvery { // below zero: the clock was set back
		// The answer is for others too, so it does not end with the request that happened to ask.
		shared, cancel := context.WithTimeout(context.WithoutCancel(ctx), reloadTimeout)
		defer cancel()
		k.reloadErr = k.reload(shared)
		k.reloadedAt = k.cfg.Clock.Now() // whoever waited for it, however long, has this answer
	}
	if k.reloadErr != nil {
		return nil, notTold(fmt.Errorf("look for an unknown signing key: %w", k.reloadErr))
	}
	return k.ring.Load().byID[id], nil
}

// notTold is an error that is no verdict on a key: it is not known whether there is one.
func notTold(err error) error {
	if errors.Is(err, db.ErrUnavailable) {
		return err
	}
	return &db.UnavailableError{Cause: err}
}

// refresh reads the keys, makes the next one when it is time, and deletes those that nobody needs any more.
func (k *Keys) refresh(ctx context.Context) error {
	select {
	case k.turn <- struct{}{}:
		defer func() { <-k.turn }()
	case <-ctx.Done():
		return ctx.Err()
	}
	keys, err := k.load(ctx)
	if err != nil {
		return err
	}
	// The errors of what follows do not keep us from using what we have read.
	var added, deleted error
	resealed := k.reseal(ctx, keys)
	if activeAt, due := k.nextKey(keys); due {
		if added = k.addAfter(ctx, keys, activeAt); added == nil {
			if keys, err = k.load(ctx); err != nil {
				return err
			}
		}
	}
	kept := k.kept(keys)
	for _, old := range keys[:len(keys)-len(kept)] {
		deleted = errors.Join(deleted, k.delete(ctx, old))
	}
	k.use(kept)
	return errors.Join(resealed, added, deleted)
}

// reload only reads the keys.
func (k *Keys) reload(ctx context.Context) error {
	keys, err := k.load(ctx)
	if err != nil {
		return err
	}
	k.use(k.kept(keys))
	return nil
}

// use makes what was read the keys of this replica. None at all is no reason to forget those that it has.
func (k *Keys) use(keys []*signingKey) {
	if len(keys) > 0 {
		k.ring.Store(newRing(keys))
		k.readAt.Store(k.cfg.Clock.Now().UnixMicro())
	}
}

// load reads and opens the keys in the database, by number.
func (k *Keys) load(ctx context.Context) ([]*signingKey, error) {
	rows, err := k.store.Read().ListSigningKeys(ctx)
	if err != nil {
		return nil, fmt.Errorf("read signing keys: %w", err)
	}
	known := k.ring.Load()
	keys := make([]*signingKey, 0, len(rows))
	for _, row := range rows {
		// A key that we have opened already need not be opened again: its id is its content. Not even where it has been
		// sealed anew, under a secret that this replica does not have.
		var opened signingKey
		if known != nil && known.byID[row.ID] != nil {
			opened = *known.byID[row.ID]
		}
		if !bytes.Equal(opened.sealed, row.Sealed) {
			switch fresh, err := k.sealer.open(row); {
			case err == nil:
				opened = *fresh
			case opened.id == "":
				return nil, err
			}
		}
		opened.number, opened.activeAt = row.Number, row.ActiveAt.UTC()
		keys = append(keys, &opened)
	}
	return keys, nil
}

// nextKey tells whether a new key is due, and from when on it is to sign.
//
// Clocks: a replica that is 5 s ahead makes the next key 5 s early. One that is behind, or set back by 10 min, sees a key that is to come for
// as much longer and makes none; the others do. A key of a clock that is behind is published for as much less than it should be
// before it signs on the others: of PublishAhead, 20 min, at least 10 min remain, and a JWKS is cached for 5.
func (k *Keys) nextKey(keys []*signingKey) (activeAt time.Time, due bool) {
	now := k.cfg.Clock.Now()
	if len(keys) == 0 {
		return now, true // nobody can have a token of another key, so there is nothing to wait for
	}
	newest := keys[len(keys)-1]
	activeAt = now.Add(k.cfg.publishAhead())
	if newest.activeAt.After(now) {
		// One at a time: also two replicas whose settings disagree, as during a rolling change of the algorithm,
		// make no more than one key per PublishAhead.
		return activeAt, false
	}
	old := !activeAt.Before(newest.activeAt.Add(k.cfg.KeyLife))
	return activeAt, old || newest.algorithm != k.cfg.Algorithm
}

// addAfter makes the key after the newest. Of several replicas that do so at once one succeeds, and all use its key.
func (k *Keys) addAfter(ctx context.Context, keys []*signingKey, activeAt time.Time) error {
	number := int64(1)
	if len(keys) > 0 {
		number = keys[len(keys)-1].number + 1
	}
	_, err := k.add(ctx, keys, number, activeAt)
	return err
}

// add makes the key of a number, unless there is one. keys are those that there are.
func (k *Keys) add(ctx context.Context, keys []*signingKey, number int64, activeAt time.Time) (made bool, err error) {
	private, err := generate(k.cfg.Algorithm)
	if err != nil {
		return false, fmt.Errorf("make signing key: %w", err)
	}
	key, err := newKey(private)
	if err != nil {
		return false, fmt.Errorf("make signing key: %w", err)
	}
	sealed, err := k.sealer.seal(key)
	if err != nil {
		return false, err
	}
	var rows int64
	err = k.store.Write(ctx, func(q *db.Queries) (err error) {
		rows, err = q.InsertSigningKey(ctx, db.InsertSigningKeyParams{
			ID: key.id, Number: number, Algorithm: key.algorithm, Sealed: sealed, CreatedAt: k.cfg.Clock.Now(), ActiveAt: activeAt,
			PreviousSecretFingerprint: k.sealer.predecessor(keys),
		})
		return err
	})
	if err != nil {
		return false, fmt.Errorf("store signing key: %w", err)
	}
	if rows > 0 {
		k.log.InfoContext(ctx, "keys.created", "kid", key.id, "algorithm", key.algorithm, "active_at", activeAt)
	}
	return rows > 0, nil
}

// reseal seals keys anew that are sealed under a secret that ours replaces, so that the service can do without that one.
func (k *Keys) reseal(ctx context.Context, keys []*signingKey) error {
	for _, old := range keys {
		if !k.sealer.outdated(old, keys) {
			continue
		}
		sealed, err := k.sealer.seal(old)
		if err != nil {
			return err
		}
		before := k.sealer.secrets[old.sealedUnder].fingerprint
		var rows int64
		err = k.store.Write(ctx, func(q *db.Queries) (err error) {
			rows, err = q.ResealSigningKey(ctx, db.ResealSigningKeyParams{Sealed: sealed, PreviousSecretFingerprint: before, ID: old.id, OldSealed: old.sealed})
			return err
		})
		if err != nil {
			return fmt.Errorf("seal signing key anew: %w", err)
		}
		if rows > 0 { // or another replica did, and we shall read it
			old.sealed, old.sealedUnder, old.sealedBefore = sealed, 0, before
			k.log.InfoContext(ctx, "keys.resealed", "kid", old.id)
		}
	}
	return nil
}

// goesAt is when a key has had its time that another one replaced.
func (k *Keys) goesAt(successor *signingKey) time.Time {
	return successor.activeAt.Add(k.cfg.retireAfter())
}

// kept are the keys that are not retired: a key is when its successor has signed for as long as a token lives.
//
// Clocks: a replica that is 5 s ahead deletes a key 5 s early, well within the margin of retireAfter. Where one was set back by 10 min, its
// last tokens of the old key have expired for everybody else before the key is deleted, because their life counts from its clock.
func (k *Keys) kept(keys []*signingKey) []*signingKey {
	now := k.cfg.Clock.Now()
	for len(keys) > 1 && k.goesAt(keys[1]).Before(now) {
		keys = keys[1:]
	}
	return keys
}

func (k *Keys) delete(ctx context.Context, old *signingKey) error {
	err := k.store.Write(ctx, func(q *db.Queries) error { return q.DeleteSigningKey(ctx, old.id) })
	if err != nil {
		return fmt.Errorf("delete signing key: %w", err)
	}
	k.log.InfoContext(ctx, "keys.retired", "kid", old.id)
	return nil
}

// signing is the key that signs now.
func (k *Keys) signing() *signingKey { return k.ring.Load().signing(k.cfg.Clock.Now()) }
