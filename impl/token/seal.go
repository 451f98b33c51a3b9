package token

import (
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"

	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/secret"
)

// ErrForeignSecret is for operators: the one thing that makes a sealed key unreadable in practice.
var ErrForeignSecret = errors.New("AUTH_SECRET is not the one that sealed the signing keys in the database, nor is AUTH_SECRET_PREVIOUS")

// sealer keeps signing keys unreadable in the database and in its backups (ASVS 13.3.1): PKCS #8 in AES-256-GCM.
type sealer struct {
	aead   cipher.AEAD   // seals
	others []cipher.AEAD // open too: of the other secrets that are accepted
}

func newSealer(root secret.Root) (sealer, error) {
	var aeads []cipher.AEAD
	for _, r := range root.All() {
		block, err := aes.NewCipher(r.Key("signing-key"))
		if err != nil {
			return sealer{}, fmt.Errorf("make cipher of the signing keys: %w", err)
		}
		aead, err := cipher.NewGCM(block)
		if err != nil {
			return sealer{}, fmt.Errorf("make cipher of the signing keys: %w", err)
		}
		aeads = append(aeads, aead)
	}
	return sealer{aead: aeads[0], others: aeads[1:]}, nil
}

// binding ties a sealed key to its row, so that no row can pass for another or for another algorithm.
func binding(id, algorithm string) []byte { return []byte(id + " " + algorithm) }

func (s sealer) seal(k *signingKey) ([]byte, error) {
	plain, err := x509.MarshalPKCS8PrivateKey(k.private)
	if err != nil {
		return nil, fmt.Errorf("encode signing key: %w", err)
	}
	nonce := make([]byte, s.aead.NonceSize())
	if _, err := rand.Read(nonce); err != nil {
		return nil, fmt.Errorf("seal signing key: %w", err)
	}
	return s.aead.Seal(nonce, nonce, plain, binding(k.id, k.algorithm)), nil
}

// open opens a key that was sealed under any of the accepted secrets.
func (s sealer) open(row db.SigningKey) (*signingKey, error) {
	if len(row.Sealed) < s.aead.NonceSize() {
		return nil, fmt.Errorf("signing key %s is damaged", row.ID)
	}
	nonce, sealed := row.Sealed[:s.aead.NonceSize()], row.Sealed[s.aead.NonceSize():]
	plain, err := s.aead.Open(nil, nonce, sealed, binding(row.ID, row.Algorithm))
	old := err != nil
	for _, other := range s.others {
		if err != nil {
			plain, err = other.Open(nil, nonce, sealed, binding(row.ID, row.Algorithm))
		}
	}
	if err != nil {
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
	k.sealed, k.reseal = row.Sealed, old
	return k, nil
}
