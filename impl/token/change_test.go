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

// The three steps of docs/keys.md: every replica knows both secrets, then every one writes with the new one, then the old
// one is gone. At each moment replicas of two neighbouring steps run side by side.
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
		t.Error("the first step seals anew")
	}
	steps = append(steps, openKeys(t, store, after.Accepting(before), cfg))
	if bytes.Equal(rows(t, store)[0].Sealed, sealed) {
		t.Error("the second step does not seal anew")
	}
	// The second step also makes a new key; those of the first must be able to read it.
	c.Advance(KeyLife)
	refreshKeys(t, steps[2], steps[1])
	if len(published(t, steps[1])) != 2 {
		t.Error("the new key of the second step is not read by the first")
	}
	refreshKeys(t, steps[2])
	if err := CheckSecret(t.Context(), store, after); err != nil {
		t.Errorf("the new secret alone: %v", err)
	}
	if err := CheckSecret(t.Context(), store, before); !errors.Is(err, ErrForeignSecret) {
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

// A replica that was left behind keeps what it has: it must not fail because others sealed the keys anew.
func TestReplicaWithTheOldSecretLivesOn(t *testing.T) {
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
	if _, err := OpenKeys(t.Context(), store, before, cfg, quiet()); !errors.Is(err, ErrForeignSecret) || !strings.Contains(err.Error(), "AUTH_SECRET_PREVIOUS") {
		t.Errorf("a new start with the old secret: %v", err)
	}
}

func TestCheckSecretBeforeTheFirstStart(t *testing.T) {
	t.Parallel()
	if err := CheckSecret(t.Context(), newStore(t), newRoot(t)); err != nil {
		t.Error(err)
	}
}

// changing is a service while its secret is changed. It counts how often keys are sealed anew.
type changing struct {
	store         *db.Store
	cfg           Config
	before, after secret.Root
	resealed      reseals
}

func newChanging(t testing.TB, store *db.Store, c *fakeclock.Clock) *changing {
	t.Helper()
	return &changing{store: store, cfg: newConfig(c), before: newRoot(t), after: newRoot(t), resealed: reseals{}}
}

// start starts a replica at a step of the change: 0 is before it.
func (c *changing) start(t testing.TB, step int) *Keys {
	t.Helper()
	root := []secret.Root{c.before, c.before.Accepting(c.after), c.after.Accepting(c.before), c.after}[step]
	k, err := OpenKeys(t.Context(), c.store, root, c.cfg, slog.New(c.resealed))
	if err != nil {
		t.Fatalf("start at step %d: %v", step, err)
	}
	return k
}

// sealedUnder checks that every key opens with one secret alone.
func (c *changing) sealedUnder(t testing.TB, root secret.Root, when string) {
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

// Step 1 and step 2 side by side: each key is sealed anew once, whichever step made it, also across restarts.
func TestSealsAreMadeOnce(t *testing.T) { onBoth(t, testSealsAreMadeOnce) }

func testSealsAreMadeOnce(t *testing.T, store *db.Store) {
	clk := fakeclock.New(start)
	c := newChanging(t, store, clk)
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
		case 5: // step 2 makes a key
			clk.Advance(KeyLife)
			look(two)
		case 8: // what is left of the first one is deleted
			clk.Advance(time.Hour)
		case 10:
			one, two = c.start(t, 1), c.start(t, 2)
		case 12: // step 1 makes a key
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
		t.Errorf("sealed anew: the first key %d times, that of step 2 %d, that of step 1 %d",
			c.resealed[first], c.resealed[ofTwo], c.resealed[ofOne])
	}
	if changes[first] != 0 || changes[ofTwo] != 0 || changes[ofOne] != 1 { // the first one's was before the first look
		t.Errorf("seals that changed: %v", changes)
	}
	c.sealedUnder(t, c.after, "in the end")
	refreshKeys(t, c.start(t, 3), two)
}

// Where the new secret comes on all replicas at once, or beside one that has only the old one, the end is the same.
func TestChangeWithoutTheFirstStep(t *testing.T) { onBoth(t, testChangeWithoutTheFirstStep) }

func testChangeWithoutTheFirstStep(t *testing.T, store *db.Store) {
	c := newChanging(t, store, fakeclock.New(start))
	old := c.start(t, 0)
	a, b := c.start(t, 2), c.start(t, 2)
	for range 5 {
		refreshKeys(t, old, a, b)
	}
	if n := c.resealed[old.signing().id]; n != 1 {
		t.Errorf("sealed anew %d times", n)
	}
	c.sealedUnder(t, c.after, "in the end")
	refreshKeys(t, c.start(t, 3))
}

// A change that is taken back loses no key. A new key ends the use of the new secret, and the change can be made again.
func TestChangeTakenBack(t *testing.T) { onBoth(t, testChangeTakenBack) }

func testChangeTakenBack(t *testing.T, store *db.Store) {
	clk := fakeclock.New(start)
	c := newChanging(t, store, clk)
	first := c.start(t, 0).signing().id
	one, two := c.start(t, 1), c.start(t, 2)
	refreshKeys(t, one, two)
	one, back := c.start(t, 1), c.start(t, 1)
	refreshKeys(t, one, back, one, back)
	if c.resealed[first] != 1 || one.signing().id != first || back.signing().id != first {
		t.Errorf("taken back: sealed anew %d times", c.resealed[first])
	}
	c.sealedUnder(t, c.after, "taken back")

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
		t.Errorf("sealed anew: %d and %d times", c.resealed[first], c.resealed[second.ID])
	}
	c.sealedUnder(t, c.after, "the second time")
}

// A key that step 2 makes before it could seal the others anew is not sealed under the old secret by step 1.
func TestNewKeyBeforeTheOthersAreSealedAnew(t *testing.T) { onBoth(t, testNewKeyBeforeTheOthers) }

func testNewKeyBeforeTheOthers(t *testing.T, store *db.Store) {
	c := newChanging(t, store, fakeclock.New(start))
	one := c.start(t, 0)
	seals, err := newSealer(c.after.Accepting(c.before))
	if err != nil {
		t.Fatal(err)
	}
	two := &Keys{store: store, sealer: seals, cfg: one.cfg, log: slog.New(c.resealed), turn: make(chan struct{}, 1)}
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
		t.Errorf("sealed anew: %v", c.resealed)
	}
	c.sealedUnder(t, c.after, "in the end")
}

// The version before replaces a seal and leaves what it was sealed under before as it is.
func TestChangeBesideTheVersionBefore(t *testing.T) { onBoth(t, testChangeBesideTheVersionBefore) }

func testChangeBesideTheVersionBefore(t *testing.T, store *db.Store) {
	c := newChanging(t, store, fakeclock.New(start))
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
		c.sealedUnder(t, c.after, "beside the version before")
	}
}
