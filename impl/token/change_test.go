package token

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/financelime/authorization/db"
)

// The three steps of docs/keys.md: every replica knows both secrets, then every one writes with the new one, then the old
// one is gone. At each moment replicas of two neighbouring steps run side by side.
func TestChangeOfTheSecret(t *testing.T) { onBoth(t, testChangeOfTheSecret) }

func testChangeOfTheSecret(t *testing.T, store *db.Store) {
	c, before, after := newClock(), newRoot(t), newRoot(t)
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
	c, store, before, after := newClock(), newStore(t), newRoot(t), newRoot(t)
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
