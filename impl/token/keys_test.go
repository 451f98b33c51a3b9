package token

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/test/fakeclock"
)

// TestKeyPeriods checks that a gateway has a key before its first token, and that a replaced key outlives its last token.
func TestKeyPeriods(t *testing.T) {
	t.Parallel()
	if JWKSMaxAge != 5*time.Minute {
		t.Error("the JWKS is not cached for the documented time")
	}
	if slowest := JWKSMaxAge + RefreshInterval + leeway; PublishAhead < 2*slowest {
		t.Errorf("a key is published %s ahead, a gateway may need %s", PublishAhead, slowest)
	}
	if KeyLife <= 2*PublishAhead {
		t.Error("a key is replaced before it signs")
	}
	cfg, err := newConfig(fakeclock.New(start)).withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	if cfg.JWKSMaxAge != JWKSMaxAge || cfg.publishAhead() != PublishAhead || cfg.refreshInterval() != RefreshInterval || cfg.KeyLife != KeyLife {
		t.Errorf("other defaults: %+v", cfg)
	}
	cfg.JWKSMaxAge = time.Second
	if cfg.publishAhead() != 4*time.Second || cfg.refreshInterval() != time.Second/30 || cfg.retireAfter() != cfg.AccessTTL+2*leeway+time.Second {
		t.Errorf("the periods are not in proportion: %s, %s, %s", cfg.publishAhead(), cfg.refreshInterval(), cfg.retireAfter())
	}
}

// TestFirstKeySignsImmediately checks the first key of a database.
func TestFirstKeySignsImmediately(t *testing.T) { onBoth(t, testFirstKeySignsImmediately) }

func testFirstKeySignsImmediately(t *testing.T, store *db.Store) {
	c, root := fakeclock.New(start), newRoot(t)
	keys := openKeys(t, store, root, newConfig(c))
	list := rows(t, store)
	if len(list) != 1 || list[0].Number != 1 || list[0].Algorithm != ES256 || list[0].ActiveAt.After(c.Now()) {
		t.Fatalf("got %+v", list)
	}
	if got := keys.signing().id; got != list[0].ID {
		t.Errorf("%s signs", got)
	}
	refreshKeys(t, keys, keys)
	if n := len(rows(t, store)); n != 1 {
		t.Errorf("%d keys after a refresh", n)
	}
}

// TestRotation checks each step of a rotation at its exact time.
func TestRotation(t *testing.T) { onBoth(t, testRotation) }

func testRotation(t *testing.T, store *db.Store) {
	c, root := fakeclock.New(start), newRoot(t)
	cfg := newConfig(c)
	keys := openKeys(t, store, root, cfg)
	access := newAccess(t, keys, cfg)
	first := keys.signing().id
	_, firstTag := keys.JWKS()

	c.Advance(KeyLife - PublishAhead - time.Second)
	refreshKeys(t, keys)
	if n := len(rows(t, store)); n != 1 {
		t.Fatalf("%d keys a second before the next is due", n)
	}

	c.Advance(time.Second)
	refreshKeys(t, keys, keys)
	list := rows(t, store)
	if len(list) != 2 || list[1].Number != 2 || !list[1].ActiveAt.Equal(c.Now().Add(PublishAhead).Truncate(time.Microsecond)) {
		t.Fatalf("got %+v", list)
	}
	second := list[1].ID
	if ids := published(t, keys); !slices.Equal(ids, []string{first, second}) {
		t.Errorf("published %v, want the next key too", ids)
	}
	if _, tag := keys.JWKS(); tag == firstTag {
		t.Error("the tag is the same")
	}

	c.Advance(PublishAhead - time.Microsecond)
	refreshKeys(t, keys)
	if keys.signing().id != first {
		t.Error("the next key already signs")
	}
	old, err := access.Sign(uuid.New(), uuid.New(), "web", byPassword)
	if err != nil {
		t.Fatal(err)
	}
	c.Advance(time.Microsecond)
	if keys.signing().id != second { // without a refresh, exactly on time
		t.Error("the new key does not sign")
	}

	c.Advance(cfg.AccessTTL - time.Second)
	refreshKeys(t, keys)
	if _, err := access.Verify(t.Context(), old); err != nil {
		t.Errorf("the last token of the old key: %v", err)
	}
	c.Advance((2*leeway + JWKSMaxAge) + time.Second)
	refreshKeys(t, keys)
	if ids := published(t, keys); !slices.Equal(ids, []string{first, second}) {
		t.Errorf("published %v just before its end", ids)
	}
	c.Advance(time.Microsecond)
	refreshKeys(t, keys)
	if ids := published(t, keys); !slices.Equal(ids, []string{second}) {
		t.Errorf("published %v", ids)
	}
	if list := rows(t, store); len(list) != 1 || list[0].ID != second {
		t.Errorf("in the database: %+v", list)
	}
}

