package password

import (
	"crypto/rand"
	"encoding/base32"
	"strings"

	"github.com/financelime/authorization/impl/secret"
)

const (
	groups     = 7
	groupSize  = 4
	mailedBits = groups * groupSize * 5 // 140; ASVS 6.4.1 wants a mailed secret that cannot be guessed
)

// crockford is Crockford's base32 in lower case: no i, l, o and u, so that nothing is taken for another or for a word.
const crockford = "0123456789abcdefghjkmnpqrstvwxyz"

// Mailed derives the password that a mail carries from the mail's nonce: 28 letters and digits in seven groups, 140
// bits. Being derived, it is the same in every attempt to send the mail, and nobody has to store it.
func Mailed(root secret.Root, nonce []byte) string {
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

// NewNonce makes the random value that a mailed password is derived from.
func NewNonce() []byte {
	nonce := make([]byte, 16)
	_, _ = rand.Read(nonce) // never fails: crypto/rand ends the program rather than being without randomness
	return nonce
}
