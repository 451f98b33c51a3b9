package token

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/financelime/authorization/db"
)

// load reads the keys from the database and decrypts them. They are sorted by number.
func (k *Keys) load(ctx context.Context) ([]*signingKey, error) {
	rows, err := k.store.Read().ListSigningKeys(ctx)
	if err != nil {
		return nil, fmt.Errorf("read signing keys: %w", err)
	}
	current := k.current.Load()
	keys := make([]*signingKey, 0, len(rows))
	for _, row := range rows {
		// A key that this replica already has is not decrypted again, because the ID is a hash of the key. It is also used if it was
		// re-encrypted with a secret that this replica does not have.
		var opened signingKey
		if current != nil && current.byID[row.ID] != nil {
			opened = *current.byID[row.ID]
		}
		if !bytes.Equal(opened.sealed, row.Sealed) {
			switch decrypted, err := k.sealer.open(row); {
			case err == nil:
				opened = *decrypted
			case opened.id == "":
				return nil, err
			}
		}
		opened.number, opened.activeAt = row.Number, row.ActiveAt.UTC()
		keys = append(keys, &opened)
	}
	return keys, nil
}

// addNext creates the key after the newest. If several replicas do so at the same time, one succeeds and all use its key.
func (k *Keys) addNext(ctx context.Context, keys []*signingKey, activeAt time.Time) error {
	number := int64(1)
	if len(keys) > 0 {
		number = keys[len(keys)-1].number + 1
	}
	_, err := k.add(ctx, keys, number, activeAt)
	return err
}

// add creates the key with a number, unless that exists. keys are the existing ones.
func (k *Keys) add(ctx context.Context, keys []*signingKey, number int64, activeAt time.Time) (created bool, err error) {
	private, err := generate(k.cfg.Algorithm)
	if err != nil {
		return false, fmt.Errorf("create signing key: %w", err)
	}
	key, err := newKey(private)
	if err != nil {
		return false, fmt.Errorf("create signing key: %w", err)
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

// reseal re-encrypts keys that were encrypted with a secret that the first one replaces, so that the old secret can be removed.
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
			return fmt.Errorf("re-encrypt signing key: %w", err)
		}
		if rows > 0 { // otherwise another replica was faster
			old.sealed, old.sealedUnder, old.sealedBefore = sealed, 0, before
			k.log.InfoContext(ctx, "keys.resealed", "kid", old.id)
		}
	}
	return nil
}

// delete deletes an expired key from the database.
func (k *Keys) delete(ctx context.Context, old *signingKey) error {
	err := k.store.Write(ctx, func(q *db.Queries) error { return q.DeleteSigningKey(ctx, old.id) })
	if err != nil {
		return fmt.Errorf("delete signing key: %w", err)
	}
	k.log.InfoContext(ctx, "keys.retired", "kid", old.id)
	return nil
}

// Outdated reports whether what is encrypted with the secret at an index of the root's secrets must be encrypted anew with the first one, as the
// signing keys are: see sealer.outdated.
func (k *Keys) Outdated(ctx context.Context, index int) (bool, error) {
	keys, err := k.load(ctx)
	if err != nil {
		return false, err
	}
	return index != 0 && !k.sealer.replaced(index, 0, keys), nil
}