// published checks the JWKS and returns the IDs of its keys.
func published(t testing.TB, keys *Keys) []string {
	t.Helper()
	body, tag := keys.JWKS()
	var set map[string][]json.RawMessage
	if err := json.Unmarshal(body, &set); err != nil || len(set) != 1 {
		t.Fatalf("%s: %v", body, err)
	}
	if len(tag) < 10 || tag[0] != '"' || tag[len(tag)-1] != '"' {
		t.Errorf("tag %s", tag)
	}
	var ids []string
	for _, text := range set["keys"] {
		id, _, _ := fromJWK(t, text)
		if slices.Contains(ids, id) {
			t.Errorf("%s is published twice", id)
		}
		ids = append(ids, id)
	}
	return ids
}

// TestRestart checks that a restarted replica uses the same keys, and creates a new one after a long stop.
func TestRestart(t *testing.T) { onBoth(t, testRestart) }

func testRestart(t *testing.T, store *db.Store) {
	c, root := fakeclock.New(start), newRoot(t)
	cfg := newConfig(c)
	before := openKeys(t, store, root, cfg)
	token, err := newAccess(t, before, cfg).Sign(uuid.New(), uuid.New(), "web", byPassword)
	if err != nil {
		t.Fatal(err)
	}
	c.Advance(time.Minute)
	after := openKeys(t, store, root, cfg)
	if n := len(rows(t, store)); n != 1 {
		t.Errorf("%d keys", n)
	}
	if _, err := newAccess(t, after, cfg).Verify(t.Context(), token); err != nil {
		t.Errorf("a token from before: %v", err)
	}
	body, tag := before.JWKS()
	again, againTag := after.JWKS()
	if !bytes.Equal(body, again) || tag != againTag {
		t.Error("two replicas publish differently")
	}

	// After months without the service, the old key signs until the gateways have the new one.
	old := after.signing().id
	c.Advance(100 * 24 * time.Hour)
	late := openKeys(t, store, root, cfg)
	if n := len(rows(t, store)); n != 2 || late.signing().id != old {
		t.Errorf("%d keys, %s signs", n, late.signing().id)
	}
	c.Advance(PublishAhead)
	if late.signing().id == old {
		t.Error("the old key still signs")
	}
}

// TestAlgorithmChange checks that another algorithm is introduced by a rotation.
func TestAlgorithmChange(t *testing.T) { onBoth(t, testAlgorithmChange) }

func testAlgorithmChange(t *testing.T, store *db.Store) {
	c, root := fakeclock.New(start), newRoot(t)
	es, rs := newConfig(c), newConfig(c)
	rs.Algorithm = RS256
	before := openKeys(t, store, root, es)
	old := newAccess(t, before, es)
	changed := openKeys(t, store, root, rs)
	access := newAccess(t, changed, rs)
	list := rows(t, store)
	if len(list) != 2 || list[1].Algorithm != RS256 || list[1].ActiveAt.Sub(c.Now()) < PublishAhead-time.Microsecond {
		t.Fatalf("got %+v", list)
	}
	if len(published(t, changed)) != 2 {
		t.Error("the key of the new algorithm is not published")
	}
	if changed.signing().algorithm != ES256 {
		t.Error("the new algorithm signs immediately")
	}
	c.Advance(PublishAhead - time.Minute)
	token, err := access.Sign(uuid.New(), uuid.New(), "web", byPassword)
	if err != nil {
		t.Fatal(err)
	}
	c.Advance(time.Minute)
	if _, err := access.Verify(t.Context(), token); err != nil {
		t.Errorf("the last token of the old algorithm: %v", err)
	}
	if changed.signing().algorithm != RS256 {
		t.Error("the new algorithm does not sign")
	}
	newToken, err := access.Sign(uuid.New(), uuid.New(), "web", byPassword)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := access.Verify(t.Context(), newToken); err != nil {
		t.Errorf("a token of the new algorithm: %v", err)
	}
	if _, err := old.Verify(t.Context(), newToken); err != nil {
		t.Errorf("a token of the new algorithm on a replica with the old setting: %v", err)
	}
}

