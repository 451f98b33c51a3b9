//go:build gateways

package gateways

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/golang-jwt/jwt/v5"

	"github.com/financelime/authorization/test/harness"
)

// TestKeyFiles checks that jwks-to-pem writes every published key, reloads HAProxy only if a key has changed, and does not change the files
// if it fails.
func TestKeyFiles(t *testing.T) {
	t.Parallel()
	var published atomic.Value // a JWKS as text
	stub := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/.well-known/jwks.json" {
			w.WriteHeader(http.StatusNotFound)
		}
		_, _ = w.Write([]byte(published.Load().(string)))
	}))
	defer stub.Close()
	dir := filepath.Join(t.TempDir(), "jwt")
	reloaded := filepath.Join(t.TempDir(), "reloaded")
	update := func() (reloads int, err error) {
		_ = os.Remove(reloaded)
		err = exec.CommandContext(t.Context(), source(t, "haproxy", "jwks-to-pem"), stub.URL+"/", dir, "touch", reloaded).Run()
		if _, missing := os.Stat(reloaded); missing == nil {
			reloads = 1
		}
		return reloads, err
	}
	want := func(what string, reloads int, keys ...crypto.PublicKey) {
		t.Helper()
		if n, err := update(); err != nil || n != reloads {
			t.Errorf("%s: %d reloads, want %d (%v)", what, n, reloads, err)
		}
		for _, key := range keys {
			if !hasKey(t, dir, key) {
				t.Errorf("%s: no file has the key", what)
			}
		}
	}

	before, signs, next, large := newEC(t), newEC(t), newEC(t), newRSA(t)
	published.Store(newJWKS(t, before))
	want("one key", 1, before)
	want("the same key again", 0, before)
	published.Store(newJWKS(t, before, signs))
	want("a second key", 1, before, signs)
	published.Store(newJWKS(t, signs, before))
	want("in another order", 0, before, signs)
	published.Store(newJWKS(t, before, signs, large))
	want("three keys of two types", 1, before, signs, large)
	published.Store(newJWKS(t, signs, next))
	want("without the first key", 1, signs, next)
	if hasKey(t, dir, before) {
		t.Error("a file still has a key that is not published any more")
	}
	for what, jwks := range map[string]string{
		"not JSON": "<html>", "no keys": `{"keys":[]}`, "four keys": newJWKS(t, before, signs, next, large), "a point that is not on the curve": strings.Replace(newJWKS(t, before), `"x":"`, `"x":"AA`, 1),
		"Ed25519, which HAProxy does not support": `{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"1","alg":"EdDSA","use":"sig","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}`,
	} {
		published.Store(jwks)
		if n, err := update(); err == nil || n != 0 {
			t.Errorf("%s: %d reloads, error %v", what, n, err)
		}
		if !hasKey(t, dir, signs) || !hasKey(t, dir, next) {
			t.Errorf("%s: the files have changed", what)
		}
	}
	stub.Close()
	if n, err := update(); err == nil || n != 0 || !hasKey(t, dir, signs) {
		t.Errorf("no service: %d reloads, error %v", n, err)
	}
}

