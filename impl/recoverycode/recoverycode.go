// Package recoverycode makes recovery codes, each of which can replace a second factor once, and hashes them for the database.
package recoverycode

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"fmt"
	"strings"
	"unicode"
)

const (
	// Count is how many codes a user gets.
	Count = 10

	size      = 15 // bytes: 120 bits are beyond guessing, so a hash without a salt is enough (ASVS 6.5.2)
	groupSize = 4  // letters between hyphens
)

// encoding is the base32 of Crockford: without letters that look like digits.
//
//nolint:gochecknoglobals // a constant
var encoding = base32.NewEncoding("0123456789ABCDEFGHJKMNPQRSTVWXYZ").WithPadding(base32.NoPadding)

// New returns a set of codes, such as 7QK4-9M2X-A0VR-J8TB-3HWN-5CEZ.
func New() ([]string, error) {
	codes := make([]string, Count)
	for i := range codes {
		random := make([]byte, size)
		if _, err := rand.Read(random); err != nil {
			return nil, fmt.Errorf("generate a recovery code: %w", err)
		}
		codes[i] = group(encoding.EncodeToString(random))
	}
	return codes, nil
}

func group(text string) string {
	var groups []string
	for ; text != ""; text = text[groupSize:] {
		groups = append(groups, text[:groupSize])
	}
	return strings.Join(groups, "-")
}

// Hash returns the hash of a code as it is stored. The code may be typed in small letters, with or without hyphens and blanks, and with the letters
// that Crockford's base32 reads as digits.
func Hash(code string) []byte {
	normal := strings.Map(func(r rune) rune {
		r = unicode.ToUpper(r)
		switch {
		case unicode.IsSpace(r), unicode.Is(unicode.Pd, r): // Pd: hyphens and dashes
			return -1
		case r == 'O':
			return '0'
		case r == 'I', r == 'L':
			return '1'
		}
		return r
	}, code)
	sum := sha256.Sum256([]byte(normal))
	return sum[:]
}