// TestReplicasWithDifferentAlgorithms checks that replicas with different settings, as during a rolling change, do not create a key every
// minute.
func TestReplicasWithDifferentAlgorithms(t *testing.T) {
	onBoth(t, testReplicasWithDifferentAlgorithms)
}

func testReplicasWithDifferentAlgorithms(t *testing.T, store *db.Store) {
	c, root := fakeclock.New(start), newRoot(t)
	es, ed := newConfig(c), newConfig(c)
	ed.Algorithm = EdDSA
	one, two := openKeys(t, store, root, es), openKeys(t, store, root, ed)
	for range 60 {
		c.Advance(time.Minute)
		refreshKeys(t, one, two)
	}
	list := rows(t, store)
	if newest := list[len(list)-1].Number; newest > 1+60/20+1 {
		t.Errorf("%d keys in an hour", newest)
	}
}

// TestWrongSecret checks that the keys are not opened, and none is created, with another secret.
func TestWrongSecret(t *testing.T) {
	t.Parallel()
	c, store := fakeclock.New(start), newStore(t)
	openKeys(t, store, newRoot(t), newConfig(c))
	_, err := OpenKeys(t.Context(), store, newRoot(t), newConfig(c), quiet())
	if err == nil || !strings.Contains(err.Error(), "AUTH_SECRET does not match the database") {
		t.Errorf("got %v", err)
	}
	if n := len(rows(t, store)); n != 1 {
		t.Errorf("%d keys", n)
	}
}

// TestRotationRace checks that replicas that start or rotate at the same time create one key, and that all use it.
func TestRotationRace(t *testing.T) { onBoth(t, testRotationRace) }

func testRotationRace(t *testing.T, store *db.Store) {
	c, root := fakeclock.New(start), newRoot(t)
	cfg := newConfig(c)
	const replicas = 8
	keys := make([]*Keys, replicas)
	together(replicas, func(i int) {
		var err error
		if keys[i], err = OpenKeys(t.Context(), store, root, cfg, quiet()); err != nil {
			t.Errorf("replica %d: %v", i, err)
		}
	})
	if t.Failed() {
		return
	}
	for round := range 3 {
		list := rows(t, store)
		if len(list) != min(round+1, 2) || list[len(list)-1].Number != int64(round+1) {
			t.Fatalf("round %d: %d keys, the newest is number %d", round, len(list), list[len(list)-1].Number)
		}
		body, _ := keys[0].JWKS()
		for i, k := range keys {
			if other, _ := k.JWKS(); !bytes.Equal(other, body) {
				t.Fatalf("round %d: replica %d publishes other keys", round, i)
			}
		}
		c.Advance(KeyLife)
		together(replicas, func(i int) {
			if err := keys[i].refresh(t.Context()); err != nil {
				t.Errorf("round %d: replica %d: %v", round, i, err)
			}
		})
	}
}

func together(n int, f func(i int)) {
	var wg sync.WaitGroup
	start := make(chan struct{})
	for i := range n {
		wg.Go(func() {
			<-start
			f(i)
		})
	}
	close(start)
	wg.Wait()
}

// TestUnknownKey checks that a key of another replica is looked up in the database, but not for every token with an unknown key.
func TestUnknownKey(t *testing.T) { onBoth(t, testUnknownKey) }

