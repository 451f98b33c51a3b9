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
	// maxRefresh limits the length of a refresh token in bytes. Tokens have about 400 bytes.
	maxRefresh = 2 << 10
)

// Refresh issues and verifies refresh tokens. They are JWTs that are signed by HMAC with a key that only the service has. Their type and
// audience differ from those of access tokens, so neither can be used as the other (RFC 8725 section 3.11).
type Refresh struct {
	root   secret.Root
	cfg    Config
	parser *jwt.Parser
}

// RefreshClaims are the claims of a refresh token: the session, and the generation of the session that the token belongs to.
type RefreshClaims struct {
	SessionID  uuid.UUID
	Generation int64
}

// NewRefresh returns a Refresh whose key is derived from root.
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
		// Without WithIssuedAt: a replica whose clock was set back would refuse recent tokens and log users out. The database decides
		// whether a token was issued.
	)}, nil
}

type refreshClaims struct {
	commonClaims
	Session    string `json:"sid"`
	Generation int64  `json:"gen"`
}

// UnmarshalJSON parses the claims strictly, even when golang-jwt's lenient decoder calls it.
func (c *refreshClaims) UnmarshalJSON(text []byte) error {
	type plain refreshClaims
	return unmarshalClaims(text, (*plain)(c))
}

// Token returns the refresh token of a session's generation, which began at refreshedAt. It is deterministic: a client that lost the
// response gets the same bytes again. (After a change of AUTH_SECRET it gets a different token, which is also valid.)
func (r *Refresh) Token(sessionID uuid.UUID, generation int64, refreshedAt time.Time) (string, error) {
	claims := refreshClaims{
		commonClaims: commonClaims{Issuer: r.cfg.Issuer, Audience: r.cfg.refreshAudience()},
		Session:      sessionID.String(),
		Generation:   generation,
	}
	claims.IssuedAt, claims.ExpiresAt = issueTimes(refreshedAt, r.cfg.RefreshTTL)
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

// Parse verifies a refresh token. It returns [ErrInvalid] if the token is malformed, forged or expired. The caller must check in the
// database whether it is the current token of the session.
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
		return RefreshClaims{}, parseError(err)
	}
	session, ok := canonicalUUID(claims.Session)
	if !ok || claims.Generation < 1 {
		return RefreshClaims{}, invalid("claims")
	}
	return RefreshClaims{SessionID: session, Generation: claims.Generation}, nil
}
