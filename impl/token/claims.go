package token

import (
	"bytes"
	"context"
	"errors"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"
)

// Claims are the claims of an access token.
type Claims struct {
	AccountID uuid.UUID // sub
	SessionID uuid.UUID // sid
	ClientID  string    // client_id
	ID        string    // jti
	IssuedAt  time.Time // iat
	ExpiresAt time.Time // exp
}

type contextKey struct{}

// NewContext returns a copy of ctx with the claims of the request's access token.
func NewContext(ctx context.Context, c Claims) context.Context {
	return context.WithValue(ctx, contextKey{}, c)
}

// FromContext returns the claims of the request's access token, and whether there are any.
func FromContext(ctx context.Context) (Claims, bool) {
	c, ok := ctx.Value(contextKey{}).(Claims)
	return c, ok
}

// maxUnixTime is the end of the year 9999. Later times would overflow in other software.
const maxUnixTime = 253402300799

// commonClaims are the claims that all tokens share. Times are whole seconds and the audience is one string. RFC 7519
// allows other forms, but this service does not write them and therefore does not accept them. (jwt.RegisteredClaims writes aud as an
// array, unless a global variable of that package is changed.)
type commonClaims struct {
	Issuer    string `json:"iss"`
	Audience  string `json:"aud"`
	IssuedAt  *int64 `json:"iat"`
	ExpiresAt *int64 `json:"exp"`
	NotBefore *int64 `json:"nbf,omitempty"`
}

// GetIssuer and the following methods implement [jwt.Claims], which golang-jwt validates.
func (c commonClaims) GetIssuer() (string, error) { return c.Issuer, nil }

// GetAudience returns aud.
func (c commonClaims) GetAudience() (jwt.ClaimStrings, error) {
	return jwt.ClaimStrings{c.Audience}, nil
}

// GetSubject returns "": golang-jwt does not validate the subject.
func (c commonClaims) GetSubject() (string, error) { return "", nil }

// GetExpirationTime returns exp.
func (c commonClaims) GetExpirationTime() (*jwt.NumericDate, error) { return numericDate(c.ExpiresAt) }

// GetIssuedAt returns iat.
func (c commonClaims) GetIssuedAt() (*jwt.NumericDate, error) { return numericDate(c.IssuedAt) }

// GetNotBefore returns nbf.
func (c commonClaims) GetNotBefore() (*jwt.NumericDate, error) { return numericDate(c.NotBefore) }

func numericDate(seconds *int64) (*jwt.NumericDate, error) {
	if seconds == nil {
		return nil, nil
	}
	if *seconds < 0 || *seconds > maxUnixTime {
		return nil, jwt.ErrTokenInvalidClaims
	}
	return &jwt.NumericDate{Time: time.Unix(*seconds, 0).UTC()}, nil
}

// issueTimes returns iat and exp of a token. Both are whole seconds, and exp is exactly lifetime after iat.
func issueTimes(issuedAt time.Time, lifetime time.Duration) (iat, exp *int64) {
	from := issuedAt.Unix()
	until := from + seconds(lifetime)
	return &from, &until
}

// unmarshalClaims parses claims as strictly as readHeader parses the header. Unknown claims are ignored (RFC 7519 section 4), so that a
// later version can add some.
func unmarshalClaims(text []byte, claims any) error {
	if !bytes.HasPrefix(bytes.TrimLeft(text, " \t\r\n"), []byte("{")) {
		return errors.New("not an object")
	}
	return json.Unmarshal(text, claims)
}

// canonicalUUID parses a UUID in its canonical spelling only: software that compares IDs as text would see two spellings as two IDs.
func canonicalUUID(s string) (uuid.UUID, bool) {
	id, err := uuid.Parse(s)
	return id, err == nil && id != uuid.Nil && id.String() == s
}
