package token

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"strings"
	"testing"

	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/test/fakeclock"
)

func newTestSealer(t testing.TB) sealer {
	t.Helper()
	s, err := newSealer(newRoot(t))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func sealedRow(t testing.TB, s sealer, k *signingKey) db.SigningKey {
	t.Helper()
	sealed, err := s.seal(k)
	if err != nil {
		t.Fatal(err)
	}
	return db.SigningKey{ID: k.id, Algorithm: k.algorithm, Sealed: sealed}
}

func TestSealAndOpen(t *testing.T) {
	t.Parallel()
	s := newTestSealer(t)
	for _, algorithm := range []string{ES256, RS256, EdDSA} {
		k := makeKey(t, algorithm)
		row := sealedRow(t, s, k)
		opened, err := s.open(row)
		if err != nil {
			t.Fatal(err)
		}
		if opened.id != k.id || opened.algorithm != algorithm || !bytes.Equal(opened.jwk, k.jwk) {
			t.Errorf("%s: another key came out", algorithm)
		}
		plain, err := x509.MarshalPKCS8PrivateKey(k.private)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(row.Sealed, plain[len(plain)-24:]) {
			t.Errorf("%s: the private key is in the row", algorithm)
		}
		if bytes.Equal(row.Sealed, sealedRow(t, s, k).Sealed) {
			t.Errorf("%s: sealed twice with one nonce", algorithm)
		}
	}
}

// A weak key does not get into use by way of the database, even if somebody has the secret (ASVS 11.2.3).
func TestWeakKeyInTheDatabaseStopsTheStart(t *testing.T) {
	t.Parallel()
	weak, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	c, store, root := fakeclock.New(start), newStore(t), newRoot(t)
	seals, err := newSealer(root)
	if err != nil {
		t.Fatal(err)
	}
	row := sealedRow(t, seals, &signingKey{id: strings.Repeat("A", kidLen), algorithm: RS256, private: weak})
	err = store.Write(t.Context(), func(q *db.Queries) error {
		_, err := q.InsertSigningKey(t.Context(), db.InsertSigningKeyParams{
			ID: row.ID, Number: 1, Algorithm: row.Algorithm, Sealed: row.Sealed, CreatedAt: c.Now(), ActiveAt: c.Now(),
		})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := OpenKeys(t.Context(), store, root, newConfig(c), quiet()); err == nil || !strings.Contains(err.Error(), "2048 bits") {
		t.Errorf("got %v", err)
	}
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	s := newTestSealer(t)
	k, other := makeKey(t, ES256), makeKey(t, ES256)
	good := sealedRow(t, s, k)
	change := func(f func(*db.SigningKey)) db.SigningKey {
		row := good
		row.Sealed = bytes.Clone(good.Sealed)
		f(&row)
		return row
	}
	// A key whose content is not what its row says, though sealed by us.
	liar := *k
	liar.id = other.id
	weak := *k
	weak.algorithm = RS256
	for name, row := range map[string]db.SigningKey{
		"another id":         change(func(r *db.SigningKey) { r.ID = other.id }),
		"another algorithm":  change(func(r *db.SigningKey) { r.Algorithm = EdDSA }),
		"a changed bit":      change(func(r *db.SigningKey) { r.Sealed[40] ^= 1 }),
		"a changed nonce":    change(func(r *db.SigningKey) { r.Sealed[0] ^= 1 }),
		"cut":                change(func(r *db.SigningKey) { r.Sealed = r.Sealed[:len(r.Sealed)-1] }),
		"only a nonce":       change(func(r *db.SigningKey) { r.Sealed = r.Sealed[:12] }),
		"less than a nonce":  change(func(r *db.SigningKey) { r.Sealed = r.Sealed[:11] }),
		"empty":              change(func(r *db.SigningKey) { r.Sealed = nil }),
		"content of another": sealedRow(t, s, &liar),
		"kind of another":    sealedRow(t, s, &weak),
	} {
		if _, err := s.open(row); err == nil {
			t.Errorf("%s: opened", name)
		}
	}
	// The seal itself is of one id and one algorithm.
	for _, row := range []db.SigningKey{
		change(func(r *db.SigningKey) { r.ID = other.id }),
		change(func(r *db.SigningKey) { r.Algorithm = EdDSA }),
	} {
		if _, err := s.open(row); !errors.Is(err, ErrForeignSecret) {
			t.Errorf("a row that passes for another: %v", err)
		}
	}
	_, err := newTestSealer(t).open(good)
	if !errors.Is(err, ErrForeignSecret) || !strings.Contains(err.Error(), "AUTH_SECRET is not the one that sealed the signing keys") {
		t.Errorf("with another secret: %v", err)
	}
}

// A seal opens as it was made, or not at all.
func FuzzOpen(f *testing.F) {
	s := newTestSealer(f)
	good := sealedRow(f, s, makeKey(f, EdDSA))
	f.Add(good.ID, good.Algorithm, good.Sealed)
	f.Add(good.ID, ES256, good.Sealed)
	f.Add("", EdDSA, good.Sealed[:12])
	f.Add(good.ID, EdDSA, []byte{})
	f.Fuzz(func(t *testing.T, id, algorithm string, sealed []byte) {
		k, err := s.open(db.SigningKey{ID: id, Algorithm: algorithm, Sealed: sealed})
		same := id == good.ID && algorithm == good.Algorithm && bytes.Equal(sealed, good.Sealed)
		if (err == nil) != same || same && k.id != id {
			t.Fatalf("%q %q %x: %v", id, algorithm, sealed, err)
		}
	})
}
