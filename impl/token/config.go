// Package token makes and checks the service's tokens: access tokens, which gateways check with the published keys
// (JWKS), and refresh tokens, which only the service itself can read. It keeps the signing keys and rotates them.
package token

import (
	"errors"
	"fmt"
	"time"

	"github.com/financelime/authorization/impl/clock"
)

// Config is what the tokens say and how long they live.
type Config struct {
	// OtherIssuer, if not nil, is told of each token of ours that names another issuer.
	OtherIssuer func(issuer string)

	Issuer     string
	Audience   string
	Algorithm  string // of new signing keys: ES256, RS256 or EdDSA
	AccessTTL  time.Duration
	RefreshTTL time.Duration
	Clock      clock.Clock

	JWKSMaxAge time.Duration // how long the published keys may be cached; 0: JWKSMaxAge. PublishAhead and RefreshEvery follow it
	KeyLife    time.Duration // how long a key signs; 0: KeyLife
}

// withDefaults refuses a Config that checks nothing: golang-jwt takes an empty issuer or audience for "any".
func (c Config) withDefaults() (Config, error) {
	switch {
	case c.Issuer == "":
		return c, errors.New("token issuer is empty")
	case c.Audience == "":
		return c, errors.New("token audience is empty")
	case !supported(c.Algorithm):
		return c, fmt.Errorf("signing algorithm %q is not one of ES256, RS256, EdDSA", c.Algorithm)
	case c.AccessTTL < time.Second || c.RefreshTTL < time.Second:
		return c, errors.New("a token's life is shorter than a second")
	case c.Audience == c.refreshAudience():
		return c, errors.New("token audience is the one of refresh tokens")
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

// ahead is how often the published keys can be read anew before a key is used.
const ahead = int64(PublishAhead / JWKSMaxAge)

// publishAhead is how long before its first use a key is published.
func (c Config) publishAhead() time.Duration { return time.Duration(int64(c.JWKSMaxAge) * ahead) }

// refreshEvery is how often a replica looks at the keys in the database.
func (c Config) refreshEvery() time.Duration { return c.JWKSMaxAge / (JWKSMaxAge / RefreshEvery) }

// retireAfter is how long a replaced key is kept. A token lives that long, and a margin: the replica that signed with it
// last may have had a slow clock, the one that verifies allows the same again, and nobody is to find in the cache of the
// one gateway a key that is gone from the cache of another.
func (c Config) retireAfter() time.Duration { return c.AccessTTL + 2*leeway + c.JWKSMaxAge }

// now is the time with the precision that the database has.

// refreshAudience is an audience that no gateway has.
func (c Config) refreshAudience() string { return c.Issuer + "/v1/oauth/refresh" }

// seconds of a life, whole: a token's times have no fraction.
func seconds(d time.Duration) int64 { return int64(d / time.Second) }