func testUnknownKey(t *testing.T, store *db.Store) {
	c, root := fakeclock.New(start), newRoot(t)
	cfg := newConfig(c)
	one, two := openKeys(t, store, root, cfg), openKeys(t, store, root, cfg)
	access := newAccess(t, one, cfg)
	foreign := newAccess(t, openKeys(t, newStore(t), newRoot(t), cfg), cfg)

	c.Advance(KeyLife)
	refreshKeys(t, two)
	c.Advance(PublishAhead) // the other one has not refreshed in this time
	if two.signing().id == one.signing().id {
		t.Fatal("no rotation")
	}
	stranger, err := foreign.Sign(uuid.New(), uuid.New(), "web", byPassword)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := access.Verify(t.Context(), stranger); !errors.Is(err, ErrInvalid) {
		t.Fatalf("a stranger's token: %v", err)
	}
	// Now the keys have just been read. A key that is created afterwards is found by the next query.
	three := newConfig(c)
	three.Algorithm = EdDSA
	added := openKeys(t, store, root, three)
	c.Advance(4 * time.Second)
	body := `{"iss":"` + issuer + `","aud":"` + audience + `","sub":"` + uuid.NewString() + `","sid":"` + uuid.NewString() +
		`","jti":"x","client_id":"web","iat":` + unix(c.Now()) + `,"exp":` + unix(c.Now().Add(time.Minute)) + `}`
	newest := added.current.Load().newest()
	token := forge(t, newest.method, newest.private, `{"typ":"at+jwt","alg":"EdDSA","kid":"`+newest.id+`"}`, body)
	if _, err := access.Verify(t.Context(), token); !errors.Is(err, ErrInvalid) {
		t.Errorf("within 5 s of the last query: %v", err)
	}
	c.Advance(time.Second)
	if _, err := access.Verify(t.Context(), token); err != nil {
		t.Errorf("5 s after the last query: %v", err)
	}
	fresh, err := newAccess(t, two, cfg).Sign(uuid.New(), uuid.New(), "web", byPassword)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := access.Verify(t.Context(), fresh); err != nil {
		t.Errorf("a token of the rotated key: %v", err)
	}
}

// TestDatabaseUnavailable checks that the keys of the replica still work without the database, and that tokens with unknown keys are not
// called invalid.
func TestDatabaseUnavailable(t *testing.T) {
	t.Parallel()
	c, root := fakeclock.New(start), newRoot(t)
	cfg := newConfig(c)
	store, err := db.Open(t.Context(), "sqlite:"+t.TempDir()+"/auth.db")
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	keys := openKeys(t, store, root, cfg)
	access := newAccess(t, keys, cfg)
	stranger, err := newAccess(t, openKeys(t, newStore(t), newRoot(t), cfg), cfg).Sign(uuid.New(), uuid.New(), "web", byPassword)
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}

	body, _ := keys.JWKS()
	if err := keys.refresh(t.Context()); !errors.Is(err, db.ErrUnavailable) {
		t.Errorf("refresh: %v", err)
	}
	token, err := access.Sign(uuid.New(), uuid.New(), "web", byPassword)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := access.Verify(t.Context(), token); err != nil {
		t.Errorf("a token of a known key: %v", err)
	}
	for range 2 { // the second time without a query
		if _, err := access.Verify(t.Context(), stranger); !errors.Is(err, db.ErrUnavailable) || errors.Is(err, ErrInvalid) {
			t.Errorf("a token of an unknown key: %v", err)
		}
	}
	if again, _ := keys.JWKS(); !bytes.Equal(again, body) {
		t.Error("the published keys changed")
	}
	if _, err := OpenKeys(t.Context(), store, root, cfg, quiet()); !errors.Is(err, db.ErrUnavailable) {
		t.Errorf("OpenKeys: %v", err)
	}
}

// events receives the names of log events.
type events chan string

func (e events) Enabled(context.Context, slog.Level) bool { return true }
func (e events) WithAttrs([]slog.Attr) slog.Handler       { return e }
func (e events) WithGroup(string) slog.Handler            { return e }
func (e events) Handle(_ context.Context, r slog.Record) error {
	select {
	case e <- r.Message:
	default:
	}
	return nil
}

