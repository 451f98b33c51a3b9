// Package link creates and verifies the keys of mailed links, which confirm an address, a password reset or another change of an account.
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

// Keys derives link keys. Only the mail contains a key. The database contains its hash, and the random ID from which it is derived; the ID is
// useless without the service's secret.
//
// A key is a nonce, derived from the ID, and an authentication tag of the nonce. So the service recognizes a key that it issued, even after
// its row was deleted.
type Keys struct {
	root secret.Root
}

// New returns the Keys of a secret.
func New(root secret.Root) Keys {
	return Keys{root: root}
}

// Create returns the ID of a new link and the hash of its key.
func (k Keys) Create() (id uuid.UUID, keyHash []byte) {
	id = uuid.New() // random: the key of the link is derived from it
	sum := sha256.Sum256([]byte(k.Key(id)))
	return id, sum[:]
}

// Key returns the key of a new confirmation: 32 bytes as 43 characters of base64url, which mail programs do not break.
func (k Keys) Key(confirmationID uuid.UUID) string { return key(k.root, confirmationID) }

// Find returns the key of a confirmation with the given hash, derived from any of the service's secrets. It reports false if the key was
// derived from another secret.
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

// Issued reports whether the service issued a key, under any of its secrets. Such a key is not a guess, even if it was used, replaced or has
// expired. The tag has 128 bits.
func (k Keys) Issued(key string) bool {
	raw, ok := decode(key)
	if !ok {
		return false
	}
	issued := false
	for _, root := range k.root.All() {
		issued = issued || hmac.Equal(tag(root, raw[:halfLen]), raw[halfLen:])
	}
	return issued
}

// URL returns the link with a key that acts when it is opened. Its host comes only from the settings, never from a request (ASVS 6.4, Zitadel CVE-2025-64101). The ID of
// the request that caused it, rid, is escaped. The URL ends with a letter or digit, because mail programs exclude punctuation at the end of
// a link in a text (RFC 3986, appendix C).
func URL(publicURL, key, rid string) string { return build(publicURL, "/u/", key, rid) }

// PageURL returns the link with a key that opens a page on which the user acts. It has the same form as URL.
func PageURL(publicURL, key, rid string) string { return build(publicURL, "/l/", key, rid) }

func build(publicURL, path, key, rid string) string {
	link := strings.TrimSuffix(publicURL, "/") + path + key + "?rid=" + url.QueryEscape(rid)
	if last := len(link) - 1; strings.IndexByte("-._~", link[last]) >= 0 { // the only punctuation that QueryEscape does not escape
		link = link[:last] + fmt.Sprintf("%%%02X", link[last])
	}
	return link
}

// Hash returns the hash of a key, which the database contains. It reports false for a text that is not in the form of a key, so that a
// truncated, padded or otherwise changed key is never looked up. The hash needs neither a salt nor a cost, because a key has more than 120
// random bits.
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
	// Strict refuses set bits after the 32nd byte, so that a key does not have four encodings. The decoder skips line breaks, so a text with
	// one has too few bytes.
	raw, err := base64.RawURLEncoding.Strict().DecodeString(key)
	return raw, err == nil && len(raw) == 2*halfLen
}
