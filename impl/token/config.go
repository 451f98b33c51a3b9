// Package token issues and verifies the service's tokens, and manages the keys that sign them.
//
// Access tokens ([Access]) are JWTs (RFC 9068). Gateways verify them with the published keys (JWKS). Refresh tokens ([Refresh]) are
// JWTs that only the service can verify; whether one is current is decided by the session in the database.
//
// [Keys] has the signing keys of access tokens. All replicas share them in the database, encrypted with a key derived from
// AUTH_SECRET. A key is published, then it signs, then it only verifies, then it is deleted. Rotation is automatic; operators use
// [Keys.Rotate] and [Keys.ReplaceAll].
package token

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/financelime/authorization/impl/clock"
)

// Config configures the content and the lifetimes of tokens and keys.
type Config struct {
	// OtherIssuer, if not nil, is called for each valid token of this service that names another issuer.
	OtherIssuer func(issuer string)

	Issuer     string
	Audience   string
	Algorithm  string // of new signing keys: ES256, RS256 or EdDSA
	AccessTTL  time.Duration
	RefreshTTL time.Duration
	Clock      clock.Clock

	JWKSMaxAge time.Duration // how long the JWKS may be cached; 0 means [JWKSMaxAge]. The other periods are in proportion to it
	KeyLife    time.Duration // how long a key signs; 0 means [KeyLife]
}

// withDefaults returns c with its defaults. It refuses values that would disable a check: for golang-jwt an empty issuer or audience
// means any.
func (c Config) withDefaults() (Config, error) {
	switch {
	case c.Issuer == "":
		return c, errors.New("token issuer is empty")
	case c.Audience == "":
		return c, errors.New("token audience is empty")
	case !supported(c.Algorithm):
		return c, fmt.Errorf("signing algorithm %q is not ES256, RS256 or EdDSA", c.Algorithm)
	case c.AccessTTL < time.Second || c.RefreshTTL < time.Second:
		return c, errors.New("the lifetime of a token is shorter than a second")
	case slices.Contains(c.reservedAudiences(), c.Audience):
		return c, errors.New("token audience is reserved for other tokens of the service")
	}
	if c.JWKSMaxAge == 0 {
		c.JWKSMaxAge = JWKSMaxAge
	}
	if c.KeyLife == 0 {
		c.KeyLife = KeyLife
	}
	if c.JWKSMaxAge < time.Second || c.KeyLife < time.Second {
		return c, errors.New("a period of the signing keys is shorter than a second")
	}
	return c, nil
}

// publishAheadFactor is how many times the JWKS expires in a cache between a key's publication and its first use.
const publishAheadFactor = int64(PublishAhead / JWKSMaxAge)

// publishAhead returns how long before its first use a key is published.
func (c Config) publishAhead() time.Duration {
	return time.Duration(int64(c.JWKSMaxAge) * publishAheadFactor)
}

// refreshInterval returns how often a replica reads the keys from the database.
func (c Config) refreshInterval() time.Duration { return c.JWKSMaxAge / (JWKSMaxAge / RefreshInterval) }

// retireAfter returns how long a replaced key still verifies: the lifetime of an access token and a margin. The margin covers a slow
// clock of the replica that signed the last token, the leeway of the replica that verifies it, and the time for which gateways cache
// the JWKS, so that the key does not disappear at one gateway while another still has it.
func (c Config) retireAfter() time.Duration { return c.AccessTTL + 2*leeway + c.JWKSMaxAge }

// refreshAudience returns the audience of refresh tokens, which no gateway accepts.
func (c Config) refreshAudience() string { return c.Issuer + "/v1/oauth/refresh" }

// stepAudience returns the audience of tickets or ceremonies.
func (c Config) stepAudience(kind string) string { return c.Issuer + "/" + kind }

// reservedAudiences returns the audiences of the tokens that only the service itself verifies.
func (c Config) reservedAudiences() []string {
	return []string{c.refreshAudience(), c.stepAudience(kindTicket), c.stepAudience(kindCeremony)}
}

// seconds returns d in whole seconds, because the times of tokens have no fraction.
func seconds(d time.Duration) int64 { return int64(d / time.Second) }
