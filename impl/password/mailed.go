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
	nonceLen   = 16
	markLen    = 8
	groups     = 7
	groupSize  = 4
	mailedBits = groups * groupSize * 5 // 140; ASVS 6.4.1 wants a mailed secret that cannot be guessed
)

// crockford is Crockford's base32 in lower case: no i, l, o and u, so that nothing is taken for another or for a word.
const crockford = "0123456789abcdefghjkmnpqrstvwxyz"

// ErrForeignSecret says that a nonce was made under a secret that the service does not have (any more).
var ErrForeignSecret = errors.New("the password was to be derived from another AUTH_SECRET: AUTH_SECRET_PREVIOUS was removed too early")

// Mailed derives the password that a mail carries from the mail's nonce: 28 letters and digits in seven groups, 140
// bits. Being derived, it is the same in every attempt to send the mail, and nobody has to store it. The nonce tells
// under which of the service's secrets: an attempt after a change of AUTH_SECRET must not mail another password than
// the one that an earlier attempt has armed.
func Mailed(root secret.Root, nonce []byte) (string, error) {
	if len(nonce) == nonceLen { // of a version that had one secret
		return mailed(root, nonce), nil
	}
	for _, r := range root.All() {
		if len(nonce) == nonceLen+markLen && bytes.Equal(mark(r, nonce[:nonceLen]), nonce[nonceLen:]) {
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

// NewNonce makes the random value that a mailed password is derived from, with a mark of the secret.
func NewNonce(root secret.Root) []byte {
	nonce := make([]byte, nonceLen, nonceLen+markLen)
	_, _ = rand.Read(nonce) // never fails: crypto/rand ends the program rather than being without randomness
	return append(nonce, mark(root, nonce)...)
}

// mark tells which secret a nonce belongs to, and tells nothing of the secret.
func mark(root secret.Root, random []byte) []byte {
	return root.Hash("mailed-password-nonce", random)[:markLen]
}
