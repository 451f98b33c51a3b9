package password

import (
	"bytes"
	"crypto/rand"
	"encoding/base32"
	"errors"
	"strings"

	"github.com/financelime/authorization/impl/secret"
)

const (
	nonceLen       = 16
	fingerprintLen = 8
	groups         = 7
	groupSize      = 4
	mailedBits     = groups * groupSize * 5 // 140; ASVS 6.4.1 requires a mailed secret that cannot be guessed
)

// crockford is the alphabet of Crockford's base32 in lower case: without i, l, o and u, so that no character is mistaken for another one and
// no word appears.
const crockford = "0123456789abcdefghjkmnpqrstvwxyz"

// ErrForeignSecret means that a nonce was created under a secret that the service does not have any more.
var ErrForeignSecret = errors.New("the password must be derived from another AUTH_SECRET: AUTH_SECRET_PREVIOUS was removed too early")

// Mailed derives the password of a mail from the mail's nonce: 28 letters and digits in seven groups, 140 bits. Because it is derived, it is
// the same in every attempt to send the mail, and it is not stored. The nonce contains a fingerprint of the secret to derive it from: after
// a change of AUTH_SECRET, an attempt must not mail a password that differs from the pending password that an earlier attempt has set.
func Mailed(root secret.Root, nonce []byte) (string, error) {
	if len(nonce) == nonceLen { // from a version that had one secret
		return mailed(root, nonce), nil
	}
	for _, r := range root.All() {
		if len(nonce) == nonceLen+fingerprintLen && bytes.Equal(fingerprint(r, nonce[:nonceLen]), nonce[nonceLen:]) {
			return mailed(r, nonce), nil
		}
	}
	return "", ErrForeignSecret
}

func mailed(root secret.Root, nonce []byte) string {
	sum := root.Hash("mailed-password", nonce)
	text := base32.NewEncoding(crockford).EncodeToString(sum[:(mailedBits+7)/8])
	var b strings.Builder
	for i := range groups {
		if i > 0 {
			b.WriteByte('-')
		}
		b.WriteString(text[i*groupSize : (i+1)*groupSize])
	}
	return b.String()
}

// NewNonce returns the random value that a mailed password is derived from, followed by a fingerprint of the secret.
func NewNonce(root secret.Root) []byte {
	nonce := make([]byte, nonceLen, nonceLen+fingerprintLen)
	_, _ = rand.Read(nonce) // never fails: crypto/rand ends the process if there is no randomness
	return append(nonce, fingerprint(root, nonce)...)
}

// fingerprint identifies the secret that a nonce belongs to, and reveals nothing about the secret.
func fingerprint(root secret.Root, random []byte) []byte {
	return root.Hash("mailed-password-nonce", random)[:fingerprintLen]
}
