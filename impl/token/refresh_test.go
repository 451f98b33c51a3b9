package token

import (
	"encoding/json"
	"errors"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"

	"github.com/financelime/authorization/impl/secret"
	"github.com/financelime/authorization/test/fakeclock"
)

func newRefresh(t testing.TB, root secret.Root, cfg Config) *Refresh {
	t.Helper()
	r, err := NewRefresh(root, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func mustToken(t testing.TB, r *Refresh, session uuid.UUID, generation int64, at time.Time) string {
	t.Helper()
	token, err := r.Token(session, generation, at)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// TestRefreshToken checks the header and the claims of a token.
func TestRefreshToken(t *testing.T) {
	t.Parallel()
	c, root := fakeclock.New(start), newRoot(t)
	cfg := newConfig(c)
	r := newRefresh(t, root, cfg)
	session := uuid.New()
	for _, generation := range []int64{1, 2, 1 << 53, 1<<63 - 1} {
		token := mustToken(t, r, session, generation, c.Now())
		got, err := r.Parse(token)
		if err != nil || got != (RefreshClaims{session, generation}) {
			t.Errorf("generation %d: got %+v, %v", generation, got, err)
		}
		if len(token) > maxRefresh/2 {
			t.Errorf("%d bytes", len(token))
		}
	}

	parts := strings.Split(mustToken(t, r, session, 7, c.Now()), ".")
	var head, body map[string]any
	if err := errors.Join(json.Unmarshal(decode(t, parts[0]), &head), json.Unmarshal(decode(t, parts[1]), &body)); err != nil {
		t.Fatal(err)
	}
	if !maps.Equal(head, map[string]any{"typ": "rt+jwt", "alg": "HS256"}) {
		t.Errorf("header %v", head)
	}
	now := float64(c.Now().Unix())
	want := map[string]any{
		"iss": issuer, "aud": issuer + "/v1/oauth/refresh", "sid": session.String(), "gen": 7.0,
		"iat": now, "exp": now + cfg.RefreshTTL.Seconds(),
	}
	if !maps.Equal(body, want) {
		t.Errorf("claims %v, want %v", body, want)
	}
}

// TestRefreshTokenIsDeterministic checks that a client that lost the response gets the same token again, from any replica and after a
// restart.
func TestRefreshTokenIsDeterministic(t *testing.T) {
	t.Parallel()
	c, root := fakeclock.New(start), newRoot(t)
	cfg := newConfig(c)
	again, err := secret.Parse(root.Encode())
	if err != nil {
		t.Fatal(err)
	}
	one, two := newRefresh(t, root, cfg), newRefresh(t, again, cfg)
	session, at := uuid.New(), c.Now().Truncate(time.Microsecond)
	token := mustToken(t, one, session, 3, at)
	c.Advance(time.Minute)
	if mustToken(t, two, session, 3, at.In(time.FixedZone("x", 3600))) != token {
		t.Error("the same row gives another token")
	}
	for name, other := range map[string]string{
		"session":    mustToken(t, one, uuid.New(), 3, at),
		"generation": mustToken(t, one, session, 4, at),
		"time":       mustToken(t, one, session, 3, at.Add(time.Second)),
		"secret":     mustToken(t, newRefresh(t, newRoot(t), cfg), session, 3, at),
	} {
		if other == token {
			t.Errorf("another %s gives the same token", name)
		}
	}
}

// TestRefreshTokenTimes checks the limits of the validity of a token.
func TestRefreshTokenTimes(t *testing.T) {
	t.Parallel()
	c := fakeclock.New(start)
	c.Advance(-time.Duration(c.Now().Nanosecond()))
	cfg := newConfig(c)
	r := newRefresh(t, newRoot(t), cfg)
	token := mustToken(t, r, uuid.New(), 1, c.Now())
	c.Advance(cfg.RefreshTTL - time.Microsecond)
	if _, err := r.Parse(token); err != nil {
		t.Errorf("just before the end: %v", err)
	}
	c.Advance(time.Microsecond)
	if _, err := r.Parse(token); !errors.Is(err, ErrInvalid) {
		t.Errorf("at the end: %v", err)
	}
	// A clock that was set back must not log users out.
	c.Advance(-cfg.RefreshTTL - 24*time.Hour)
	if _, err := r.Parse(token); err != nil {
		t.Errorf("a day before it was issued: %v", err)
	}
}

// refreshFixture has what a test needs to forge refresh tokens.
type refreshFixture struct {
	t            testing.TB
	clock        *fakeclock.Clock
	root         secret.Root
	cfg          Config
	refresh      *Refresh
	key          []byte
	head, claims map[string]any // valid ones
	good         string         // the token of these
	parts        []string       // of good
}

func newRefreshFixture(t testing.TB) refreshFixture {
	t.Helper()
	f := refreshFixture{t: t, clock: fakeclock.New(start), root: newRoot(t)}
	f.cfg = newConfig(f.clock)
	f.refresh = newRefresh(t, f.root, f.cfg)
	f.key = f.root.Key(refreshPurpose)
	now := f.clock.Now().Unix()
	f.head = map[string]any{"typ": "rt+jwt", "alg": "HS256"}
	f.claims = map[string]any{
		"iss": issuer, "aud": issuer + "/v1/oauth/refresh", "sid": uuid.NewString(), "gen": 1, "iat": now, "exp": now + 600,
	}
	f.good = f.forge(f.head, f.claims)
	f.parts = strings.Split(f.good, ".")
	return f
}

// forge signs a header and claims with the real key.
func (f refreshFixture) forge(head, claims any) string {
	f.t.Helper()
	return forge(f.t, jwt.SigningMethodHS256, f.key, text(f.t, head), text(f.t, claims))
}

// TestRefreshParseRefuses checks that tokens with another header, key, claim or spelling are refused.
func TestRefreshParseRefuses(t *testing.T) {
	t.Parallel()
	f := newRefreshFixture(t)
	if _, err := f.refresh.Parse(f.good); err != nil {
		t.Fatal(err)
	}
	for _, refused := range []map[string]string{refusedRefreshHeaders(t, f), refusedRefreshClaims(t, f), refusedRefreshForms(f)} {
		for name, token := range refused {
			got, err := f.refresh.Parse(token)
			if !errors.Is(err, ErrInvalid) || got != (RefreshClaims{}) {
				t.Errorf("%s: got %+v, %v", name, got, err)
			}
		}
	}
}

func refusedRefreshHeaders(t *testing.T, f refreshFixture) map[string]string {
	t.Helper()
	access, err := newAccess(t, openKeys(t, newStore(t), f.root, f.cfg), f.cfg).Sign(uuid.New(), uuid.New(), "web", byPassword)
	if err != nil {
		t.Fatal(err)
	}
	otherIssuer := f.cfg
	otherIssuer.Issuer = "https://staging.example.com"
	valid := text(t, f.claims)
	return map[string]string{
		"access token":           access,
		"typ missing":            f.forge(with(f.head, "typ", remove), f.claims),
		"typ JWT":                f.forge(with(f.head, "typ", "JWT"), f.claims),
		"typ access":             f.forge(with(f.head, "typ", "at+jwt"), f.claims),
		"typ with application":   f.forge(with(f.head, "typ", "application/rt+jwt"), f.claims),
		"alg none":               f.forge(with(f.head, "alg", "none"), f.claims),
		"alg none, no signature": encode(text(t, with(f.head, "alg", "none"))) + "." + f.parts[1] + ".",
		"alg HS384":              f.forge(with(f.head, "alg", "HS384"), f.claims),
		"HS384":                  forge(t, jwt.SigningMethodHS384, f.key, text(t, with(f.head, "alg", "HS384")), valid),
		"HS512 as HS256":         forge(t, jwt.SigningMethodHS512, f.key, text(t, f.head), valid),
		"alg missing":            f.forge(with(f.head, "alg", remove), f.claims),
		"kid":                    f.forge(with(f.head, "kid", "x"), f.claims),
		"jwk":                    f.forge(with(f.head, "jwk", map[string]string{"kty": "oct", "k": ""}), f.claims),
		"crit":                   f.forge(with(f.head, "crit", []string{}), f.claims),
		"zip":                    f.forge(with(f.head, "zip", "DEF"), f.claims),
		"empty key":              forge(t, jwt.SigningMethodHS256, []byte{}, text(t, f.head), valid),
		"key of another purpose": forge(t, jwt.SigningMethodHS256, f.root.Key("link-key"), text(t, f.head), valid),
		"the root itself":        forge(t, jwt.SigningMethodHS256, []byte(f.root.Encode()), text(t, f.head), valid),
		"another secret":         mustToken(t, newRefresh(t, newRoot(t), f.cfg), uuid.New(), 1, f.clock.Now()),
		"another issuer":         mustToken(t, newRefresh(t, f.root, otherIssuer), uuid.New(), 1, f.clock.Now()),
		"null header":            f.forge("null", f.claims),
		"header twice":           f.forge(`{"typ":"rt+jwt","alg":"none","alg":"HS256"}`, f.claims),
	}
}

func refusedRefreshClaims(t *testing.T, f refreshFixture) map[string]string {
	t.Helper()
	now := f.clock.Now().Unix()
	valid := text(t, f.claims)
	return map[string]string{
		"iss missing":          f.forge(f.head, with(f.claims, "iss", remove)),
		"iss other, aud right": f.forge(f.head, with(f.claims, "iss", "https://evil.example")),
		"aud missing":          f.forge(f.head, with(f.claims, "aud", remove)),
		"aud of access":        f.forge(f.head, with(f.claims, "aud", audience)),
		"aud array":            f.forge(f.head, with(f.claims, "aud", []string{issuer + "/v1/oauth/refresh"})),
		"exp missing":          f.forge(f.head, with(f.claims, "exp", remove)),
		"exp null":             f.forge(f.head, with(f.claims, "exp", nil)),
		"exp now":              f.forge(f.head, with(f.claims, "exp", now)),
		"exp past":             f.forge(f.head, with(f.claims, "exp", now-1)),
		"exp string":           f.forge(f.head, with(f.claims, "exp", "9999999999")),
		"exp fraction":         f.forge(f.head, with(f.claims, "exp", float64(now)+1.5)),
		"exp 1e308":            f.forge(f.head, with(f.claims, "exp", 1e308)),
		"exp greatest":         f.forge(f.head, with(f.claims, "exp", int64(1<<63-1))),
		"sid missing":          f.forge(f.head, with(f.claims, "sid", remove)),
		"sid empty":            f.forge(f.head, with(f.claims, "sid", "")),
		"sid zero":             f.forge(f.head, with(f.claims, "sid", uuid.Nil.String())),
		"sid upper case":       f.forge(f.head, with(f.claims, "sid", "3F2504E0-4F89-41D3-9A0C-0305E82C3301")),
		"sid braces":           f.forge(f.head, with(f.claims, "sid", "{3f2504e0-4f89-41d3-9a0c-0305e82c3301}")),
		"sid urn":              f.forge(f.head, with(f.claims, "sid", "urn:uuid:3f2504e0-4f89-41d3-9a0c-0305e82c3301")),
		"sid array":            f.forge(f.head, with(f.claims, "sid", []string{uuid.NewString()})),
		"gen missing":          f.forge(f.head, with(f.claims, "gen", remove)),
		"gen zero":             f.forge(f.head, with(f.claims, "gen", 0)),
		"gen negative":         f.forge(f.head, with(f.claims, "gen", -1)),
		"gen string":           f.forge(f.head, with(f.claims, "gen", "1")),
		"gen fraction":         f.forge(f.head, with(f.claims, "gen", 1.5)),
		"gen overflows":        f.forge(f.head, strings.Replace(valid, `"gen":1`, `"gen":9223372036854775808`, 1)),
		"gen twice":            f.forge(f.head, strings.Replace(valid, `"gen":1`, `"gen":1,"gen":2`, 1)),
		"gen in two cases":     f.forge(f.head, strings.Replace(valid, `"gen":1`, `"Gen":1`, 1)),
		"null":                 f.forge(f.head, "null"),
		"array":                f.forge(f.head, "["+valid+"]"),
		"trailing data":        f.forge(f.head, valid+" x"),
	}
}

func refusedRefreshForms(f refreshFixture) map[string]string {
	return map[string]string{
		"empty":                    "",
		"no signature":             f.parts[0] + "." + f.parts[1] + ".",
		"four parts":               f.good + ".x",
		"padding":                  f.good + "=",
		"newline":                  f.good + "\n",
		"newline inside":           f.parts[0] + "." + f.parts[1][:4] + "\n" + f.parts[1][4:] + "." + f.parts[2],
		"cut":                      f.good[:len(f.good)-1],
		"cut to 80":                f.good[:80],
		"tail bits":                f.good[:len(f.good)-1] + nextLetter(f.good[len(f.good)-1]),
		"signature of another":     f.parts[0] + "." + f.parts[1] + "." + strings.Split(f.forge(f.head, with(f.claims, "gen", 2)), ".")[2],
		"2 KiB and a byte":         f.good + strings.Repeat("A", maxRefresh+1-len(f.good)),
		"1 MB of dots":             strings.Repeat(".", 1<<20),
		"well signed but too long": f.forge(f.head, with(f.claims, "x", strings.Repeat("x", 1500))),
	}
}

// FuzzRefreshParse checks that of all texts only one token is accepted.
func FuzzRefreshParse(f *testing.F) {
	c, root := fakeclock.New(start), newRoot(f)
	r := newRefresh(f, root, newConfig(c))
	session := uuid.New()
	good := mustToken(f, r, session, 5, c.Now())
	p := strings.Split(good, ".")
	for _, seed := range []string{good, good[:len(good)-1], good + ".", p[0] + "." + p[1] + ".", p[0] + ".bnVsbA." + p[2], "..", ""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, token string) {
		got, err := r.Parse(token)
		if (err == nil) != (token == good) || (err != nil && !errors.Is(err, ErrInvalid)) {
			t.Fatalf("%q: %+v, %v", token, got, err)
		}
	})
}

// FuzzRefreshClaims signs any header and claims with the real key. An accepted token must have a session ID and a positive generation.
func FuzzRefreshClaims(f *testing.F) {
	c, root := fakeclock.New(start), newRoot(f)
	r := newRefresh(f, root, newConfig(c))
	key := root.Key(refreshPurpose)
	good := strings.Split(mustToken(f, r, uuid.New(), 5, c.Now()), ".")
	head, body := string(decode(f, good[0])), string(decode(f, good[1]))
	f.Add(head, body)
	f.Add(head, "null")
	f.Add("null", body)
	f.Add(head, strings.Replace(body, `"gen":5`, `"gen":5e0`, 1))
	f.Add(head, strings.Replace(body, `"gen":5`, `"gen":5,"GEN":6`, 1))
	f.Fuzz(func(t *testing.T, head, body string) {
		got, err := r.Parse(forge(t, jwt.SigningMethodHS256, key, head, body))
		if err != nil {
			if !errors.Is(err, ErrInvalid) {
				t.Fatal(err)
			}
			return
		}
		if got.Generation < 1 || got.SessionID == uuid.Nil || !strings.Contains(strings.ToLower(body), got.SessionID.String()) {
			// The ID may be written with escapes. Then decoding must return it.
			var c struct{ Sid string }
			if err := json.Unmarshal([]byte(body), &c); err != nil || c.Sid != got.SessionID.String() || got.Generation < 1 {
				t.Fatalf("%q -> %+v", body, got)
			}
		}
	})
}
