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
	// maxAccess is the greatest length of an access token. Ours have about 700 bytes, with RS256 about 1,100.
	maxAccess = 8 << 10
	// leeway is how far apart the clocks of two replicas may be.
	leeway = 30 * time.Second
	// kidLen is the length of every kid: SHA-256 in base64url.
	kidLen = 43
)

// Access makes and checks access tokens (RFC 9068).
type Access struct {
	keys    *Keys
	cfg     Config
	parsers map[string]*jwt.Parser // by algorithm: a parser knows no other one than its key's
}

// NewAccess makes an Access with the keys.
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

// accessClaims are the claims of an access token (RFC 9068 section 2.2), and the session.
type accessClaims struct {
	commonClaims
	Subject  string  `json:"sub"`
	ID       string  `json:"jti"`
	Session  string  `json:"sid"`
	ClientID *string `json:"client_id"`
}

// UnmarshalJSON reads the claims strictly, also when a lenient decoder calls it.
func (c *accessClaims) UnmarshalJSON(text []byte) error {
	type plain accessClaims
	return unmarshalClaims(text, (*plain)(c))
}

// Sign makes an access token for a session. It says nothing about the person but the account's random id.
func (a *Access) Sign(accountID, sessionID uuid.UUID, clientID string) (string, error) {
	id, err := uuid.NewRandom()
	if err != nil {
		return "", fmt.Errorf("make token id: %w", err)
	}
	claims := accessClaims{
		commonClaims: commonClaims{Issuer: a.cfg.Issuer, Audience: a.cfg.Audience},
		Subject:      accountID.String(),
		ID:           id.String(),
		Session:      sessionID.String(),
		ClientID:     &clientID,
	}
	claims.IssuedAt, claims.ExpiresAt = newTimes(a.cfg.Clock.Now(), a.cfg.AccessTTL)
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

// Verify checks an access token as RFC 9068 section 4 and RFC 8725 demand. ErrInvalid when it is not one of ours or has
// expired; any other error means that it could not be told, because its key is unknown and the database did not answer.
func (a *Access) Verify(ctx context.Context, raw string) (Claims, error) {
	h, err := readHeader(raw, maxAccess)
	if err != nil {
		return Claims{}, err
	}
	// The two spellings of RFC 9068 section 4. No other letter case: we write the first.
	if h.Type != accessType && h.Type != "application/"+accessType {
		return Claims{}, invalid("type")
	}
	if len(h.KeyID) != kidLen { // spares the question
		return Claims{}, invalid("key")
	}
	by, err := a.keys.lookup(ctx, h.KeyID)
	switch {
	case err != nil:
		return Claims{}, err
	case by == nil:
		return Claims{}, invalid("key")
	case by.algorithm != h.Algorithm:
		return Claims{}, invalid("algorithm")
	}
	var claims accessClaims
	public := func(*jwt.Token) (any, error) { return by.public, nil }
	if _, err := a.parsers[by.algorithm].ParseWithClaims(raw, &claims, public); err != nil {
		if other := a.cfg.otherIssuer(err, claims.Issuer); other != nil {
			return Claims{}, other
		}
		return Claims{}, reason(err)
	}
	return a.read(claims)
}

// read checks what golang-jwt does not.
func (a *Access) read(c accessClaims) (Claims, error) {
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
	// golang-jwt has one leeway for all times. For the end of a token that lives for minutes it is less.
	if !a.cfg.Clock.Now().Before(claims.ExpiresAt.Add(a.grace())) {
		return Claims{}, invalid("expired")
	}
	return claims, nil
}

// grace is how long after its end a token is still accepted, because the clock of the replica that issued it may be
// behind: a twentieth of its life, 30 seconds at most, so that a setting of seconds means seconds.
func (a *Access) grace() time.Duration { return min(leeway, a.cfg.AccessTTL/20) }
