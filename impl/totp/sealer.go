package totp

import (
	"bytes"
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"

	"github.com/google/uuid"

	"github.com/financelime/authorization/impl/secret"
)

// ErrForeignSecret means that a TOTP secret was sealed under another AUTH_SECRET.
var ErrForeignSecret = errors.New("the TOTP secret was sealed under another AUTH_SECRET: AUTH_SECRET_PREVIOUS was removed too early")

// fingerprintSize is the length of what a sealed secret begins with: the fingerprint of the AUTH_SECRET under which it was sealed. Queries look
// for it.
const fingerprintSize = 8

// Sealer seals TOTP secrets, so that the database and its backups contain no readable secret (ASVS 13.3.1): AES-256-GCM under a key derived from
// AUTH_SECRET.
type Sealer struct {
	secrets []sealSecret // the first one seals; all open
}

type sealSecret struct {
	aead        cipher.AEAD
	fingerprint []byte
}

// NewSealer returns a Sealer whose keys are derived from root.
func NewSealer(root secret.Root) (*Sealer, error) {
	var s Sealer
	for _, r := range root.All() {
		aead, err := r.AEAD("totp-secret")
		if err != nil {
			return nil, err
		}
		s.secrets = append(s.secrets, sealSecret{aead: aead, fingerprint: r.Hash("totp-secret-fingerprint", nil)[:fingerprintSize]})
	}
	return &s, nil
}

// Seal seals the secret of an account with the first AUTH_SECRET. The account is bound to it, so that rows cannot be exchanged.
func (s *Sealer) Seal(plain Secret, accountID uuid.UUID) ([]byte, error) {
	by := s.secrets[0]
	nonce := make([]byte, by.aead.NonceSize())
	if _, err := rand.Read(nonce); err != nil {
		return nil, fmt.Errorf("seal a TOTP secret: %w", err)
	}
	return by.aead.Seal(slices.Concat(by.fingerprint, nonce), nonce, plain.key(), accountID[:]), nil
}

// Open opens the secret of an account that was sealed under any of the accepted secrets. It returns [ErrForeignSecret] if that was another one.
func (s *Sealer) Open(sealed []byte, accountID uuid.UUID) (Secret, error) {
	if len(sealed) < fingerprintSize {
		return Secret{}, errors.New("a TOTP secret is damaged")
	}
	fingerprint, rest := sealed[:fingerprintSize], sealed[fingerprintSize:]
	i := slices.IndexFunc(s.secrets, func(by sealSecret) bool { return bytes.Equal(by.fingerprint, fingerprint) })
	if i < 0 {
		return Secret{}, ErrForeignSecret
	}
	aead := s.secrets[i].aead
	if len(rest) < aead.NonceSize() {
		return Secret{}, errors.New("a TOTP secret is damaged")
	}
	plain, err := aead.Open(nil, rest[:aead.NonceSize()], rest[aead.NonceSize():], accountID[:])
	if err != nil || len(plain) != secretSize {
		return Secret{}, errors.New("a TOTP secret is damaged, or belongs to another account")
	}
	return secretOf(plain), nil
}
