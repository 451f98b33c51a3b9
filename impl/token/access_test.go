package token

import (
	"encoding/json"
	"errors"
	"maps"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"

	"github.com/financelime/authorization/impl/secret"
	"github.com/financelime/authorization/test/fakeclock"
)

// fixture is one replica with everything that a test of access tokens needs.
type fixture struct {
	clock  *fakeclock.Clock
	root   secret.Root
	cfg    Config
	keys   *Keys
	access *Access
}

func newFixture(t testing.TB, algorithm string) fixture {
	t.Helper()
	c := fakeclock.New(start)
	cfg := newConfig(c)
	cfg.Algorithm = algorithm
	root := newRoot(t)
	keys := openKeys(t, newStore(t), root, cfg)
	return fixture{c, root, cfg, keys, newAccess(t, keys, cfg)}
}

func (b fixture) sign(t testing.TB) string {
	t.Helper()
	token, err := b.access.Sign(uuid.New(), uuid.New(), "web", byPassword)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// claims returns valid claims, which tests modify.
func (b fixture) claims() map[string]any {
	now := b.clock.Now().Unix()
	return map[string]any{
		"iss": issuer, "aud": audience, "sub": uuid.NewString(), "sid": uuid.NewString(),
		"jti": uuid.NewString(), "client_id": "web", "iat": now, "exp": now + 600,
	}
}

// head returns a valid header, which tests modify.
func (b fixture) head() map[string]any {
	return map[string]any{"typ": "at+jwt", "alg": b.cfg.Algorithm, "kid": b.keys.signing().id}
}

// forge signs a header and claims with the real key.
func (b fixture) forge(t testing.TB, head, body any) string {
	t.Helper()
	k := b.keys.signing()
	return forge(t, k.method, k.private, text(t, head), text(t, body))
}

// text returns a string unchanged, and other values as JSON.
func text(t testing.TB, v any) string {
	t.Helper()
	if s, ok := v.(string); ok {
		return s
	}
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// with returns a copy in which a member has another value. The value remove deletes the member.
func with(m map[string]any, name string, value any) map[string]any {
	m = maps.Clone(m)
	if value == remove {
		delete(m, name)
	} else {
		m[name] = value
	}
	return m
}

var remove any = struct{ remove bool }{true}

func unix(t time.Time) string { return strconv.FormatInt(t.Unix(), 10) }

func (b fixture) mustAccept(t *testing.T, name, token string) {
	t.Helper()
	if _, err := b.access.Verify(t.Context(), token); err != nil {
		t.Errorf("%s: %v", name, err)
	}
}

func (b fixture) mustRefuse(t *testing.T, name, token string) {
	t.Helper()
	claims, err := b.access.Verify(t.Context(), token)
	if !errors.Is(err, ErrInvalid) || claims != (Claims{}) {
		t.Errorf("%s: got %+v, %v", name, claims, err)
	}
}

// TestAccessToken checks the header and the claims of a token.
func TestAccessToken(t *testing.T) {
	t.Parallel()
	for _, algorithm := range []string{ES256, RS256, EdDSA} {
		t.Run(algorithm, func(t *testing.T) {
			t.Parallel()
			b := newFixture(t, algorithm)
			account, session := uuid.New(), uuid.New()
			token, err := b.access.Sign(account, session, `we"b <1>`, byPassword)
			if err != nil {
				t.Fatal(err)
			}
			claims, err := b.access.Verify(t.Context(), token)
			if err != nil {
				t.Fatal(err)
			}
			now := b.clock.Now().Truncate(time.Second)
			want := Claims{
				AccountID: account, SessionID: session, ClientID: `we"b <1>`, ID: claims.ID,
				IssuedAt: now, ExpiresAt: now.Add(b.cfg.AccessTTL),
			}
			if claims != want {
				t.Errorf("got %+v, want %+v", claims, want)
			}

			parts := strings.Split(token, ".")
			var head, body map[string]any
			if err := errors.Join(json.Unmarshal(decode(t, parts[0]), &head), json.Unmarshal(decode(t, parts[1]), &body)); err != nil {
				t.Fatal(err)
			}
			if !maps.Equal(head, b.head()) {
				t.Errorf("header %v", head)
			}
			wantBody := map[string]any{
				"iss": issuer, "aud": audience, "sub": account.String(), "sid": session.String(), "client_id": `we"b <1>`,
				"jti": body["jti"], "iat": float64(now.Unix()), "exp": float64(now.Unix() + 600),
				"auth_time": float64(byPassword.Time.Unix()), "acr": AAL1, "amr": []any{Password},
			}
			if !reflect.DeepEqual(body, wantBody) { // aud is a plain string among them
				t.Errorf("claims %v, want %v", body, wantBody)
			}
			if id, ok := body["jti"].(string); !ok || len(id) != 36 {
				t.Errorf("jti %v", body["jti"])
			}
		})
	}
}

// TestTokenIDsDiffer checks that no two tokens are equal.
func TestTokenIDsDiffer(t *testing.T) {
	t.Parallel()
	b := newFixture(t, EdDSA)
	account, session := uuid.New(), uuid.New()
	seen := map[string]bool{}
	for range 100 {
		token, err := b.access.Sign(account, session, "web", byPassword)
		if err != nil {
			t.Fatal(err)
		}
		if seen[token] {
			t.Fatal("a token was issued twice")
		}
		seen[token] = true
	}
}

// TestTokensVerifyWithTheJWKS verifies tokens as a gateway does, which only has the JWKS.
func TestTokensVerifyWithTheJWKS(t *testing.T) {
	t.Parallel()
	for _, algorithm := range []string{ES256, RS256, EdDSA} {
		b := newFixture(t, algorithm)
		body, _ := b.keys.JWKS()
		var set struct{ Keys []json.RawMessage }
		if err := json.Unmarshal(body, &set); err != nil || len(set.Keys) != 1 {
			t.Fatalf("%s: %v", body, err)
		}
		kid, alg, public := fromJWK(t, set.Keys[0])
		token, err := jwt.Parse(b.sign(t), func(token *jwt.Token) (any, error) {
			if token.Header["kid"] != kid {
				return nil, errors.New("kid")
			}
			return public, nil
		}, jwt.WithValidMethods([]string{alg}), jwt.WithTimeFunc(b.clock.Now), jwt.WithAudience(audience), jwt.WithIssuer(issuer))
		if err != nil || !token.Valid {
			t.Errorf("%s: %v", algorithm, err)
		}
	}
}

// TestVariantsAreAccepted checks the harmless differences that are accepted. It also shows that the tests of refusals forge correctly.
func TestVariantsAreAccepted(t *testing.T) {
	t.Parallel()
	b := newFixture(t, ES256)
	b.mustAccept(t, "as we write it", b.forge(t, b.head(), b.claims()))
	b.mustAccept(t, "other type of RFC 9068", b.forge(t, with(b.head(), "typ", "application/at+jwt"), b.claims()))
	b.mustAccept(t, "a claim of a later version", b.forge(t, b.head(), with(b.claims(), "acr", map[string]any{"x": 1})))
	b.mustAccept(t, "nbf of now", b.forge(t, b.head(), with(b.claims(), "nbf", b.clock.Now().Unix())))
	b.mustAccept(t, "empty client", b.forge(t, b.head(), with(b.claims(), "client_id", "")))
}

// TestAccessTokenTimes checks the limits of the validity of a token.
func TestAccessTokenTimes(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		lifetime, leeway time.Duration
	}{
		"the default":        {10 * time.Minute, 30 * time.Second},
		"of an hour":         {time.Hour, 30 * time.Second},
		"of a minute":        {time.Minute, 3 * time.Second},
		"of two seconds":     {2 * time.Second, 100 * time.Millisecond},
		"not whole a second": {2500 * time.Millisecond, 125 * time.Millisecond},
	} {
		b := newFixture(t, EdDSA)
		b.cfg.AccessTTL = c.lifetime
		b.access = newAccess(t, b.keys, b.cfg)
		b.clock.Advance(-time.Duration(b.clock.Now().Nanosecond())) // to the full second
		token := b.sign(t)
		b.clock.Advance(c.lifetime.Truncate(time.Second) + c.leeway - time.Microsecond)
		b.mustAccept(t, name+", just before the end", token)
		b.clock.Advance(time.Microsecond)
		b.mustRefuse(t, name+", at the end", token)
		b.clock.Advance(100 * 365 * 24 * time.Hour)
		b.mustRefuse(t, name+", a century later", token)
	}

	// A replica whose clock is behind must accept tokens that another one has just issued.
	b := newFixture(t, EdDSA)
	b.clock.Advance(-time.Duration(b.clock.Now().Nanosecond()))
	now := b.clock.Now().Unix()
	b.mustAccept(t, "iat in 30 s", b.forge(t, b.head(), with(b.claims(), "iat", now+30)))
	b.mustRefuse(t, "iat in 31 s", b.forge(t, b.head(), with(b.claims(), "iat", now+31)))
	b.mustAccept(t, "nbf in 30 s", b.forge(t, b.head(), with(b.claims(), "nbf", now+30)))
	b.mustRefuse(t, "nbf in 31 s", b.forge(t, b.head(), with(b.claims(), "nbf", now+31)))
}

// TestOtherEnvironment checks that tokens of another environment, with the same settings but other keys, are refused.
func TestOtherEnvironment(t *testing.T) {
	t.Parallel()
	b, other := newFixture(t, ES256), newFixture(t, ES256)
	b.mustRefuse(t, "its token", other.sign(t))
	foreign := other.keys.signing()
	b.mustRefuse(t, "its key under our kid", forge(t, foreign.method, foreign.private, text(t, b.head()), text(t, b.claims())))

	for name, change := range map[string]func(*Config){
		"issuer":   func(c *Config) { c.Issuer = "https://staging.example.com" },
		"audience": func(c *Config) { c.Audience = "https://other.example.com" },
	} {
		cfg := b.cfg
		change(&cfg)
		token, err := newAccess(t, b.keys, cfg).Sign(uuid.New(), uuid.New(), "web", byPassword)
		if err != nil {
			t.Fatal(err)
		}
		b.mustRefuse(t, "our key, another "+name, token)
	}
}

// TestRefreshTokenIsNoAccessToken checks that a refresh token is not accepted as an access token.
func TestRefreshTokenIsNoAccessToken(t *testing.T) {
	t.Parallel()
	b := newFixture(t, ES256)
	refresh, err := NewRefresh(newRoot(t), b.cfg)
	if err != nil {
		t.Fatal(err)
	}
	token, err := refresh.Token(uuid.New(), 1, b.clock.Now())
	if err != nil {
		t.Fatal(err)
	}
	b.mustRefuse(t, "refresh token", token)
}

// TestReasonsDoNotQuoteTheToken checks that errors, which may be logged, contain nothing of the token.
func TestReasonsDoNotQuoteTheToken(t *testing.T) {
	t.Parallel()
	b := newFixture(t, ES256)
	const canary = "CANARY\nsecond line"
	for _, token := range []string{
		canary,
		b.forge(t, with(b.head(), "alg", canary), b.claims()),
		b.forge(t, with(b.head(), "typ", canary), b.claims()),
		b.forge(t, with(b.head(), "kid", canary), b.claims()),
		b.forge(t, with(b.head(), canary, 1), b.claims()),
		b.forge(t, canary, b.claims()),
		b.forge(t, b.head(), canary),
		b.forge(t, b.head(), with(b.claims(), "exp", canary)),
		b.forge(t, b.head(), with(b.claims(), "sub", canary)),
		b.forge(t, b.head(), with(b.claims(), "aud", canary)),
	} {
		if _, err := b.access.Verify(t.Context(), token); err == nil || strings.ContainsAny(err.Error(), "\n\"") || strings.Contains(err.Error(), "CANARY") {
			t.Errorf("got %v", err)
		}
	}
}

// TestClaimsOnTheContext checks that claims can be stored in a context.
func TestClaimsOnTheContext(t *testing.T) {
	t.Parallel()
	if c, ok := FromContext(t.Context()); ok || c != (Claims{}) {
		t.Error("claims without a token")
	}
	want := Claims{AccountID: uuid.New(), SessionID: uuid.New(), ClientID: "web"}
	if got, ok := FromContext(NewContext(t.Context(), want)); !ok || got != want {
		t.Errorf("got %+v", got)
	}
}
