// Package digest computes what HTTP headers say about content: entity tags and the hashes of a content security policy.
package digest

import (
	"crypto/sha256"
	"encoding/base64"
)

// ETag returns the strong entity tag of a body (RFC 9110, 8.8.3).
func ETag(body []byte) string {
	sum := sha256.Sum256(body)
	return `"` + base64.RawURLEncoding.EncodeToString(sum[:16]) + `"`
}

// CSPSource returns the source expression that allows an inline style or script with this text (CSP Level 3, 2.3.1).
func CSPSource(inline string) string {
	sum := sha256.Sum256([]byte(inline))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}
