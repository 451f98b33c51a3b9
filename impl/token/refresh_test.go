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

// A client whose answer was lost gets the same token again, from any replica and after a restart.
func TestRefreshTokenIsAFunction(t *testing.T) {
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
	// A clock that is set back logs nobody out.
	c.Advance(-cfg.RefreshTTL - 24*time.Hour)
	if _, err := r.Parse(token); err != nil {
		t.Errorf("a day before its birth: %v", err)
	}
}

func TestRefreshParseRefuses(t *testing.T) {
	t.Parallel()
	c, root := fakeclock.New(start), newRoot(t)
	cfg := newConfig(c)
	r := newRefresh(t, root, cfg)
	key := root.Key(refreshPurpose)
	now := c.Now().Unix()
	head := map[string]any{"typ": "rt+jwt", "alg": "HS256"}
	claims := map[string]any{
		"iss": issuer, "aud": issuer + "/v1/oauth/refresh", "sid": uuid.NewString(), "gen": 1, "iat": now, "exp": now + 600,
	}
	craft := func(head, body any) string {
		return forge(t, jwt.SigningMethodHS256, key, text(t, head), text(t, body))
	}
	good := craft(head, claims)
	if _, err := r.Parse(good); err != nil {
		t.Fatal(err)
	}
	p := strings.Split(good, ".")
	access, err := newAccess(t, openKeys(t, newStore(t), root, cfg), cfg).Sign(uuid.New(), uuid.New(), "web")
	if err != nil {
		t.Fatal(err)
	}
	otherIssuer := cfg
	otherIssuer.Issuer = "https://staging.example.com"
	valid := text(t, claims)
	for name, token := range map[string]string{
		"empty":                    "",
		"access token":             access,
		"typ missing":              craft(with(head, "typ", remove), claims),
		"typ JWT":                  craft(with(head, "typ", "JWT"), claims),
		"typ access":               craft(with(head, "typ", "at+jwt"), claims),
		"typ with application":     craft(with(head, "typ", "application/rt+jwt"), claims),
		"alg none":                 craft(with(head, "alg", "none"), claims),
		"alg none, no signature":   encode(text(t, with(head, "alg", "none"))) + "." + p[1] + ".",
		"alg HS384":                craft(with(head, "alg", "HS384"), claims),
		"HS384":                    forge(t, jwt.SigningMethodHS384, key, text(t, with(head, "alg", "HS384")), valid),
		"HS512 as HS256":           forge(t, jwt.SigningMethodHS512, key, text(t, head), valid),
		"alg missing":              craft(with(head, "alg", remove), claims),
		"kid":                      craft(with(head, "kid", "x"), claims),
		"jwk":                      craft(with(head, "jwk", map[string]string{"kty": "oct", "k": ""}), claims),
		"crit":                     craft(with(head, "crit", []string{}), claims),
		"zip":                      craft(with(head, "zip", "DEF"), claims),
		"empty key":                forge(t, jwt.SigningMethodHS256, []byte{}, text(t, head), valid),
		"key of another purpose":   forge(t, jwt.SigningMethodHS256, root.Key("link-key"), text(t, head), valid),
		"the root itself":          forge(t, jwt.SigningMethodHS256, []byte(root.Encode()), text(t, head), valid),
		"another secret":           mustToken(t, newRefresh(t, newRoot(t), cfg), uuid.New(), 1, c.Now()),
		"another issuer":           mustToken(t, newRefresh(t, root, otherIssuer), uuid.New(), 1, c.Now()),
		"iss missing":              craft(head, with(claims, "iss", remove)),
		"iss other, aud right":     craft(head, with(claims, "iss", "https://evil.example")),
		"aud missing":              craft(head, with(claims, "aud", remove)),
		"aud of access":            craft(head, with(claims, "aud", audience)),
		"aud array":                craft(head, with(claims, "aud", []string{issuer + "/v1/oauth/refresh"})),
		"exp missing":              craft(head, with(claims, "exp", remove)),
		"exp null":                 craft(head, with(claims, "exp", nil)),
		"exp now":                  craft(head, with(claims, "exp", now)),
		"exp past":                 craft(head, with(claims, "exp", now-1)),
		"exp string":               craft(head, with(claims, "exp", "9999999999")),
		"exp fraction":             craft(head, with(claims, "exp", float64(now)+1.5)),
		"exp 1e308":                craft(head, with(claims, "exp", 1e308)),
		"exp greatest":             craft(head, with(claims, "exp", int64(1<<63-1))),
		"sid missing":              craft(head, with(claims, "sid", remove)),
		"sid empty":                craft(head, with(claims, "sid", "")),
		"sid zero":                 craft(head, with(claims, "sid", uuid.Nil.String())),
		"sid upper case":           craft(head, with(claims, "sid", "3F2504E0-4F89-41D3-9A0C-0305E82C3301")),
		"sid braces":               craft(head, with(claims, "sid", "{3f2504e0-4f89-41d3-9a0c-0305e82c3301}")),
		"sid urn":                  craft(head, with(claims, "sid", "urn:uuid:3f2504e0-4f89-41d3-9a0c-0305e82c3301")),
		"sid array":                craft(head, with(claims, "sid", []string{uuid.NewString()})),
		"gen missing":              craft(head, with(claims, "gen", remove)),
		"gen zero":                 craft(head, with(claims, "gen", 0)),
		"gen negative":             craft(head, with(claims, "gen", -1)),
		"gen string":               craft(head, with(claims, "gen", "1")),
		"gen fraction":             craft(head, with(claims, "gen", 1.5)),
		"gen overflows":            craft(head, strings.Replace(valid, `"gen":1`, `"gen":9223372036854775808`, 1)),
		"gen twice":                craft(head, strings.Replace(valid, `"gen":1`, `"gen":1,"gen":2`, 1)),
		"gen in two cases":         craft(head, strings.Replace(valid, `"gen":1`, `"Gen":1`, 1)),
		"null":                     craft(head, "null"),
		"array":                    craft(head, "["+valid+"]"),
		"trailing data":            craft(head, valid+" x"),
		"null header":              craft("null", claims),
		"header twice":             craft(`{"typ":"rt+jwt","alg":"none","alg":"HS256"}`, claims),
		"no signature":             p[0] + "." + p[1] + ".",
		"four parts":               good + ".x",
		"padding":                  good + "=",
		"newline":                  good + "\n",
		"newline inside":           p[0] + "." + p[1][:4] + "\n" + p[1][4:] + "." + p[2],
		"cut":                      good[:len(good)-1],
		"cut to 80":                good[:80],
		"tail bits":                good[:len(good)-1] + nextLetter(good[len(good)-1]),
		"signature of another":     p[0] + "." + p[1] + "." + strings.Split(craft(head, with(claims, "gen", 2)), ".")[2],
		"2 KiB and a byte":         good + strings.Repeat("A", maxRefresh+1-len(good)),
		"1 MB of dots":             strings.Repeat(".", 1<<20),
		"well signed but too long": craft(head, with(claims, "x", strings.Repeat("x", 1500))),
	} {
		got, err := r.Parse(token)
		if !errors.Is(err, ErrInvalid) || got != (RefreshClaims{}) {
			t.Errorf("%s: got %+v, %v", name, got, err)
		}
	}
}

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

// FuzzRefreshClaims signs anything with the real key. What is accepted has a whole session id and a real generation.
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
			// The id may be written with escapes; then decoding must give it.
			var c struct{ Sid string }
			if err := json.Unmarshal([]byte(body), &c); err != nil || c.Sid != got.SessionID.String() || got.Generation < 1 {
				t.Fatalf("%q -> %+v", body, got)
			}
		}
	})
}
