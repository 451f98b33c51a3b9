package token

import (
	"context"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"
)

// Claims are what an access token says.
type Claims struct {
	AccountID uuid.UUID // sub
	SessionID uuid.UUID // sid
	ClientID  string    // client_id
	ID        string    // jti
	IssuedAt  time.Time // iat
	ExpiresAt time.Time // exp
}

type contextKey struct{}

// NewContext puts the claims of the request's access token on its context.
func NewContext(ctx context.Context, c Claims) context.Context {
	return context.WithValue(ctx, contextKey{}, c)
}

// FromContext returns the claims of the request's access token.
func FromContext(ctx context.Context) (Claims, bool) {
	c, ok := ctx.Value(contextKey{}).(Claims)
	return c, ok
}

// lastSecond is the end of the year 9999. A time beyond it would overflow somewhere.
const lastSecond = 253402300799

// commonClaims are those of both kinds of tokens. Times are whole seconds and the audience is one string: what other
// forms RFC 7519 allows, we do not write and so do not read. (jwt.RegisteredClaims writes aud as an array, unless one
// changes a variable of the package for everybody.)
type commonClaims struct {
	Issuer    string `json:"iss"`
	Audience  string `json:"aud"`
	IssuedAt  *int64 `json:"iat"`
	ExpiresAt *int64 `json:"exp"`
	NotBefore *int64 `json:"nbf,omitempty"`
}

// GetIssuer and the other methods are what golang-jwt validates.
func (c commonClaims) GetIssuer() (string, error) { return c.Issuer, nil }

// GetAudience gives the one audience.
func (c commonClaims) GetAudience() (jwt.ClaimStrings, error) {
	return jwt.ClaimStrings{c.Audience}, nil
}

// GetSubject is not used.
func (c commonClaims) GetSubject() (string, error) { return "", nil }

// GetExpirationTime gives exp.
func (c commonClaims) GetExpirationTime() (*jwt.NumericDate, error) { return date(c.ExpiresAt) }

// GetIssuedAt gives iat.
func (c commonClaims) GetIssuedAt() (*jwt.NumericDate, error) { return date(c.IssuedAt) }

// GetNotBefore gives nbf.
func (c commonClaims) GetNotBefore() (*jwt.NumericDate, error) { return date(c.NotBefore) }

func date(seconds *int64) (*jwt.NumericDate, error) {
	if seconds == nil {
		return nil, nil
	}
	if *seconds < 0 || *seconds > lastSecond {
		return nil, jwt.ErrTokenInvalidClaims
	}
	return &jwt.NumericDate{Time: time.Unix(*seconds, 0).UTC()}, nil
}

// newTimes are the times of a token that is issued at a moment. Counting from the whole second, its life is exact.
func newTimes(issuedAt time.Time, life time.Duration) (iat, exp *int64) {
	from := issuedAt.Unix()
	until := from + seconds(life)
	return &from, &until
}
