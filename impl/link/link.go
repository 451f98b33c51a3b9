// Package link makes and recognises the keys of the links that are mailed to confirm an address or a password reset.
package link

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/financelime/authorization/impl/secret"
)

const (
	noncePurpose = "link-key"
	tagPurpose   = "link-tag"

	halfLen = 16 // bytes of the nonce, and of its tag
	keyLen  = 43 // both together in base64url without padding
)

// Keys derives link keys. A key exists only in the mail: the database has the random id that it is derived from,
// which is worthless without the service's secret, and the key's hash.
//
// A key is a nonce, derived from the id, and an authentication tag of the nonce. So the service recognises a key that it made, also when
// the database has forgotten it.
type Keys struct {
	root secret.Root
}

// New makes Keys under the service's secret.
func New(root secret.Root) Keys {
	return Keys{root: root}
}

// Key is the key of a new confirmation: 32 bytes as 43 characters of base64url, which mail programs leave whole.
func (k Keys) Key(confirmationID uuid.UUID) string { return key(k.root, confirmationID) }

// Find is the key of a confirmation whose hash is known, under whichever of the service's secrets it was made. Not ok:
// it was made under another one.
func (k Keys) Find(confirmationID uuid.UUID, hash []byte) (found string, ok bool) {
	for _, root := range k.root.All() {
		found = key(root, confirmationID)
		if sum, ok := Hash(found); ok && bytes.Equal(sum, hash) {
			return found, true
		}
	}
	return "", false
}

func key(root secret.Root, confirmationID uuid.UUID) string {
	nonce := root.Hash(noncePurpose, confirmationID[:])[:halfLen]
	return base64.RawURLEncoding.EncodeToString(slices.Concat(nonce, tag(root, nonce)))
}

func tag(root secret.Root, nonce []byte) []byte { return root.Hash(tagPurpose, nonce)[:halfLen] }

// Issued reports whether the service made a key, under whichever of its secrets: used, expired or replaced, it is no guess. The tag has
// 128 bits.
func (k Keys) Issued(key string) bool {
	raw, ok := decode(key)
	if !ok {
		return false
	}
	made := false
	for _, root := range k.root.All() {
		made = made || hmac.Equal(tag(root, raw[:halfLen]), raw[halfLen:])
	}
	return made
}

// URL is the link with a key. Its host comes from the settings alone, never from a request (ASVS 6.4,
// Zitadel CVE-2025-64101); rid, the id of the request that caused it, is escaped. It ends with a letter or digit: mail programs
// leave punctuation out that a link in a text ends with (RFC 3986, appendix C).
func URL(publicURL, key, rid string) string {
	link := strings.TrimSuffix(publicURL, "/") + "/u/" + key + "?rid=" + url.QueryEscape(rid)
	if last := len(link) - 1; strings.IndexByte("-._~", link[last]) >= 0 { // all punctuation that is not escaped
		link = link[:last] + fmt.Sprintf("%%%02X", link[last])
	}
	return link
}

// Hash is what the database knows of a key; ok is false for what cannot be a key, so that nothing cut, padded or
// otherwise respelled is ever looked up. The hash needs neither salt nor cost: a key has more than 120 random bits.
func Hash(key string) (hash []byte, ok bool) {
	if _, ok := decode(key); !ok {
		return nil, false
	}
	sum := sha256.Sum256([]byte(key))
	return sum[:], true
}

func decode(key string) (raw []byte, ok bool) {
	if len(key) != keyLen {
		return nil, false
	}
	// Strict refuses set bits after the 32nd byte, by which one key would have four spellings. The decoder skips line
	// breaks, so that a text with one comes out short.
	raw, err := base64.RawURLEncoding.Strict().DecodeString(key)
	return raw, err == nil && len(raw) == 2*halfLen
}
