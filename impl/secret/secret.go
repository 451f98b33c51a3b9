// Package secret holds the root secret of the service (AUTH_SECRET) and derives all other keys from it.
package secret

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
)

// Size is the length of the root secret and of every derived key, in bytes.
const Size = 32

// encodedLen is the length of Size bytes in base64 without padding.
const encodedLen = 43

// label separates our keys from keys that another program might derive from the same secret.
const label = "financelime-authorization/v1/"

// hidden is the text form of every Root.
const hidden = "[secret]"

// Root is the root secret (AUTH_SECRET). It is never printed: not by fmt, not in a log, not as JSON. The zero Root is not a secret, and
// deriving a key from it panics.
type Root struct {
	// key is a function because fmt does not call the methods of a Root in an unexported field of a printed value. With a verb such as %s,
	// fmt would print the bytes of an array, also behind a pointer.
	key func() []byte
	// others returns the secrets that are also accepted. It is a function for the same reason.
	others func() []Root
}

// Parse parses a root secret: 32 bytes in base64, with the standard or URL alphabet, padded or not. It trims white space, because files end
// with a newline. Its errors never contain the value.
func Parse(s string) (Root, error) {
	s = strings.TrimSpace(s)
	if s == "" {
		return Root{}, errors.New("the secret is empty; it must be 32 random bytes in base64")
	}
	if len(s) == encodedLen+1 {
		s = strings.TrimSuffix(s, "=")
	}
	s = strings.NewReplacer("+", "-", "/", "_").Replace(s)
	key, err := base64.RawURLEncoding.Strict().DecodeString(s)
	// The decoder skips line breaks, so the length of the text is checked too.
	if err != nil || len(s) != encodedLen || len(key) != Size {
		return Root{}, errors.New("the secret is not 32 bytes in base64")
	}
	// Random bytes are never all equal. "AAAA..." in a configuration file is a forgotten placeholder.
	if bytes.Count(key, key[:1]) == Size {
		return Root{}, errors.New("the secret is a placeholder; it must be 32 random bytes in base64")
	}
	return newRoot(key), nil
}

// Generate returns a new random root secret.
func Generate() (Root, error) {
	key := make([]byte, Size)
	if _, err := rand.Read(key); err != nil {
		return Root{}, fmt.Errorf("generate secret: %w", err)
	}
	return newRoot(key), nil
}

func newRoot(key []byte) Root {
	return Root{key: func() []byte { return key }}
}

// Accepting returns the root with another one that is also accepted. While AUTH_SECRET is being changed, what was created under one secret
// must be valid on replicas that create under the other one.
func (r Root) Accepting(other Root) Root {
	all := slices.Concat(r.All()[1:], other.All())
	r.others = func() []Root { return all }
	return r
}

// All returns the root that is used to create, and then those that are also accepted, each as a single root.
func (r Root) All() []Root {
	all := []Root{{key: r.key}}
	if r.others != nil {
		all = append(all, r.others()...)
	}
	return all
}

// Encode returns the secret in the form that Parse accepts, for writing it to its file. No other method returns it.
func (r Root) Encode() string {
	return base64.StdEncoding.EncodeToString(r.bytes())
}

// Key derives the 32-byte key for a purpose (HKDF-SHA-256, RFC 5869). A key reveals nothing about the secret or about keys for other
// purposes.
func (r Root) Key(purpose string) []byte {
	key, err := hkdf.Key(sha256.New, r.bytes(), nil, label+purpose, Size)
	if err != nil {
		panic("secret: derive key: " + err.Error()) // fails only for a key longer than 255 hashes
	}
	return key
}

// Hash returns the HMAC-SHA-256 of data under the key for a purpose.
func (r Root) Hash(purpose string, data []byte) []byte {
	mac := hmac.New(sha256.New, r.Key(purpose))
	mac.Write(data)
	return mac.Sum(nil)
}

// AEAD returns AES-256-GCM with the key for a purpose.
func (r Root) AEAD(purpose string) (cipher.AEAD, error) {
	block, err := aes.NewCipher(r.Key(purpose))
	if err != nil {
		return nil, fmt.Errorf("make the cipher: %w", err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, fmt.Errorf("make the cipher: %w", err)
	}
	return aead, nil
}

func (r Root) bytes() []byte {
	if r.key == nil {
		panic("secret: the zero Root was used")
	}
	return r.key()
}

// String returns a placeholder.
func (Root) String() string { return hidden }

// GoString returns a placeholder.
func (Root) GoString() string { return hidden }

// Format writes a placeholder for every verb of fmt, including %x and %d.
func (Root) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, hidden) }

// LogValue returns a placeholder.
func (Root) LogValue() slog.Value { return slog.StringValue(hidden) }

// MarshalText returns a placeholder.
func (Root) MarshalText() ([]byte, error) { return []byte(hidden), nil }
