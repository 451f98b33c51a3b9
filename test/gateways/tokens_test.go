//go:build gateways

package gateways

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"log/slog"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"

	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/secret"
	"github.com/financelime/authorization/impl/token"
	"github.com/financelime/authorization/test/harness"
)

// badTokens returns invalid tokens. Each differs from a valid one in one property.
func badTokens(t testing.TB, s *harness.Service, good string) map[string]string {
	t.Helper()
	own := minter{t: t, keys: openKeys(t, s.DatabaseURL, s.Secret(t)), template: good}
	others := minter{t: t, keys: openKeys(t, "sqlite:"+filepath.Join(t.TempDir(), "other.db"), s.Secret(t)), template: good}
	parts := strings.Split(good, ".")
	header, claims := decode(t, parts[0]), decode(t, parts[1])
	ownKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	public := publicKey(t, s, header["kid"].(string))
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	asPEM := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	return map[string]string{
		"expired an hour ago":                own.token(issuer, issuer, -time.Hour),
		"expired two minutes ago":            own.token(issuer, issuer, -12*time.Minute),
		"of another issuer":                  own.token("https://other.example.test", issuer, 0),
		"for another audience":               own.token(issuer, "https://other.example.test", 0),
		"by another key":                     others.token(issuer, issuer, 0),
		"by another key of the same ID":      sign(t, jwt.SigningMethodES256, header, claims, ownKey, nil),
		"by the key in its header":           sign(t, jwt.SigningMethodES256, header, claims, ownKey, map[string]any{"jwk": jwk(t, &ownKey.PublicKey)}),
		"by a key in its header with its ID": sign(t, jwt.SigningMethodES256, header, claims, ownKey, map[string]any{"kid": "mine", "jwk": jwk(t, &ownKey.PublicKey)}),
		"alg none":                           sign(t, jwt.SigningMethodNone, header, claims, jwt.UnsafeAllowNoneSignatureType, map[string]any{"alg": "none"}),
		"alg none with a signature":          encode(t, with(header, "alg", "none")) + "." + parts[1] + "." + parts[2],
		"HS256 by the public key in PEM":     sign(t, jwt.SigningMethodHS256, header, claims, asPEM, map[string]any{"alg": "HS256"}),
		"HS256 by the public key in DER":     sign(t, jwt.SigningMethodHS256, header, claims, der, map[string]any{"alg": "HS256"}),
		"HS256 with an empty key":            sign(t, jwt.SigningMethodHS256, header, claims, []byte{}, map[string]any{"alg": "HS256"}),
		"a signature of zeros":               parts[0] + "." + parts[1] + "." + base64.RawURLEncoding.EncodeToString(make([]byte, 64)),
		"for another user":                   parts[0] + "." + encode(t, with(claims, "sub", "019aaf6e-0b1c-7d52-9f3a-6b1f0c2d4e5f")) + "." + parts[2],
		"without its signature":              parts[0] + "." + parts[1] + ".",
		"two parts":                          parts[0] + "." + parts[1],
		"not a token":                        "x",
	}
}

// minter signs tokens with the keys of a service.
type minter struct {
	t        testing.TB
	keys     *token.Keys
	template string
}

// openKeys reads a service's signing keys from its database, like the service.
func openKeys(t testing.TB, databaseURL, secretText string) *token.Keys {
	t.Helper()
	root, err := secret.Parse(secretText)
	if err != nil {
		t.Fatal(err)
	}
	store, err := db.Open(t.Context(), databaseURL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	if err := store.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	keys, err := token.OpenKeys(t.Context(), store, root, config(issuer, issuer, 0), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

func config(iss, aud string, shift time.Duration) token.Config {
	return token.Config{
		Issuer: iss, Audience: aud, Algorithm: token.ES256, AccessTTL: 10 * time.Minute, RefreshTTL: time.Hour,
		Clock: func() time.Time { return time.Now().Add(shift) },
	}
}

// token signs a token for the account and the session of the valid one, at another time.
func (m minter) token(iss, aud string, shift time.Duration) string {
	m.t.Helper()
	access, err := token.NewAccess(m.keys, config(iss, aud, shift))
	if err != nil {
		m.t.Fatal(err)
	}
	claims := decode(m.t, strings.Split(m.template, ".")[1])
	raw, err := access.Sign(id(m.t, claims["sub"]), id(m.t, claims["sid"]), claims["client_id"].(string),
		token.Authentication{Time: time.Now().Add(shift), Methods: []string{token.Password}})
	if err != nil {
		m.t.Fatal(err)
	}
	return raw
}

func sign(t testing.TB, method jwt.SigningMethod, header, claims map[string]any, key any, change map[string]any) string {
	t.Helper()
	for name, value := range change {
		header = with(header, name, value)
	}
	raw, err := (&jwt.Token{Method: method, Header: header, Claims: jwt.MapClaims(claims)}).SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func with(m map[string]any, name string, value any) map[string]any {
	changed := map[string]any{name: value}
	for n, v := range m {
		if n != name {
			changed[n] = v
		}
	}
	return changed
}

func decode(t testing.TB, part string) map[string]any {
	t.Helper()
	text, err := base64.RawURLEncoding.DecodeString(part)
	if err != nil {
		t.Fatal(err)
	}
	var m map[string]any
	decoder := json.NewDecoder(strings.NewReader(string(text)))
	decoder.UseNumber() // so that times are not rounded
	if err := decoder.Decode(&m); err != nil {
		t.Fatal(err)
	}
	return m
}

func encode(t testing.TB, m map[string]any) string {
	t.Helper()
	text, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return base64.RawURLEncoding.EncodeToString(text)
}

func jwk(t testing.TB, key *ecdsa.PublicKey) map[string]any {
	t.Helper()
	point, err := key.Bytes() // 4, x, y
	if err != nil {
		t.Fatal(err)
	}
	return map[string]any{
		"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": "mine",
		"x": base64.RawURLEncoding.EncodeToString(point[1:33]), "y": base64.RawURLEncoding.EncodeToString(point[33:]),
	}
}

// publicKey returns a key that the service publishes.
func publicKey(t testing.TB, s *harness.Service, kid string) *ecdsa.PublicKey {
	t.Helper()
	_, body := harness.Send(t, http.DefaultClient, http.MethodGet, s.URL+"/.well-known/jwks.json", nil, "")
	var set struct {
		Keys []struct{ Kid, X, Y string }
	}
	if err := json.Unmarshal([]byte(body), &set); err != nil {
		t.Fatal(err)
	}
	for _, key := range set.Keys {
		if key.Kid != kid {
			continue
		}
		x, errX := base64.RawURLEncoding.DecodeString(key.X)
		y, errY := base64.RawURLEncoding.DecodeString(key.Y)
		if errX != nil || errY != nil {
			t.Fatal(errX, errY)
		}
		public, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), slices.Concat([]byte{4}, x, y))
		if err != nil {
			t.Fatal(err)
		}
		return public
	}
	t.Fatalf("the service does not publish the key %s", kid)
	return nil
}

func id(t testing.TB, value any) uuid.UUID {
	t.Helper()
	parsed, err := uuid.Parse(value.(string))
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}
