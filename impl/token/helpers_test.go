package token

import (
	"encoding/base64"
	"log/slog"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/secret"
	"github.com/financelime/authorization/test/dbtest"
	"github.com/financelime/authorization/test/fakeclock"
)

const (
	issuer   = "https://auth.example.com"
	audience = "https://api.example.com"
)

// start is the initial time of the clocks in tests.
var start = time.Date(2030, 1, 2, 3, 4, 5, 678_901_234, time.UTC)

func newConfig(c *fakeclock.Clock) Config {
	return Config{
		Issuer: issuer, Audience: audience, Algorithm: ES256,
		AccessTTL: 10 * time.Minute, RefreshTTL: 30 * 24 * time.Hour, Clock: c.Now,
	}
}

func newRoot(t testing.TB) secret.Root {
	t.Helper()
	root, err := secret.Generate()
	if err != nil {
		t.Fatal(err)
	}
	return root
}

// newStore returns a store for tests that do not depend on the database engine.
func newStore(t testing.TB) *db.Store {
	t.Helper()
	return dbtest.Open(t, dbtest.SQLiteURL(t))
}

// onBoth runs a test on both database engines.
func onBoth(t *testing.T, test func(t *testing.T, store *db.Store)) {
	t.Helper()
	t.Parallel()
	dbtest.EachEngine(t, func(t *testing.T, url string) { test(t, dbtest.Open(t, url)) })
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func openKeys(t testing.TB, store *db.Store, root secret.Root, cfg Config) *Keys {
	t.Helper()
	keys, err := OpenKeys(t.Context(), store, root, cfg, quiet())
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

func newAccess(t testing.TB, keys *Keys, cfg Config) *Access {
	t.Helper()
	access, err := NewAccess(keys, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return access
}

func refreshKeys(t testing.TB, keys ...*Keys) {
	t.Helper()
	for _, k := range keys {
		if err := k.refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

func rows(t testing.TB, store *db.Store) []db.SigningKey {
	t.Helper()
	list, err := store.Read().ListSigningKeys(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// forge signs any header and claims.
func forge(t testing.TB, method jwt.SigningMethod, key any, head, body string) string {
	t.Helper()
	text := encode(head) + "." + encode(body)
	signature, err := method.Sign(text, key)
	if err != nil {
		t.Fatal(err)
	}
	return text + "." + b64(signature)
}

func encode(s string) string { return b64([]byte(s)) }

func decode(t testing.TB, s string) []byte {
	t.Helper()
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// byPassword is the authentication of the sessions in these tests.
var byPassword = Authentication{Time: time.Unix(1_700_000_000, 0), Methods: []string{Password}}