// TestRun checks that Run rotates and retires keys, and that it continues after a failure.
func TestRun(t *testing.T) {
	t.Parallel()
	c, store, root := fakeclock.New(start), newStore(t), newRoot(t)
	log := make(events, 100)
	keys, err := OpenKeys(t.Context(), store, root, newConfig(c), slog.New(log))
	if err != nil {
		t.Fatal(err)
	}
	if got := <-log; got != "keys.created" {
		t.Fatalf("logged %s", got)
	}
	keys.interval = time.Millisecond
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	c.Advance(KeyLife)
	go func() {
		keys.Run(ctx)
		close(done)
	}()
	waitFor(t, log, "keys.created")
	c.Advance(PublishAhead + 10*time.Minute + (2*leeway + JWKSMaxAge) + time.Microsecond)
	waitFor(t, log, "keys.retired")

	// A row that cannot be decrypted is a failure: it is logged and retried, and the current keys stay in use.
	current := keys.signing()
	err = store.Write(t.Context(), func(q *db.Queries) error {
		_, err := q.InsertSigningKey(t.Context(), db.InsertSigningKeyParams{
			ID: strings.Repeat("A", kidLen), Number: 99, Algorithm: ES256, Sealed: make([]byte, 100),
			CreatedAt: c.Now(), ActiveAt: c.Now(),
		})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	waitFor(t, log, "keys.refresh_failed")
	if keys.signing().id != current.id {
		t.Error("another key signs")
	}
	cancel()
	<-done
}

func waitFor(t *testing.T, log events, event string) {
	t.Helper()
	timeout := time.After(30 * time.Second)
	for {
		select {
		case got := <-log:
			if got == event {
				return
			}
		case <-timeout:
			t.Fatalf("%s was not logged", event)
		}
	}
}

// TestPanicIsAFailureOfOneRefresh checks that a panic fails one refresh and not the next.
func TestPanicIsAFailureOfOneRefresh(t *testing.T) {
	t.Parallel()
	c := fakeclock.New(start)
	keys := openKeys(t, newStore(t), newRoot(t), newConfig(c))
	store := keys.store
	keys.store = nil
	if err := keys.tick(t.Context()); err == nil || !strings.Contains(err.Error(), "panic") {
		t.Errorf("got %v", err)
	}
	keys.store = store
	if err := keys.tick(t.Context()); err != nil {
		t.Errorf("the next refresh: %v", err)
	}
}

// TestWaitingEndsWithTheContext checks that waiting for the lock can be cancelled.
func TestWaitingEndsWithTheContext(t *testing.T) {
	t.Parallel()
	keys := openKeys(t, newStore(t), newRoot(t), newConfig(fakeclock.New(start)))
	keys.refreshLock <- struct{}{} // the lock is held
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := keys.lookup(ctx, strings.Repeat("A", kidLen)); !errors.Is(err, context.Canceled) {
		t.Errorf("lookup: %v", err)
	}
	if err := keys.refresh(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("refresh: %v", err)
	}
}

// TestEverythingAtOnce calls all methods at the same time, for the race detector.
func TestEverythingAtOnce(t *testing.T) {
	t.Parallel()
	c, store, root := fakeclock.New(start), newStore(t), newRoot(t)
	cfg := newConfig(c)
	keys := openKeys(t, store, root, cfg)
	access := newAccess(t, keys, cfg)
	together(8, func(i int) {
		for range 20 {
			switch i {
			case 0:
				c.Advance(11 * time.Second)
			case 1:
				if err := keys.refresh(t.Context()); err != nil {
					t.Error(err)
				}
			case 2:
				keys.JWKS()
			case 3:
				if _, err := keys.lookup(t.Context(), strings.Repeat("A", kidLen)); err != nil {
					t.Error(err)
				}
			default:
				token, err := access.Sign(uuid.New(), uuid.New(), "web", byPassword)
				if err != nil {
					t.Error(err)
					continue
				}
				if _, err := access.Verify(t.Context(), token); err != nil {
					t.Error(err)
				}
			}
		}
	})
}