// TestHAProxyKeys checks that HAProxy accepts tokens of each of three keys, for both algorithms that it supports.
func TestHAProxyKeys(t *testing.T) {
	t.Parallel()
	for _, algorithm := range []string{"ES256", "RS256"} {
		t.Run(algorithm, func(t *testing.T) {
			t.Parallel()
			contract, err := harness.NewContract()
			if err != nil {
				t.Fatal(err)
			}
			s := harness.Start(t, binary, contract, harness.SQLite, "AUTH_TRUSTED_PROXIES=127.0.0.1", "AUTH_SIGNING_ALG="+algorithm)
			_, body := harness.Send(t, http.DefaultClient, http.MethodGet, s.URL+"/.well-known/jwks.json", nil, "")
			ownKey, key, method := newKey(t, algorithm)
			var own, others map[string][]any
			for text, keys := range map[string]*map[string][]any{body: &own, newJWKS(t, newEC(t), ownKey): &others} {
				if err := json.Unmarshal([]byte(text), keys); err != nil {
					t.Fatal(err)
				}
			}
			three, err := json.Marshal(map[string]any{"keys": append(others["keys"], own["keys"]...)})
			if err != nil {
				t.Fatal(err)
			}
			stub := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(three) }))
			t.Cleanup(stub.Close)

			r := haproxy()
			replacements := r.replacements
			r.replacements = func(p environment) [][2]string { return append(replacements(p), [2]string{"ES256", algorithm}) }
			up := newUpstream(t)
			g := r.start(t, environment{service: s.URL[len("http://"):], keys: stub.URL, upstream: up.addr})
			p := newPerson(t, &fixture{gateway: g, service: s, upstream: up, contract: contract}).join()
			c := &upstreamClient{person: p, plain: plainClient(t)}
			c.checkAccepted()

			// The test has one of the three private keys, so that it can sign tokens. Only those of the right type are access tokens.
			parts := strings.Split(p.session.AccessToken, ".")
			header, claims := decode(t, parts[0]), decode(t, parts[1])
			p.session.AccessToken = sign(t, method, header, claims, key, nil)
			c.checkAccepted()
			for what, token := range map[string]string{
				"of another type":   sign(t, method, header, claims, key, map[string]any{"typ": "JWT"}),
				"without a type":    sign(t, method, header, claims, key, map[string]any{"typ": nil}),
				"without expiry":    sign(t, method, header, with(claims, "exp", nil), key, nil),
				"without an issuer": sign(t, method, header, with(claims, "iss", nil), key, nil),
				"for two audiences": sign(t, method, header, with(claims, "aud", []string{issuer, "x"}), key, nil),
			} {
				c.wantRejected(what, http.Header{"Authorization": {"Bearer " + token}}, 401)
			}
		})
	}
}

// TestHAProxyWithoutKeys checks that HAProxy starts without the key files and then rejects all requests.
func TestHAProxyWithoutKeys(t *testing.T) {
	t.Parallel()
	r := haproxy()
	r.prepare = nil
	s := newFixture(t, r)
	p := newPerson(t, s).join()
	c := &upstreamClient{person: p, plain: plainClient(t)}
	c.wantRejected("a good token", c.token(), 401)
}

// newKey returns a new key pair for an algorithm, and its signing method.
func newKey(t testing.TB, algorithm string) (crypto.PublicKey, crypto.Signer, jwt.SigningMethod) {
	t.Helper()
	var key crypto.Signer
	var err error
	if algorithm == "RS256" {
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	} else {
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	}
	if err != nil {
		t.Fatal(err)
	}
	return key.Public(), key, jwt.GetSigningMethod(algorithm)
}

func newEC(t testing.TB) *ecdsa.PublicKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &key.PublicKey
}

func newRSA(t testing.TB) *rsa.PublicKey {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return &key.PublicKey
}

// newJWKS returns a JWKS like the service's.
func newJWKS(t testing.TB, keys ...crypto.PublicKey) string {
	t.Helper()
	var list []map[string]any
	for _, key := range keys {
		switch k := key.(type) {
		case *ecdsa.PublicKey:
			entry := jwk(t, k)
			entry["kid"] = entry["x"]
			list = append(list, entry)
		case *rsa.PublicKey:
			n := base64.RawURLEncoding.EncodeToString(k.N.Bytes())
			e := base64.RawURLEncoding.EncodeToString(big.NewInt(int64(k.E)).Bytes())
			list = append(list, map[string]any{"kty": "RSA", "alg": "RS256", "use": "sig", "kid": n[:43], "n": n, "e": e})
		}
	}
	text, err := json.Marshal(map[string]any{"keys": list})
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// hasKey reports whether one of the three files contains the key. Each file must contain a key.
func hasKey(t testing.TB, dir string, want crypto.PublicKey) bool {
	t.Helper()
	found := false
	for _, name := range []string{"1.pem", "2.pem", "3.pem"} {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		block, _ := pem.Decode(text)
		if block == nil {
			t.Fatalf("%s is not PEM", name)
		}
		key, err := x509.ParsePKIXPublicKey(block.Bytes)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if k, ok := key.(interface{ Equal(crypto.PublicKey) bool }); ok && k.Equal(want) {
			found = true
		}
	}
	return found
}
