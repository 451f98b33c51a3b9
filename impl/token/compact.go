package token

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"
)

// ErrInvalid says that a text is not a token of ours, or one that has expired. Its reason is for logs at most: it
// contains nothing of the token, and callers are told no reason at all (RFC 6750 section 3.1).
var ErrInvalid = errors.New("invalid token")

func invalid(reason string) error { return fmt.Errorf("%w: %s", ErrInvalid, reason) }

// header is all that the header of our tokens has.
type header struct {
	Type      string `json:"typ"`
	Algorithm string `json:"alg"`
	KeyID     string `json:"kid,omitempty"`
}

// readHeader checks the form of a token before anything else looks at it, and reads its header. The form is the
// compact one (RFC 7515 section 7.1) of at most limit bytes. Of the header nothing but typ, alg and kid is understood,
// and what is not understood is refused: crit, zip and b64 change the meaning of a token (RFC 7515 section 4.1.11),
// jku, jwk, x5u and x5c bring a key of the sender's choice (RFC 8725 section 3.10). We made every token that we
// accept, so that there is nobody to be lenient to.
func readHeader(raw string, limit int) (header, error) {
	var h header
	// The limit comes first: all else costs time or memory by the size (CVE-2025-30204).
	if len(raw) > limit {
		return h, invalid("too long")
	}
	first, rest, _ := strings.Cut(raw, ".")
	second, third, _ := strings.Cut(rest, ".")
	for _, part := range []string{first, second, third} {
		if part == "" || strings.ContainsFunc(part, notBase64URL) { // a fourth part would begin with a dot
			return h, invalid("form")
		}
	}
	text, err := base64.RawURLEncoding.Strict().DecodeString(first)
	if err != nil {
		return h, invalid("encoding of the header")
	}
	if !bytes.HasPrefix(text, []byte("{")) { // null is an object to a decoder
		return h, invalid("header")
	}
	// This decoder tells letter cases apart, and refuses duplicate members and invalid UTF-8.
	if err := json.Unmarshal(text, &h, json.RejectUnknownMembers(true)); err != nil {
		return h, invalid("header")
	}
	return h, nil
}

// notBase64URL is stricter than a decoder, which skips line breaks.
func notBase64URL(r rune) bool {
	switch {
	case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9', r == '-', r == '_':
		return false
	}
	return true
}

// unmarshalClaims reads claims as strictly as the header; but unknown ones pass (RFC 7519 section 4), so that a later
// version may add some.
func unmarshalClaims(text []byte, claims any) error {
	if !bytes.HasPrefix(bytes.TrimLeft(text, " \t\r\n"), []byte("{")) {
		return errors.New("not an object")
	}
	return json.Unmarshal(text, claims)
}

// OtherIssuerError says that a token is one of ours and names another issuer: the setting was changed after it was made.
type OtherIssuerError struct{ Issuer string }

func (e *OtherIssuerError) Error() string { return ErrInvalid.Error() + ": another issuer" }

// Unwrap makes it ErrInvalid.
func (e *OtherIssuerError) Unwrap() error { return ErrInvalid }

// Reason is what the log says of a token that was refused for it.
func (e *OtherIssuerError) Reason() string { return "other_issuer" }

// RefusedFor is the reason for the log why a token was refused, or the given one where there is none in particular.
func RefusedFor(err error, otherwise string) string {
	if other, is := errors.AsType[*OtherIssuerError](err); is {
		return other.Reason()
	}
	return otherwise
}

// otherIssuer is the error of a token with a good signature that was refused for its issuer; nil if it was refused for something else.
func (c Config) otherIssuer(err error, issuer string) error {
	if !errors.Is(err, jwt.ErrTokenInvalidIssuer) || errors.Is(err, jwt.ErrTokenSignatureInvalid) || issuer == "" {
		return nil
	}
	if c.OtherIssuer != nil {
		c.OtherIssuer(issuer)
	}
	return &OtherIssuerError{Issuer: issuer}
}

// reason turns golang-jwt's errors, which can quote the token, into words of ours.
func reason(err error) error {
	switch {
	case errors.Is(err, jwt.ErrTokenExpired):
		return invalid("expired")
	case errors.Is(err, jwt.ErrTokenSignatureInvalid):
		return invalid("signature")
	case errors.Is(err, jwt.ErrTokenInvalidClaims):
		return invalid("claims")
	default:
		return invalid("form")
	}
}

// canonicalUUID reads a UUID as we write it: an id that has two spellings is two ids to somebody.
func canonicalUUID(s string) (uuid.UUID, bool) {
	id, err := uuid.Parse(s)
	return id, err == nil && id != uuid.Nil && id.String() == s
}
