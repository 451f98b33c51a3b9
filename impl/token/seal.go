package token

import (
	"bytes"
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"

	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/secret"
)

// ErrForeignSecret is for operators: the one thing that makes a sealed key unreadable in practice.
var ErrForeignSecret = errors.New("AUTH_SECRET is not the one that sealed the signing keys in the database, nor is AUTH_SECRET_PREVIOUS")

// sealer keeps signing keys unreadable in the database and in its backups (ASVS 13.3.1): PKCS #8 in AES-256-GCM.
type sealer struct {
	secrets []sealSecret // the first one seals; the others only open
}

// sealSecret is what a sealer derives from a secret.
type sealSecret struct {
	aead        cipher.AEAD
	fingerprint []byte // names the secret in the database, and tells nothing about it
}

func newSealer(root secret.Root) (sealer, error) {
	var s sealer
	for _, r := range root.All() {
		block, err := aes.NewCipher(r.Key("signing-key"))
		if err != nil {
			return sealer{}, fmt.Errorf("make cipher of the signing keys: %w", err)
		}
		aead, err := cipher.NewGCM(block)
		if err != nil {
			return sealer{}, fmt.Errorf("make cipher of the signing keys: %w", err)
		}
		s.secrets = append(s.secrets, sealSecret{aead: aead, fingerprint: r.Hash("signing-key-fingerprint", nil)})
	}
	return s, nil
}

// binding ties a sealed key to its row, so that no row can pass for another or for another algorithm.
func binding(id, algorithm string) []byte { return []byte(id + " " + algorithm) }

func (s sealer) seal(k *signingKey) ([]byte, error) {
	plain, err := x509.MarshalPKCS8PrivateKey(k.private)
	if err != nil {
		return nil, fmt.Errorf("encode signing key: %w", err)
	}
	aead := s.secrets[0].aead
	nonce := make([]byte, aead.NonceSize())
	if _, err := rand.Read(nonce); err != nil {
		return nil, fmt.Errorf("seal signing key: %w", err)
	}
	return aead.Seal(nonce, nonce, plain, binding(k.id, k.algorithm)), nil
}

// open opens a key that was sealed under any of the accepted secrets.
func (s sealer) open(row db.SigningKey) (*signingKey, error) {
	size := s.secrets[0].aead.NonceSize()
	if len(row.Sealed) < size {
		return nil, fmt.Errorf("signing key %s is damaged", row.ID)
	}
	nonce, sealed := row.Sealed[:size], row.Sealed[size:]
	var plain []byte
	under := slices.IndexFunc(s.secrets, func(by sealSecret) bool {
		var err error
		plain, err = by.aead.Open(nil, nonce, sealed, binding(row.ID, row.Algorithm))
		return err == nil
	})
	if under < 0 {
		return nil, fmt.Errorf("open signing key %s: %w", row.ID, ErrForeignSecret)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(plain)
	if err != nil {
		return nil, fmt.Errorf("signing key %s is damaged", row.ID) // the cause may quote the key
	}
	private, ok := parsed.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("signing key %s is of the unknown kind %T", row.ID, parsed)
	}
	k, err := newKey(private)
	if err != nil {
		return nil, fmt.Errorf("signing key %s: %w", row.ID, err)
	}
	if k.id != row.ID || k.algorithm != row.Algorithm {
		return nil, fmt.Errorf("signing key %s is another one, %s for %s", row.ID, k.id, k.algorithm)
	}
	k.sealed, k.sealedUnder, k.sealedBefore = row.Sealed, under, row.PreviousSecretFingerprint
	return k, nil
}

// outdated reports whether a key is to be sealed anew under our first secret. While AUTH_SECRET is changed, replicas of
// two steps run side by side, and each has the other's first secret as its second. So a key stays as it is where any
// key shows that its secret replaced ours: this replica is then at the earlier step, or the change was taken back.
func (s sealer) outdated(k *signingKey, keys []*signingKey) bool {
	return k.sealedUnder != 0 && !s.replaced(k.sealedUnder, 0, keys)
}

// replaced reports whether any of the keys shows that one of our secrets was used after another one.
func (s sealer) replaced(later, earlier int, keys []*signingKey) bool {
	return slices.ContainsFunc(keys, func(k *signingKey) bool {
		return k.sealedUnder == later && bytes.Equal(k.sealedBefore, s.secrets[earlier].fingerprint)
	})
}

// predecessor returns the fingerprint of the secret that our first one replaces, as far as the keys show it, or nil. A
// new key is stored with it: it may soon be the only one that shows it.
func (s sealer) predecessor(keys []*signingKey) []byte {
	for i := 1; i < len(s.secrets); i++ {
		if s.replaced(0, i, keys) || slices.ContainsFunc(keys, func(k *signingKey) bool {
			return k.sealedUnder == i && s.outdated(k, keys)
		}) {
			return s.secrets[i].fingerprint
		}
	}
	return nil
}
