package token

import (
	"bytes"
	"crypto"
	"crypto/cipher"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"

	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/secret"
)

// ErrWrongSecret means that a signing key was encrypted with another secret.
var ErrWrongSecret = errors.New("AUTH_SECRET does not match the database: neither it nor AUTH_SECRET_PREVIOUS decrypts the signing keys")

// sealer encrypts and decrypts signing keys, so that the database and its backups contain no readable key (ASVS 13.3.1): PKCS #8 in
// AES-256-GCM.
type sealer struct {
	secrets []sealSecret // the first one encrypts; all decrypt
}

// sealSecret has what a sealer derives from a secret.
type sealSecret struct {
	aead        cipher.AEAD
	fingerprint []byte // identifies the secret in the database without revealing it
}

func newSealer(root secret.Root) (sealer, error) {
	var s sealer
	for _, r := range root.All() {
		aead, err := r.AEAD("signing-key")
		if err != nil {
			return sealer{}, err
		}
		s.secrets = append(s.secrets, sealSecret{aead: aead, fingerprint: r.Hash("signing-key-fingerprint", nil)})
	}
	return s, nil
}

// binding returns the additional data that ties an encrypted key to its ID and algorithm, so that rows cannot be exchanged.
func binding(id, algorithm string) []byte { return []byte(id + " " + algorithm) }

// seal encrypts a key with the first secret.
func (s sealer) seal(k *signingKey) ([]byte, error) {
	plain, err := x509.MarshalPKCS8PrivateKey(k.private)
	if err != nil {
		return nil, fmt.Errorf("encode signing key: %w", err)
	}
	aead := s.secrets[0].aead
	nonce := make([]byte, aead.NonceSize())
	if _, err := rand.Read(nonce); err != nil {
		return nil, fmt.Errorf("encrypt signing key: %w", err)
	}
	return aead.Seal(nonce, nonce, plain, binding(k.id, k.algorithm)), nil
}

// open decrypts a key that was encrypted with any of the accepted secrets.
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
		return nil, fmt.Errorf("decrypt signing key %s: %w", row.ID, ErrWrongSecret)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(plain)
	if err != nil {
		return nil, fmt.Errorf("signing key %s is damaged", row.ID) // without the cause, which can quote the key
	}
	private, ok := parsed.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("signing key %s has the unsupported type %T", row.ID, parsed)
	}
	k, err := newKey(private)
	if err != nil {
		return nil, fmt.Errorf("signing key %s: %w", row.ID, err)
	}
	if k.id != row.ID || k.algorithm != row.Algorithm {
		return nil, fmt.Errorf("the row of signing key %s contains another key, %s for %s", row.ID, k.id, k.algorithm)
	}
	k.sealed, k.sealedUnder, k.sealedBefore = row.Sealed, under, row.PreviousSecretFingerprint
	return k, nil
}

// outdated reports whether a key must be re-encrypted with the first secret. While AUTH_SECRET is being changed, replicas of two steps
// run at the same time, and the first secret of each is the second of the other. So a key is not re-encrypted if any key shows that its
// secret replaced the first secret of this replica: then this replica is at the earlier step, or the change was undone.
func (s sealer) outdated(k *signingKey, keys []*signingKey) bool {
	return k.sealedUnder != 0 && !s.replaced(k.sealedUnder, 0, keys)
}

// replaced reports whether any of the keys shows that the secret with index later replaced the one with index earlier.
func (s sealer) replaced(later, earlier int, keys []*signingKey) bool {
	return slices.ContainsFunc(keys, func(k *signingKey) bool {
		return k.sealedUnder == later && bytes.Equal(k.sealedBefore, s.secrets[earlier].fingerprint)
	})
}

// predecessor returns the fingerprint of the secret that the first one replaces, or nil if no key shows it. It is stored with each new
// key, because that may soon be the only key left that shows it.
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
