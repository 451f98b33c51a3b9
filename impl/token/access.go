package token

import (
	"context"
	"fmt"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"
)

const (
	accessType = "at+jwt" // RFC 9068 section 2.1
	// maxAccess limits the length of an access token in bytes. Tokens have about 700 bytes, with RS256 about 1,100.
	maxAccess = 8 << 10
	// leeway is the greatest difference between the clocks of two replicas that is tolerated.
	leeway = 30 * time.Second
	// kidLen is the length of every kid: SHA-256 in base64url.
	kidLen = 43
)

// Access issues and verifies access tokens (RFC 9068).
type Access struct {
	keys    *Keys
	cfg     Config
	parsers map[string]*jwt.Parser // by algorithm: each accepts only that one
}

// NewAccess returns an Access that uses keys.
func NewAccess(keys *Keys, cfg Config) (*Access, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	a := &Access{keys: keys, cfg: cfg, parsers: make(map[string]*jwt.Parser)}
	for _, algorithm := range []string{ES256, RS256, EdDSA} {
		a.parsers[algorithm] = jwt.NewParser(
			jwt.WithValidMethods([]string{algorithm}),
			jwt.WithStrictDecoding(),
			jwt.WithIssuer(cfg.Issuer),
			jwt.WithAudience(cfg.Audience),
			jwt.WithExpirationRequired(),
			jwt.WithIssuedAt(),
			jwt.WithLeeway(leeway),
			jwt.WithTimeFunc(cfg.Clock.Now),
		)
	}
	return a, nil
}

// accessClaims are the claims of an access token (RFC 9068 section 2.2) and the session.
type accessClaims struct {
	commonClaims
	Subject  string  `json:"sub"`
	ID       string  `json:"jti"`
	Session  string  `json:"sid"`
	ClientID *string `json:"client_id"`
}

// signedClaims adds how the user has authenticated (RFC 9068 section 2.2.1). Verify does not read it: the session's row has the newest state.
type signedClaims struct {
	accessClaims
	AuthTime int64    `json:"auth_time"`
	Level    string   `json:"acr"`
	Methods  []string `json:"amr"`
}

// UnmarshalJSON parses the claims strictly, even when golang-jwt's lenient decoder calls it.
func (c *accessClaims) UnmarshalJSON(text []byte) error {
	type plain accessClaims
	return unmarshalClaims(text, (*plain)(c))
}

// Lifetime returns the lifetime of access tokens in seconds.
func (a *Access) Lifetime() int64 { return seconds(a.cfg.AccessTTL) }

// Sign returns an access token for a session. Of the user it contains only the IDs of the account and of the session. Both are UUIDv7: they
// also reveal when they were created. The ID of the token (jti) is random.
func (a *Access) Sign(accountID, sessionID uuid.UUID, clientID string, authenticated Authentication) (string, error) {
	id, err := uuid.NewRandom()
	if err != nil {
		return "", fmt.Errorf("create token ID: %w", err)
	}
	claims := signedClaims{
		accessClaims: accessClaims{
			commonClaims: commonClaims{Issuer: a.cfg.Issuer, Audience: a.cfg.Audience},
			Subject:      accountID.String(),
			ID:           id.String(),
			Session:      sessionID.String(),
			ClientID:     &clientID,
		},
		AuthTime: authenticated.Time.Unix(),
		Level:    authenticated.Level(),
		Methods:  authenticated.Methods,
	}
	claims.IssuedAt, claims.ExpiresAt = issueTimes(a.cfg.Clock.Now(), a.cfg.AccessTTL)
	key := a.keys.signing()
	token := &jwt.Token{
		Method: key.method,
		Header: map[string]any{"typ": accessType, "alg": key.algorithm, "kid": key.id},
		Claims: claims,
	}
	signed, err := token.SignedString(key.private)
	if err != nil {
		return "", fmt.Errorf("sign access token: %w", err)
	}
	return signed, nil
}

// Verify verifies an access token as RFC 9068 section 4 and RFC 8725 require. It returns [ErrInvalid] if this service did not issue the
// token, or if it has expired. Any other error means that the token could not be verified, because its key is unknown and the database
// is unavailable.
func (a *Access) Verify(ctx context.Context, raw string) (Claims, error) {
	h, err := readHeader(raw, maxAccess)
	if err != nil {
		return Claims{}, err
	}
	// RFC 9068 section 4 has these two spellings. Other letter cases are refused, because this service writes the first.
	if h.Type != accessType && h.Type != "application/"+accessType {
		return Claims{}, invalid("type")
	}
	if len(h.KeyID) != kidLen { // saves a lookup
		return Claims{}, invalid("key")
	}
	key, err := a.keys.lookup(ctx, h.KeyID)
	switch {
	case err != nil:
		return Claims{}, err
	case key == nil:
		return Claims{}, invalid("key")
	case key.algorithm != h.Algorithm:
		return Claims{}, invalid("algorithm")
	}
	var claims accessClaims
	public := func(*jwt.Token) (any, error) { return key.public, nil }
	if _, err := a.parsers[key.algorithm].ParseWithClaims(raw, &claims, public); err != nil {
		if other := a.cfg.otherIssuer(err, claims.Issuer); other != nil {
			return Claims{}, other
		}
		return Claims{}, parseError(err)
	}
	return a.validate(claims)
}

// validate checks the claims that golang-jwt does not check.
func (a *Access) validate(c accessClaims) (Claims, error) {
	account, okAccount := canonicalUUID(c.Subject)
	session, okSession := canonicalUUID(c.Session)
	if !okAccount || !okSession || c.ID == "" || c.ClientID == nil || c.IssuedAt == nil || *c.ExpiresAt <= *c.IssuedAt {
		return Claims{}, invalid("claims")
	}
	claims := Claims{
		AccountID: account, SessionID: session, ClientID: *c.ClientID, ID: c.ID,
		IssuedAt:  time.Unix(*c.IssuedAt, 0).UTC(),
		ExpiresAt: time.Unix(*c.ExpiresAt, 0).UTC(),
	}
	// golang-jwt has one leeway for all times. For exp it is shorter.
	if !a.cfg.Clock.Now().Before(claims.ExpiresAt.Add(a.expiryLeeway())) {
		return Claims{}, invalid("expired")
	}
	return claims, nil
}

// expiryLeeway returns how long an expired token is still accepted, because the clock of the replica that issued it may be behind: a
// twentieth of its lifetime, but at most 30 s. So a lifetime of a few seconds is not extended by much.
func (a *Access) expiryLeeway() time.Duration { return min(leeway, a.cfg.AccessTTL/20) }
