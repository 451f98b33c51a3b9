package token

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/test/fakeclock"
)

// shortPeriods returns a configuration whose periods are short enough for a test to wait.
func shortPeriods(c *fakeclock.Clock) Config {
	cfg := newConfig(c)
	cfg.JWKSMaxAge = time.Second
	return cfg
}

func listKeys(t testing.TB, store *db.Store, cfg Config) []KeyInfo {
	t.Helper()
	keys, err := ListKeys(t.Context(), store, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

func states(t testing.TB, store *db.Store, cfg Config) []string {
	t.Helper()
	var all []string
	for _, k := range listKeys(t, store, cfg) {
		all = append(all, k.State)
	}
	return all
}

// TestKeyStates checks the states of a key from its publication to its end.
func TestKeyStates(t *testing.T) { onBoth(t, testKeyStates) }

func testKeyStates(t *testing.T, store *db.Store) {
	c, root := fakeclock.New(start), newRoot(t)
	cfg := newConfig(c)
	if len(listKeys(t, store, cfg)) != 0 {
		t.Error("keys before the first start")
	}
	keys := openKeys(t, store, root, cfg)
	first := listKeys(t, store, cfg)[0]
	if first.ID != keys.signing().id || first.State != StateSigning || first.Number != 1 || !first.RetiresAt.IsZero() || first.Algorithm != ES256 {
		t.Errorf("the first key: %+v", first)
	}

	next, made, err := keys.Rotate(t.Context())
	if err != nil || !made {
		t.Fatalf("%+v, %t, %v", next, made, err)
	}
	again, made, err := keys.Rotate(t.Context())
	if err != nil || made || again != next {
		t.Errorf("a second time: %+v, %t, %v", again, made, err)
	}
	want := c.Now().Add(PublishAhead).Truncate(time.Microsecond)
	if next.Number != 2 || next.State != StatePublished || !next.ActiveFrom.Equal(want) {
		t.Errorf("the next key: %+v", next)
	}
	first = listKeys(t, store, cfg)[0]
	if want := next.ActiveFrom.Add(cfg.AccessTTL + 2*leeway + JWKSMaxAge); !first.RetiresAt.Equal(want) {
		t.Errorf("the first key retires at %s, not %s", first.RetiresAt, want)
	}
	for _, step := range []struct {
		after time.Duration
		want  []string
	}{
		{PublishAhead - time.Microsecond, []string{StateSigning, StatePublished}},
		{time.Microsecond, []string{StateVerifying, StateSigning}},
		{cfg.AccessTTL + 2*leeway + JWKSMaxAge, []string{StateVerifying, StateSigning}},
		{time.Microsecond, []string{StateExpired, StateSigning}},
	} {
		c.Advance(step.after)
		if got := states(t, store, cfg); !slices.Equal(got, step.want) {
			t.Errorf("got %v, want %v", got, step.want)
		}
	}
	refreshKeys(t, keys)
	if got := states(t, store, cfg); !slices.Equal(got, []string{StateSigning}) {
		t.Errorf("at the end %v", got)
	}
	if _, err := ListKeys(t.Context(), store, Config{}); err == nil {
		t.Error("an empty Config was accepted")
	}
}

// TestRotateRace checks that operators and replicas that rotate at the same time create one key.
func TestRotateRace(t *testing.T) { onBoth(t, testRotateRace) }

func testRotateRace(t *testing.T, store *db.Store) {
	c, root := fakeclock.New(start), newRoot(t)
	cfg := newConfig(c)
	const replicas = 8
	keys := make([]*Keys, replicas)
	for i := range keys {
		keys[i] = openKeys(t, store, root, cfg)
	}
	c.Advance(KeyLife) // the next key of the automatic rotation is due too
	got := make([]KeyInfo, replicas)
	together(replicas, func(i int) {
		var err error
		if i%2 == 0 {
			err = keys[i].refresh(t.Context())
		} else {
			got[i], _, err = keys[i].Rotate(t.Context())
		}
		if err != nil {
			t.Error(err)
		}
	})
	list := listKeys(t, store, cfg)
	if len(list) != 2 {
		t.Fatalf("%d keys", len(list))
	}
	for i := 1; i < replicas; i += 2 {
		if got[i] != list[1] {
			t.Errorf("%d got %+v", i, got[i])
		}
	}
}

// TestReplaceAll checks that replicas neither accept nor publish a leaked key once they have read the keys, and that no token is ever
// signed by a key that some replica does not publish.
func TestReplaceAll(t *testing.T) { onBoth(t, testReplaceAll) }

func testReplaceAll(t *testing.T, store *db.Store) {
	c, root := fakeclock.New(start), newRoot(t)
	cfg := shortPeriods(c)
	one, two := openKeys(t, store, root, cfg), openKeys(t, store, root, cfg)
	slow := cfg
	slow.Clock = func() time.Time { return c.Now().Add(-leeway) }
	behind := openKeys(t, store, root, slow)
	replicas := []*Keys{one, two, behind}
	leaked := one.signing()
	coming, _, err := one.Rotate(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	refreshKeys(t, replicas...)
	old, err := newAccess(t, one, cfg).Sign(uuid.New(), uuid.New(), "web", byPassword)
	if err != nil {
		t.Fatal(err)
	}

	signs, removed, err := one.ReplaceAll(t.Context(), func(next KeyInfo, wait time.Duration) {
		if wait <= cfg.refreshInterval() {
			t.Errorf("waits %s, but replicas read the keys every %s", wait, cfg.refreshInterval())
		}
		if next.ID == coming.ID || next.ID == leaked.id {
			t.Error("one of the leaked keys will sign")
		}
		refreshKeys(t, replicas...)
		for i, k := range replicas {
			if !slices.Contains(published(t, k), next.ID) {
				t.Errorf("replica %d does not publish the new key", i)
			}
			if k.signing().id != leaked.id {
				t.Errorf("replica %d already signs with another key", i)
			}
		}
	})
	if err != nil || removed != 2 || signs.State != StateSigning || signs.ActiveFrom.After(c.Now()) {
		t.Fatalf("got %+v, %d removed, %v", signs, removed, err)
	}
	for i, k := range replicas {
		if !slices.Contains(published(t, k), signs.ID) {
			t.Errorf("replica %d, which has not read the keys again, does not publish the new key", i)
		}
	}
	refreshKeys(t, replicas...)
	for i, k := range replicas {
		if k.signing().id != signs.ID || !slices.Equal(published(t, k), []string{signs.ID}) {
			t.Errorf("replica %d signs with %s and publishes %v", i, k.signing().id, published(t, k))
		}
		access := newAccess(t, k, cfg)
		if _, err := access.Verify(t.Context(), old); !errors.Is(err, ErrInvalid) {
			t.Errorf("replica %d: a token of the leaked key: %v", i, err)
		}
		fresh, err := access.Sign(uuid.New(), uuid.New(), "web", byPassword)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := access.Verify(t.Context(), fresh); err != nil {
			t.Errorf("replica %d: a token of the new key: %v", i, err)
		}
	}
	if list := listKeys(t, store, cfg); len(list) != 1 || list[0].ID != signs.ID {
		t.Errorf("left: %+v", list)
	}
}

// TestReplaceAllRace checks that the leaked key disappears even if several processes replace and rotate at the same time.
func TestReplaceAllRace(t *testing.T) { onBoth(t, testReplaceAllRace) }

func testReplaceAllRace(t *testing.T, store *db.Store) {
	c, root := fakeclock.New(start), newRoot(t)
	cfg := shortPeriods(c)
	keys := openKeys(t, store, root, cfg)
	leaked := keys.signing().id
	together(6, func(i int) {
		var err error
		switch i {
		case 0, 1, 2:
			_, _, err = keys.ReplaceAll(t.Context(), func(KeyInfo, time.Duration) {})
		case 3:
			_, _, err = keys.Rotate(t.Context())
		default:
			err = keys.refresh(t.Context())
		}
		if err != nil && !errors.Is(err, errReplaced) {
			t.Error(err)
		}
	})
	refreshKeys(t, keys)
	if slices.Contains(published(t, keys), leaked) {
		t.Error("the leaked key is still published")
	}
	if got := states(t, store, cfg); got[0] != StateSigning {
		t.Errorf("left: %v", got)
	}
}

// TestReplaceAllInterrupted checks that an interrupted replacement leaves a rotation, and that it can be repeated.
func TestReplaceAllInterrupted(t *testing.T) {
	t.Parallel()
	c, store := fakeclock.New(start), newStore(t)
	cfg := shortPeriods(c)
	keys := openKeys(t, store, newRoot(t), cfg)
	ctx, cancel := context.WithCancel(t.Context())
	_, _, err := keys.ReplaceAll(ctx, func(KeyInfo, time.Duration) { cancel() })
	if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "the old ones were not deleted") {
		t.Errorf("got %v", err)
	}
	if got := states(t, store, cfg); !slices.Equal(got, []string{StateSigning, StatePublished}) {
		t.Errorf("left: %v", got)
	}
	refreshKeys(t, keys)
	signs, removed, err := keys.ReplaceAll(t.Context(), func(KeyInfo, time.Duration) {})
	if err != nil || removed != 2 {
		t.Errorf("again: %+v, %d removed, %v", signs, removed, err)
	}
}
