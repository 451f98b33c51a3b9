package token

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/secret"
	"github.com/financelime/authorization/test/fakeclock"
)

// TestChangeOfTheSecret makes the three steps of docs/keys.md: every replica accepts both secrets, then every one uses the new one, then
// the old one is removed. Replicas of two consecutive steps run at the same time.
func TestChangeOfTheSecret(t *testing.T) { onBoth(t, testChangeOfTheSecret) }

func testChangeOfTheSecret(t *testing.T, store *db.Store) {
	c, before, after := fakeclock.New(start), newRoot(t), newRoot(t)
	cfg := newConfig(c)
	steps := []*Keys{openKeys(t, store, before, cfg)}
	sealed := rows(t, store)[0].Sealed
	old := newRefresh(t, before, cfg)
	session, at := uuid.New(), c.Now()
	token := mustToken(t, old, session, 1, at)

	steps = append(steps, openKeys(t, store, before.Accepting(after), cfg))
	if !bytes.Equal(rows(t, store)[0].Sealed, sealed) {
		t.Error("the first step re-encrypts the key")
	}
	steps = append(steps, openKeys(t, store, after.Accepting(before), cfg))
	if bytes.Equal(rows(t, store)[0].Sealed, sealed) {
		t.Error("the second step does not re-encrypt the key")
	}
	// The second step also creates a key. Replicas of the first step must be able to read it.
	c.Advance(KeyLife)
	refreshKeys(t, steps[2], steps[1])
	if len(published(t, steps[1])) != 2 {
		t.Error("the new key of the second step is not read by the first")
	}
	refreshKeys(t, steps[2])
	if err := CheckSecret(t.Context(), store, after); err != nil {
		t.Errorf("the new secret alone: %v", err)
	}
	if err := CheckSecret(t.Context(), store, before); !errors.Is(err, ErrWrongSecret) {
		t.Errorf("the old secret alone: %v", err)
	}
	steps = append(steps, openKeys(t, store, after, cfg))
	refreshKeys(t, steps[2], steps[3], steps[2])

	both, alone := newRefresh(t, after.Accepting(before), cfg), newRefresh(t, after, cfg)
	c.Advance(-KeyLife)
	want := RefreshClaims{session, 1}
	for name, r := range map[string]*Refresh{"step 1": newRefresh(t, before.Accepting(after), cfg), "step 2": both} {
		for made, token := range map[string]string{"old": token, "new": mustToken(t, both, session, 1, at)} {
			if got, err := r.Parse(token); err != nil || got != want {
				t.Errorf("%s: a token of the %s secret: %+v, %v", name, made, got, err)
			}
		}
	}
	if _, err := alone.Parse(token); !errors.Is(err, ErrInvalid) {
		t.Errorf("step 3: a token of the old secret: %v", err)
	}
	if _, err := alone.Parse(mustToken(t, both, session, 1, at)); err != nil {
		t.Errorf("step 3: a token of step 2: %v", err)
	}
	if _, err := both.Parse(mustToken(t, newRefresh(t, newRoot(t), cfg), session, 1, at)); !errors.Is(err, ErrInvalid) {
		t.Errorf("a token of a third secret: %v", err)
	}
}

// TestReplicaWithTheOldSecretKeepsItsKeys checks that a replica that only has the old secret does not fail when others re-encrypt the
// keys.
func TestReplicaWithTheOldSecretKeepsItsKeys(t *testing.T) {
	t.Parallel()
	c, store, before, after := fakeclock.New(start), newStore(t), newRoot(t), newRoot(t)
	cfg := newConfig(c)
	old := openKeys(t, store, before, cfg)
	openKeys(t, store, after.Accepting(before), cfg)
	refreshKeys(t, old, old)
	if len(published(t, old)) != 1 {
		t.Error("it lost the key")
	}
	c.Advance(time.Minute)
	if _, err := OpenKeys(t.Context(), store, before, cfg, quiet()); !errors.Is(err, ErrWrongSecret) || !strings.Contains(err.Error(), "AUTH_SECRET_PREVIOUS") {
		t.Errorf("a new start with the old secret: %v", err)
	}
}

// TestCheckSecretWithoutKeys checks that a database without keys accepts any secret.
func TestCheckSecretWithoutKeys(t *testing.T) {
	t.Parallel()
	if err := CheckSecret(t.Context(), newStore(t), newRoot(t)); err != nil {
		t.Error(err)
	}
}

