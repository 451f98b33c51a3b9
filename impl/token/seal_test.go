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

// TestSealAndOpen checks that a decrypted key is the one that was encrypted, and that the row does not contain it in plain.
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
			t.Errorf("%s: the decrypted key is another one", algorithm)
		}
		plain, err := x509.MarshalPKCS8PrivateKey(k.private)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(row.Sealed, plain[len(plain)-24:]) {
			t.Errorf("%s: the private key is in the row", algorithm)
		}
		if bytes.Equal(row.Sealed, sealedRow(t, s, k).Sealed) {
			t.Errorf("%s: the same nonce was used twice", algorithm)
		}
	}
}

// TestWeakKeyInTheDatabaseStopsTheStart checks that a weak key in the database is not used, even if it is encrypted with the right
// secret (ASVS 11.2.3).
func TestWeakKeyInTheDatabaseStopsTheStart(t *testing.T) {
	t.Parallel()
	weak, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	c, store, root := fakeclock.New(start), newStore(t), newRoot(t)
	sealer, err := newSealer(root)
	if err != nil {
		t.Fatal(err)
	}
	row := sealedRow(t, sealer, &signingKey{id: strings.Repeat("A", kidLen), algorithm: RS256, private: weak})
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

// TestOpenRefuses checks that a modified, cut or exchanged row is refused.
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
	// Rows that contain another key than their ID and algorithm say, although they are encrypted with the right secret.
	otherID := *k
	otherID.id = other.id
	otherAlgorithm := *k
	otherAlgorithm.algorithm = RS256
	for name, row := range map[string]db.SigningKey{
		"another id":         change(func(r *db.SigningKey) { r.ID = other.id }),
		"another algorithm":  change(func(r *db.SigningKey) { r.Algorithm = EdDSA }),
		"a changed bit":      change(func(r *db.SigningKey) { r.Sealed[40] ^= 1 }),
		"a changed nonce":    change(func(r *db.SigningKey) { r.Sealed[0] ^= 1 }),
		"cut":                change(func(r *db.SigningKey) { r.Sealed = r.Sealed[:len(r.Sealed)-1] }),
		"only a nonce":       change(func(r *db.SigningKey) { r.Sealed = r.Sealed[:12] }),
		"less than a nonce":  change(func(r *db.SigningKey) { r.Sealed = r.Sealed[:11] }),
		"empty":              change(func(r *db.SigningKey) { r.Sealed = nil }),
		"content of another": sealedRow(t, s, &otherID),
		"type of another":    sealedRow(t, s, &otherAlgorithm),
	} {
		if _, err := s.open(row); err == nil {
			t.Errorf("%s: opened", name)
		}
	}
	// The ID and the algorithm are authenticated by the encryption.
	for _, row := range []db.SigningKey{
		change(func(r *db.SigningKey) { r.ID = other.id }),
		change(func(r *db.SigningKey) { r.Algorithm = EdDSA }),
	} {
		if _, err := s.open(row); !errors.Is(err, ErrWrongSecret) {
			t.Errorf("a row with the ID or algorithm of another: %v", err)
		}
	}
	_, err := newTestSealer(t).open(good)
	if !errors.Is(err, ErrWrongSecret) || !strings.Contains(err.Error(), "AUTH_SECRET does not match the database") {
		t.Errorf("with another secret: %v", err)
	}
}

// FuzzOpen checks that only the unmodified row is decrypted.
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
