package token

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"math/big"
	"slices"
	"testing"
)

func makeKey(t testing.TB, algorithm string) *signingKey {
	t.Helper()
	private, err := generate(algorithm)
	if err != nil {
		t.Fatal(err)
	}
	k, err := newKey(private)
	if err != nil {
		t.Fatal(err)
	}
	if k.algorithm != algorithm || k.method.Alg() != algorithm {
		t.Fatalf("a key for %s has the algorithm %s", algorithm, k.algorithm)
	}
	return k
}

// publicOnly is a key without a private half.
type publicOnly struct {
	crypto.Signer
	public crypto.PublicKey
}

func (k publicOnly) Public() crypto.PublicKey { return k.public }

// TestThumbprint checks the examples of RFC 8037 appendix A.3 and of the P-256 key of RFC 7515 appendix A.3.
func TestThumbprint(t *testing.T) {
	t.Parallel()
	point := slices.Concat([]byte{4},
		decode(t, "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU"), decode(t, "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"))
	p256, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
	if err != nil {
		t.Fatal(err)
	}
	for want, public := range map[string]crypto.PublicKey{
		"kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k": ed25519.PublicKey(decode(t, "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo")),
		"oKIywvGUpTVTyxMQ3bwIIeQUudfr_CkLMjCE19ECD-U": p256,
	} {
		k, err := newKey(publicOnly{public: public})
		if err != nil {
			t.Fatal(err)
		}
		if k.id != want {
			t.Errorf("%s: got %s, want %s", k.algorithm, k.id, want)
		}
	}
}

// TestWeakKeysAreRefused checks that weak and unsupported keys are refused.
func TestWeakKeysAreRefused(t *testing.T) {
	t.Parallel()
	rsa2048, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, private := range map[string]crypto.Signer{
		"RSA of 2048 bits": rsa2048,
		"P-384":            p384,
		"unknown kind":     publicOnly{public: "x"},
		"no public half":   publicOnly{},
	} {
		if k, err := newKey(private); err == nil {
			t.Errorf("%s: accepted as %s", name, k.algorithm)
		}
	}
	if _, err := generate("HS256"); err == nil {
		t.Error("generated a key for HS256")
	}
}

// fromJWK parses a published key as a gateway does.
func fromJWK(t testing.TB, text []byte) (id, algorithm string, public crypto.PublicKey) {
	t.Helper()
	var members map[string]string
	if err := json.Unmarshal(text, &members); err != nil {
		t.Fatal(err)
	}
	number := func(name string) *big.Int { return new(big.Int).SetBytes(decode(t, members[name])) }
	var want []string
	switch members["kty"] {
	case "EC":
		want = []string{"alg", "crv", "kid", "kty", "use", "x", "y"}
		key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), slices.Concat([]byte{4}, decode(t, members["x"]), decode(t, members["y"])))
		if err != nil || members["crv"] != "P-256" {
			t.Fatalf("%s: %v", text, err)
		}
		public = key
	case "RSA":
		want = []string{"alg", "e", "kid", "kty", "n", "use"}
		public = &rsa.PublicKey{N: number("n"), E: int(number("e").Int64())}
	case "OKP":
		want = []string{"alg", "crv", "kid", "kty", "use", "x"}
		if members["crv"] != "Ed25519" {
			t.Fatalf("%s", text)
		}
		public = ed25519.PublicKey(decode(t, members["x"]))
	default:
		t.Fatalf("%s", text)
	}
	var names []string
	for name := range members {
		names = append(names, name)
	}
	slices.Sort(names)
	// Most important: none of the private members d, p, q, dp, dq, qi, oth, k.
	if !slices.Equal(names, want) || members["use"] != "sig" {
		t.Errorf("members %v, want %v", names, want)
	}
	return members["kid"], members["alg"], public
}

// TestPublishedKey checks the published JWK of each algorithm.
func TestPublishedKey(t *testing.T) {
	t.Parallel()
	for _, algorithm := range []string{ES256, RS256, EdDSA} {
		k := makeKey(t, algorithm)
		id, alg, public := fromJWK(t, k.jwk)
		if id != k.id || alg != algorithm || len(id) != kidLen {
			t.Errorf("%s: published as %s for %s", k.id, id, alg)
		}
		if !public.(interface{ Equal(crypto.PublicKey) bool }).Equal(k.public) {
			t.Errorf("%s: another key is published", algorithm)
		}
	}
}