// secretChange is a service whose secret is being changed. It counts how often keys are re-encrypted.
type secretChange struct {
	store         *db.Store
	cfg           Config
	before, after secret.Root
	resealed      reseals
}

func newSecretChange(t testing.TB, store *db.Store, c *fakeclock.Clock) *secretChange {
	t.Helper()
	return &secretChange{store: store, cfg: newConfig(c), before: newRoot(t), after: newRoot(t), resealed: reseals{}}
}

// start starts a replica at a step of the change. Step 0 is before the change.
func (c *secretChange) start(t testing.TB, step int) *Keys {
	t.Helper()
	root := []secret.Root{c.before, c.before.Accepting(c.after), c.after.Accepting(c.before), c.after}[step]
	k, err := OpenKeys(t.Context(), c.store, root, c.cfg, slog.New(c.resealed))
	if err != nil {
		t.Fatalf("start at step %d: %v", step, err)
	}
	return k
}

// sealedUnder checks that every key can be decrypted with one secret alone.
func (c *secretChange) sealedUnder(t testing.TB, root secret.Root, when string) {
	t.Helper()
	if err := CheckSecret(t.Context(), c.store, root); err != nil {
		t.Errorf("%s: %v", when, err)
	}
}

// reseals counts the events keys.resealed by kid.
type reseals map[string]int

func (r reseals) Enabled(context.Context, slog.Level) bool { return true }
func (r reseals) WithAttrs([]slog.Attr) slog.Handler       { return r }
func (r reseals) WithGroup(string) slog.Handler            { return r }
func (r reseals) Handle(_ context.Context, record slog.Record) error {
	record.Attrs(func(a slog.Attr) bool {
		if record.Message == "keys.resealed" && a.Key == "kid" {
			r[a.Value.String()]++
		}
		return true
	})
	return nil
}

// TestKeysAreReencryptedOnce checks that, while replicas of steps 1 and 2 run at the same time, each key is re-encrypted once, whichever
// step created it, even across restarts.
func TestKeysAreReencryptedOnce(t *testing.T) { onBoth(t, testKeysAreReencryptedOnce) }

func testKeysAreReencryptedOnce(t *testing.T, store *db.Store) {
	clk := fakeclock.New(start)
	c := newSecretChange(t, store, clk)
	first := c.start(t, 0).signing().id
	one, two := c.start(t, 1), c.start(t, 2)
	changes, seals := map[string]int{}, map[string][]byte{}
	look := func(keys ...*Keys) {
		t.Helper()
		for _, k := range keys {
			refreshKeys(t, k)
			for _, row := range rows(t, store) {
				if seals[row.ID] != nil && !bytes.Equal(seals[row.ID], row.Sealed) {
					changes[row.ID]++
				}
				seals[row.ID] = row.Sealed
			}
		}
	}
	for round := range 20 {
		switch round {
		case 5: // step 2 creates a key
			clk.Advance(KeyLife)
			look(two)
		case 8: // the first key is deleted
			clk.Advance(time.Hour)
		case 10:
			one, two = c.start(t, 1), c.start(t, 2)
		case 12: // step 1 creates a key
			clk.Advance(KeyLife)
		case 15:
			two, one = c.start(t, 2), c.start(t, 1)
		}
		look(one, two)
	}
	made := rows(t, store)
	if len(made) != 2 || made[0].ID == first {
		t.Fatalf("%d keys", len(made))
	}
	ofTwo, ofOne := made[0].ID, made[1].ID
	if c.resealed[first] != 1 || c.resealed[ofTwo] != 0 || c.resealed[ofOne] != 1 {
		t.Errorf("re-encrypted: the first key %d times, that of step 2 %d, that of step 1 %d",
			c.resealed[first], c.resealed[ofTwo], c.resealed[ofOne])
	}
	if changes[first] != 0 || changes[ofTwo] != 0 || changes[ofOne] != 1 { // the first key was re-encrypted before the first check
		t.Errorf("ciphertexts that changed: %v", changes)
	}
	c.sealedUnder(t, c.after, "in the end")
	refreshKeys(t, c.start(t, 3), two)
}

// TestChangeWithoutTheFirstStep checks that the result is the same if all replicas get the new secret at the same time, or while one only
// has the old secret.
func TestChangeWithoutTheFirstStep(t *testing.T) { onBoth(t, testChangeWithoutTheFirstStep) }

