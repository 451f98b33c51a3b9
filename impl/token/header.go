package token

import (
	"bytes"
	"encoding/base64"
	"strings"

	"github.com/go-json-experiment/json"
)

// header has all members that the header of a token of this service can have.
type header struct {
	Type      string `json:"typ"`
	Algorithm string `json:"alg"`
	KeyID     string `json:"kid,omitempty"`
}

// readHeader validates the form of a token and parses its header. It runs before all other checks.
//
// The form is the compact serialization (RFC 7515 section 7.1) with at most limit bytes. Header parameters other than typ, alg and kid
// are refused: crit, zip and b64 change the meaning of a token (RFC 7515 section 4.1.11); jku, jwk, x5u and x5c bring a key that the
// sender chose (RFC 8725 section 3.10). Strictness costs nothing, because this service issued every token that it accepts.
func readHeader(raw string, limit int) (header, error) {
	var h header
	// The length comes first: the cost of every other check grows with it (CVE-2025-30204).
	if len(raw) > limit {
		return h, invalid("too long")
	}
	first, rest, _ := strings.Cut(raw, ".")
	second, third, _ := strings.Cut(rest, ".")
	for _, part := range []string{first, second, third} {
		if part == "" || strings.ContainsFunc(part, notBase64URL) { // this also refuses a fourth part, because it begins with a dot
			return h, invalid("form")
		}
	}
	text, err := base64.RawURLEncoding.Strict().DecodeString(first)
	if err != nil {
		return h, invalid("encoding of the header")
	}
	if !bytes.HasPrefix(text, []byte("{")) { // the decoder would accept null
		return h, invalid("header")
	}
	// This decoder is case-sensitive, and refuses duplicate members and invalid UTF-8.
	if err := json.Unmarshal(text, &h, json.RejectUnknownMembers(true)); err != nil {
		return h, invalid("header")
	}
	return h, nil
}

// notBase64URL reports whether r is outside the base64url alphabet. It is stricter than Go's decoder, which ignores line breaks.
func notBase64URL(r rune) bool {
	switch {
	case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9', r == '-', r == '_':
		return false
	}
	return true
}
