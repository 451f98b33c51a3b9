package token

import (
	"fmt"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"

	"github.com/financelime/authorization/impl/secret"
)

const (
	refreshType    = "rt+jwt"
	refreshPurpose = "refresh-token"
	// maxRefresh is the greatest length of a refresh token. Ours have about 400 bytes.
	maxRefresh = 2 << 10
)

// Refresh makes and reads refresh tokens. They are JWTs, but signed with HMAC under a key that only the service has,
// with a type and an audience of their own, so that nobody can take one for an access token (RFC 8725 section 3.11).
type Refresh struct {
	root   secret.Root
	cfg    Config
	parser *jwt.Parser
}

// RefreshClaims are what a refresh token says: the session, and which of its generations the token belongs to.
type RefreshClaims struct {
	SessionID  uuid.UUID
	Generation int64
}

// NewRefresh makes a Refresh under the service's secret.
func NewRefresh(root secret.Root, cfg Config) (*Refresh, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	return &Refresh{root: root, cfg: cfg, parser: jwt.NewParser(
		jwt.WithValidMethods([]string{jwt.SigningMethodHS256.Alg()}),
		jwt.WithStrictDecoding(),
		jwt.WithIssuer(cfg.Issuer),
		jwt.WithAudience(cfg.refreshAudience()),
		jwt.WithExpirationRequired(),
		jwt.WithTimeFunc(cfg.Clock.Now),
		// Without WithIssuedAt: the database knows whether a token was issued. A replica whose clock was set back
		// would refuse the tokens of the last hour, and with that log people out.
	)}, nil
}

type refreshClaims struct {
	commonClaims
	Session    string `json:"sid"`
	Generation int64  `json:"gen"`
}

// UnmarshalJSON reads the claims strictly, also when a lenient decoder calls it.
func (c *refreshClaims) UnmarshalJSON(text []byte) error {
	type plain refreshClaims
	return unmarshalClaims(text, (*plain)(c))
}

// Token makes the refresh token of a session's generation, which began at refreshedAt. It is a function of its
// arguments, byte for byte, so that a client whose answer was lost gets the same token again. (After a change of AUTH_SECRET it gets another one,
// which is as good.)
func (r *Refresh) Token(sessionID uuid.UUID, generation int64, refreshedAt time.Time) (string, error) {
	claims := refreshClaims{
		commonClaims: commonClaims{Issuer: r.cfg.Issuer, Audience: r.cfg.refreshAudience()},
		Session:      sessionID.String(),
		Generation:   generation,
	}
	claims.IssuedAt, claims.ExpiresAt = newTimes(refreshedAt, r.cfg.RefreshTTL)
	token := &jwt.Token{
		Method: jwt.SigningMethodHS256,
		Header: map[string]any{"typ": refreshType, "alg": jwt.SigningMethodHS256.Alg()},
		Claims: claims,
	}
	signed, err := token.SignedString(r.root.Key(refreshPurpose))
	if err != nil {
		return "", fmt.Errorf("sign refresh token: %w", err)
	}
	return signed, nil
}

// Parse reads a refresh token. ErrInvalid when it is malformed, forged or expired. Whether it is the session's current
// one is the caller's question to the database.
func (r *Refresh) Parse(raw string) (RefreshClaims, error) {
	h, err := readHeader(raw, maxRefresh)
	if err != nil {
		return RefreshClaims{}, err
	}
	if h.Type != refreshType || h.Algorithm != jwt.SigningMethodHS256.Alg() || h.KeyID != "" {
		return RefreshClaims{}, invalid("type")
	}
	var claims refreshClaims
	key := func(*jwt.Token) (any, error) {
		var keys jwt.VerificationKeySet
		for _, root := range r.root.All() {
			keys.Keys = append(keys.Keys, root.Key(refreshPurpose))
		}
		return keys, nil
	}
	if _, err := r.parser.ParseWithClaims(raw, &claims, key); err != nil {
		if other := r.cfg.otherIssuer(err, claims.Issuer); other != nil {
			return RefreshClaims{}, other
		}
		return RefreshClaims{}, reason(err)
	}
	session, ok := canonicalUUID(claims.Session)
	if !ok || claims.Generation < 1 {
		return RefreshClaims{}, invalid("claims")
	}
	return RefreshClaims{SessionID: session, Generation: claims.Generation}, nil
}