func testChangeWithoutTheFirstStep(t *testing.T, store *db.Store) {
	c := newSecretChange(t, store, fakeclock.New(start))
	old := c.start(t, 0)
	a, b := c.start(t, 2), c.start(t, 2)
	for range 5 {
		refreshKeys(t, old, a, b)
	}
	if n := c.resealed[old.signing().id]; n != 1 {
		t.Errorf("re-encrypted %d times", n)
	}
	c.sealedUnder(t, c.after, "in the end")
	refreshKeys(t, c.start(t, 3))
}

// TestChangeUndone checks that undoing a change loses no key, that a new key ends the use of the new secret, and that the change can be
// made again.
func TestChangeUndone(t *testing.T) { onBoth(t, testChangeUndone) }

func testChangeUndone(t *testing.T, store *db.Store) {
	clk := fakeclock.New(start)
	c := newSecretChange(t, store, clk)
	first := c.start(t, 0).signing().id
	one, two := c.start(t, 1), c.start(t, 2)
	refreshKeys(t, one, two)
	one, back := c.start(t, 1), c.start(t, 1)
	refreshKeys(t, one, back, one, back)
	if c.resealed[first] != 1 || one.signing().id != first || back.signing().id != first {
		t.Errorf("undone: re-encrypted %d times", c.resealed[first])
	}
	c.sealedUnder(t, c.after, "undone")

	second, made, err := back.Rotate(t.Context())
	if err != nil || !made {
		t.Fatal(made, err)
	}
	refreshKeys(t, one, back)
	clk.Advance(PublishAhead + time.Hour)
	refreshKeys(t, one, back)
	c.sealedUnder(t, c.before, "after a rotation")
	refreshKeys(t, c.start(t, 0))

	for range 3 {
		refreshKeys(t, c.start(t, 2), c.start(t, 1))
	}
	if c.resealed[first] != 1 || c.resealed[second.ID] != 1 {
		t.Errorf("re-encrypted: %d and %d times", c.resealed[first], c.resealed[second.ID])
	}
	c.sealedUnder(t, c.after, "the second time")
}

// TestNewKeyBeforeReencryption checks that step 1 does not encrypt a key with the old secret that step 2 created before it re-encrypted
// the others.
func TestNewKeyBeforeReencryption(t *testing.T) { onBoth(t, testNewKeyBeforeReencryption) }

func testNewKeyBeforeReencryption(t *testing.T, store *db.Store) {
	c := newSecretChange(t, store, fakeclock.New(start))
	one := c.start(t, 0)
	sealer, err := newSealer(c.after.Accepting(c.before))
	if err != nil {
		t.Fatal(err)
	}
	two := &Keys{store: store, sealer: sealer, cfg: one.cfg, log: slog.New(c.resealed), refreshLock: make(chan struct{}, 1)}
	keys, err := two.load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := two.add(t.Context(), keys, keys[0].number+1, c.cfg.Clock.Now()); err != nil {
		t.Fatal(err)
	}
	refreshKeys(t, c.start(t, 1), two, c.start(t, 1), two)
	list := rows(t, store)
	if c.resealed[list[0].ID] != 1 || c.resealed[list[1].ID] != 0 {
		t.Errorf("re-encrypted: %v", c.resealed)
	}
	c.sealedUnder(t, c.after, "in the end")
}

// TestChangeBesideThePreviousVersion checks a change while the previous version runs, which re-encrypts a key without updating the
// fingerprint of the secret before.
func TestChangeBesideThePreviousVersion(t *testing.T) { onBoth(t, testChangeBesideThePreviousVersion) }

func testChangeBesideThePreviousVersion(t *testing.T, store *db.Store) {
	c := newSecretChange(t, store, fakeclock.New(start))
	key := c.start(t, 0).signing()
	two := c.start(t, 2)
	old, err := newSealer(c.before)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		was := rows(t, store)[0]
		sealed, err := old.seal(key)
		if err != nil {
			t.Fatal(err)
		}
		if err := store.Write(t.Context(), func(q *db.Queries) error {
			_, err := q.ResealSigningKey(t.Context(), db.ResealSigningKeyParams{
				Sealed: sealed, PreviousSecretFingerprint: was.PreviousSecretFingerprint, ID: was.ID, OldSealed: was.Sealed,
			})
			return err
		}); err != nil {
			t.Fatal(err)
		}
		refreshKeys(t, c.start(t, 1), two)
		c.sealedUnder(t, c.after, "beside the previous version")
	}
}
