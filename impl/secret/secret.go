// Package secret holds the one secret of the service, from which all its other keys are derived.
package secret

import (
	"bytes"
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

// Size of the root secret in bytes, and of every key that is derived from it.
const Size = 32

// encodedLen is what Size bytes take in base64 without padding.
const encodedLen = 43

// label keeps our keys apart from those that another program might derive from the same secret.
const label = "financelime-authorization/v1/"

// hidden is what a Root shows of itself.
const hidden = "[secret]"

// Root is the root secret (AUTH_SECRET). It never prints itself: not by fmt, not in a log, not as JSON.
// The zero Root is not a secret, and deriving from it panics.
type Root struct {
	// A function, because fmt does not call our methods when a Root is an unexported field of something that is
	// printed. It would then show the bytes of an array, and those behind a pointer too, with a verb like %s.
	key func() []byte
	// others are accepted besides: a function for the same reason.
	others func() []Root
}

// Parse reads a root secret: 32 bytes in base64, standard or URL alphabet, padded or not. White space around it is
// dropped, because files end with a newline. Its errors never contain the value.
func Parse(s string) (Root, error) {
	s = strings.TrimSpace(s)
	if s == "" {
		return Root{}, errors.New("the secret is empty, it must be 32 random bytes in base64")
	}
	if len(s) == encodedLen+1 {
		s = strings.TrimSuffix(s, "=")
	}
	s = strings.NewReplacer("+", "-", "/", "_").Replace(s)
	key, err := base64.RawURLEncoding.Strict().DecodeString(s)
	// The decoder skips line breaks, so the length of the text is checked as well.
	if err != nil || len(s) != encodedLen || len(key) != Size {
		return Root{}, errors.New("the secret is not 32 bytes in base64")
	}
	// Random bytes are never all equal; "AAAA..." in a configuration file is a placeholder that somebody forgot.
	if bytes.Count(key, key[:1]) == Size {
		return Root{}, errors.New("the secret is a placeholder, it must be 32 random bytes in base64")
	}
	return newRoot(key), nil
}

// Generate makes a new root secret.
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

// Accepting returns the root with another one that is accepted besides it. While AUTH_SECRET is changed, what was made
// under the one secret must be good where the other one makes new things.
func (r Root) Accepting(other Root) Root {
	all := slices.Concat(r.All()[1:], other.All())
	r.others = func() []Root { return all }
	return r
}

// All are the root that new things are made under, and then those that are accepted besides it, each by itself.
func (r Root) All() []Root {
	all := []Root{{key: r.key}}
	if r.others != nil {
		all = append(all, r.others()...)
	}
	return all
}

// Encode returns the secret in the form that Parse reads. It is the only way to see it, for writing it to its file.
func (r Root) Encode() string {
	return base64.StdEncoding.EncodeToString(r.bytes())
}

// Key derives the 32-byte key of new things for a purpose (HKDF-SHA-256, RFC 5869). Keys of different purposes tell nothing about
// each other or about the secret.
func (r Root) Key(purpose string) []byte {
	key, err := hkdf.Key(sha256.New, r.bytes(), nil, label+purpose, Size)
	if err != nil {
		panic("secret: derive key: " + err.Error()) // only for a key longer than 255 hashes
	}
	return key
}

// Hash is the HMAC-SHA-256 of data under the key for a purpose.
func (r Root) Hash(purpose string, data []byte) []byte {
	mac := hmac.New(sha256.New, r.Key(purpose))
	mac.Write(data)
	return mac.Sum(nil)
}

func (r Root) bytes() []byte {
	if r.key == nil {
		panic("secret: the zero Root was used")
	}
	return r.key()
}

// String hides the secret.
func (Root) String() string { return hidden }

// GoString hides the secret.
func (Root) GoString() string { return hidden }

// Format hides the secret from every verb of fmt, %x and %d included.
func (Root) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, hidden) }

// LogValue hides the secret from slog.
func (Root) LogValue() slog.Value { return slog.StringValue(hidden) }

// MarshalText hides the secret from encoders.
func (Root) MarshalText() ([]byte, error) { return []byte(hidden), nil }
