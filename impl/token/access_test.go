package token

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"

	"github.com/financelime/authorization/impl/secret"
	"github.com/financelime/authorization/test/fakeclock"
)

// bench is one replica with everything that a test of access tokens needs.
type bench struct {
	clock  *fakeclock.Clock
	root   secret.Root
	cfg    Config
	keys   *Keys
	access *Access
}

func newBench(t testing.TB, algorithm string) bench {
	t.Helper()
	c := fakeclock.New(start)
	cfg := newConfig(c)
	cfg.Algorithm = algorithm
	root := newRoot(t)
	keys := openKeys(t, newStore(t), root, cfg)
	return bench{c, root, cfg, keys, newAccess(t, keys, cfg)}
}

func (b bench) sign(t testing.TB) string {
	t.Helper()
	token, err := b.access.Sign(uuid.New(), uuid.New(), "web")
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// claims are those of a good token, to be spoilt.
func (b bench) claims() map[string]any {
	now := b.clock.Now().Unix()
	return map[string]any{
		"iss": issuer, "aud": audience, "sub": uuid.NewString(), "sid": uuid.NewString(),
		"jti": uuid.NewString(), "client_id": "web", "iat": now, "exp": now + 600,
	}
}

func (b bench) head() map[string]any {
	return map[string]any{"typ": "at+jwt", "alg": b.cfg.Algorithm, "kid": b.keys.signing().id}
}

// forge signs with the real key.
func (b bench) forge(t testing.TB, head, body any) string {
	t.Helper()
	k := b.keys.signing()
	return forge(t, k.method, k.private, text(t, head), text(t, body))
}

// text is a string as it is, and anything else as JSON.
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

// with returns a copy with another member; remove takes one out.
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

func (b bench) mustAccept(t *testing.T, name, token string) {
	t.Helper()
	if _, err := b.access.Verify(t.Context(), token); err != nil {
		t.Errorf("%s: %v", name, err)
	}
}

func (b bench) mustRefuse(t *testing.T, name, token string) {
	t.Helper()
	claims, err := b.access.Verify(t.Context(), token)
	if !errors.Is(err, ErrInvalid) || claims != (Claims{}) {
		t.Errorf("%s: got %+v, %v", name, claims, err)
	}
}

func TestAccessToken(t *testing.T) {
	t.Parallel()
	for _, algorithm := range []string{ES256, RS256, EdDSA} {
		t.Run(algorithm, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, algorithm)
			account, session := uuid.New(), uuid.New()
			token, err := b.access.Sign(account, session, `we"b <1>`)
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
			}
			if !maps.Equal(body, wantBody) { // aud is a plain string among them
				t.Errorf("claims %v, want %v", body, wantBody)
			}
			if id, ok := body["jti"].(string); !ok || len(id) != 36 {
				t.Errorf("jti %v", body["jti"])
			}
		})
	}
}

func TestTokenIDsDiffer(t *testing.T) {
	t.Parallel()
	b := newBench(t, EdDSA)
	account, session := uuid.New(), uuid.New()
	seen := map[string]bool{}
	for range 100 {
		token, err := b.access.Sign(account, session, "web")
		if err != nil {
			t.Fatal(err)
		}
		if seen[token] {
			t.Fatal("a token came twice")
		}
		seen[token] = true
	}
}

// A gateway has nothing but the JWKS.
func TestTokensVerifyWithTheJWKS(t *testing.T) {
	t.Parallel()
	for _, algorithm := range []string{ES256, RS256, EdDSA} {
		b := newBench(t, algorithm)
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

func TestForgedTokenOfTheRightFormIsAccepted(t *testing.T) {
	t.Parallel()
	b := newBench(t, ES256)
	b.mustAccept(t, "as we write it", b.forge(t, b.head(), b.claims()))
	b.mustAccept(t, "other type of RFC 9068", b.forge(t, with(b.head(), "typ", "application/at+jwt"), b.claims()))
	b.mustAccept(t, "a claim of a later version", b.forge(t, b.head(), with(b.claims(), "acr", map[string]any{"x": 1})))
	b.mustAccept(t, "nbf of now", b.forge(t, b.head(), with(b.claims(), "nbf", b.clock.Now().Unix())))
	b.mustAccept(t, "empty client", b.forge(t, b.head(), with(b.claims(), "client_id", "")))
}

func TestHeadersAreRefused(t *testing.T) {
	t.Parallel()
	b := newBench(t, ES256)
	other := makeKey(t, ES256)
	kid := b.keys.signing().id
	for name, head := range map[string]any{
		"typ missing":             with(b.head(), "typ", remove),
		"typ empty":               with(b.head(), "typ", ""),
		"typ null":                with(b.head(), "typ", nil),
		"typ JWT":                 with(b.head(), "typ", "JWT"),
		"typ upper case":          with(b.head(), "typ", "AT+JWT"),
		"typ refresh":             with(b.head(), "typ", "rt+jwt"),
		"typ ID token":            with(b.head(), "typ", "id+jwt"),
		"typ array":               with(b.head(), "typ", []string{"at+jwt"}),
		"alg missing":             with(b.head(), "alg", remove),
		"alg none":                with(b.head(), "alg", "none"),
		"alg None":                with(b.head(), "alg", "None"),
		"alg nOnE":                with(b.head(), "alg", "nOnE"),
		"alg empty":               with(b.head(), "alg", ""),
		"alg null":                with(b.head(), "alg", nil),
		"alg array":               with(b.head(), "alg", []string{"ES256"}),
		"alg lower case":          with(b.head(), "alg", "es256"),
		"alg RS256":               with(b.head(), "alg", "RS256"),
		"alg ES384":               with(b.head(), "alg", "ES384"),
		"alg PS256":               with(b.head(), "alg", "PS256"),
		"alg HS256":               with(b.head(), "alg", "HS256"),
		"alg EdDSA":               with(b.head(), "alg", "EdDSA"),
		"kid missing":             with(b.head(), "kid", remove),
		"kid empty":               with(b.head(), "kid", ""),
		"kid unknown":             with(b.head(), "kid", other.id),
		"kid path":                with(b.head(), "kid", "../../dev/null"),
		"kid SQL":                 with(b.head(), "kid", "' OR 1=1--"),
		"kid SQL of right length": with(b.head(), "kid", "' OR 1=1--                                 "),
		"kid command":             with(b.head(), "kid", "|id"),
		"kid NUL":                 with(b.head(), "kid", kid[:42]+"\x00"),
		"kid number":              with(b.head(), "kid", 1),
		"kid array":               with(b.head(), "kid", []string{kid}),
		"kid null":                with(b.head(), "kid", nil),
		"kid huge":                with(b.head(), "kid", strings.Repeat("A", 5000)),
		"kid of 1 MB":             with(b.head(), "kid", strings.Repeat("A", 1<<20)),
		"kid as another's":        with(b.head(), "kid", kid+","+other.id),
		"kid with a letter more":  with(b.head(), "kid", kid+"A"),
		"alg with a space":        with(b.head(), "alg", "ES256 "),
		"alg as a number":         with(b.head(), "alg", 256),
		"alg ES256K":              with(b.head(), "alg", "ES256K"),
		"alg ES512":               with(b.head(), "alg", "ES512"),
		"x5t#S256":                with(b.head(), "x5t#S256", "AAAA"),
		"url":                     with(b.head(), "url", "https://evil.example"),
		"jku":                     with(b.head(), "jku", "https://evil.example/jwks.json"),
		"x5u":                     with(b.head(), "x5u", "https://evil.example/x.pem"),
		"jwk":                     with(b.head(), "jwk", other.jwk),
		"x5c":                     with(b.head(), "x5c", []string{"MIIB"}),
		"x5t":                     with(b.head(), "x5t", "AAAA"),
		"crit unknown":            with(with(b.head(), "crit", []string{"http://x"}), "http://x", true),
		"crit alone":              with(b.head(), "crit", []string{"exp"}),
		"crit empty":              with(b.head(), "crit", []string{}),
		"b64":                     with(with(b.head(), "b64", false), "crit", []string{"b64"}),
		"b64 alone":               with(b.head(), "b64", false),
		"zip":                     with(b.head(), "zip", "DEF"),
		"cty":                     with(b.head(), "cty", "JWT"),
		"enc":                     with(b.head(), "enc", "A256GCM"),
		"JWE dir":                 `{"alg":"dir","enc":"A256GCM","kid":"` + kid + `","typ":"at+jwt"}`,
		"JWE PBES2":               `{"alg":"PBES2-HS256+A128KW","enc":"A256GCM","p2c":2147483648,"p2s":"AAAA"}`,
		"wrong case of a member":  `{"typ":"at+jwt","ALG":"ES256","kid":"` + kid + `"}`,
		"extra case of a member":  `{"typ":"at+jwt","alg":"ES256","Alg":"none","kid":"` + kid + `"}`,
		"member twice":            `{"typ":"at+jwt","alg":"none","alg":"ES256","kid":"` + kid + `"}`,
		"member twice, escaped":   `{"typ":"at+jwt","alg":"none","\u0061lg":"ES256","kid":"` + kid + `"}`,
		"same twice":              `{"typ":"at+jwt","typ":"at+jwt","alg":"ES256","kid":"` + kid + `"}`,
		"invalid UTF-8":           `{"typ":"at+jwt` + "\xff" + `","alg":"ES256","kid":"` + kid + `"}`,
		"trailing data":           `{"typ":"at+jwt","alg":"ES256","kid":"` + kid + `"}{}`,
		"array":                   `[{"typ":"at+jwt","alg":"ES256","kid":"` + kid + `"}]`,
		"null":                    `null`,
		"empty object":            `{}`,
		"cut":                     `{"typ":"at+jwt","alg":"ES256"`,
		"BOM":                     "\ufeff" + `{"typ":"at+jwt","alg":"ES256","kid":"` + kid + `"}`,
	} {
		b.mustRefuse(t, name, b.forge(t, head, b.claims()))
	}
}

func TestClaimsAreRefused(t *testing.T) {
	t.Parallel()
	b := newBench(t, ES256)
	now := b.clock.Now().Unix()
	id := uuid.NewString()
	valid := text(t, b.claims())
	for name, claims := range map[string]any{
		"iss missing":         with(b.claims(), "iss", remove),
		"iss empty":           with(b.claims(), "iss", ""),
		"iss null":            with(b.claims(), "iss", nil),
		"iss array":           with(b.claims(), "iss", []string{issuer}),
		"iss other":           with(b.claims(), "iss", "https://evil.example"),
		"iss trailing slash":  with(b.claims(), "iss", issuer+"/"),
		"iss prefix":          with(b.claims(), "iss", issuer[:len(issuer)-1]),
		"iss suffix":          with(b.claims(), "iss", issuer+".evil.example"),
		"iss upper case":      with(b.claims(), "iss", strings.ToUpper(issuer)),
		"aud missing":         with(b.claims(), "aud", remove),
		"aud empty":           with(b.claims(), "aud", ""),
		"aud null":            with(b.claims(), "aud", nil),
		"aud other":           with(b.claims(), "aud", "https://other.example.com"),
		"aud prefix":          with(b.claims(), "aud", audience[:len(audience)-1]),
		"aud suffix":          with(b.claims(), "aud", audience+".evil.example"),
		"aud as an object":    with(b.claims(), "aud", map[string]any{"x": audience}),
		"aud empty array":     with(b.claims(), "aud", []string{}),
		"nbf after exp":       with(with(b.claims(), "exp", now+10), "nbf", now+20+31),
		"nothing fits":        with(with(with(b.claims(), "exp", now-40), "nbf", now+40), "iat", now+60),
		"iat 1e308":           with(b.claims(), "iat", 1e308),
		"iat fraction":        with(b.claims(), "iat", float64(now)-0.5),
		"iat null":            with(b.claims(), "iat", nil),
		"nbf 1e308":           with(b.claims(), "nbf", 1e308),
		"nbf fraction":        with(b.claims(), "nbf", float64(now)-0.5),
		"exp Infinity":        strings.Replace(valid, `"exp":`+strconv.FormatInt(now+600, 10), `"exp":Infinity`, 1),
		"exp twice, escaped":  valid[:len(valid)-1] + `,"\u0065xp":` + strconv.FormatInt(now+6000, 10) + "}",
		"exp in capitals too": valid[:len(valid)-1] + `,"EXP":1,"Exp":2,"EXP":3}`,
		"aud trailing slash":  with(b.claims(), "aud", audience+"/"),
		"aud upper case":      with(b.claims(), "aud", strings.ToUpper(audience)),
		"aud array":           with(b.claims(), "aud", []string{audience}),
		"aud array of two":    with(b.claims(), "aud", []string{audience, "https://other.example.com"}),
		"aud of refresh":      with(b.claims(), "aud", issuer+"/v1/oauth/refresh"),
		"exp missing":         with(b.claims(), "exp", remove),
		"exp null":            with(b.claims(), "exp", nil),
		"exp string":          with(b.claims(), "exp", strconv.FormatInt(now+600, 10)),
		"exp past":            with(with(b.claims(), "exp", now-31), "iat", now-600),
		"exp zero":            with(b.claims(), "exp", 0),
		"exp negative":        with(b.claims(), "exp", -1),
		"exp fraction":        with(b.claims(), "exp", float64(now)+600.5),
		"exp 1e308":           with(b.claims(), "exp", 1e308),
		"exp exponent":        strings.Replace(valid, `"exp":`+strconv.FormatInt(now+600, 10), `"exp":2e9`, 1),
		"exp NaN":             strings.Replace(valid, `"exp":`+strconv.FormatInt(now+600, 10), `"exp":NaN`, 1),
		"exp greatest":        with(b.claims(), "exp", int64(1<<63-1)),
		"exp year 10000":      with(b.claims(), "exp", lastSecond+1),
		"exp overflows":       strings.Replace(valid, strconv.FormatInt(now+600, 10), "18446744073709551616", 1),
		"exp array":           with(b.claims(), "exp", []int64{now + 600}),
		"exp true":            with(b.claims(), "exp", true),
		"exp at iat":          with(with(b.claims(), "exp", now+10), "iat", now+10),
		"exp before iat":      with(with(b.claims(), "exp", now+10), "iat", now+20),
		"iat missing":         with(b.claims(), "iat", remove),
		"iat string":          with(b.claims(), "iat", "1"),
		"iat future":          with(b.claims(), "iat", now+32),
		"iat negative":        with(b.claims(), "iat", -1),
		"nbf future":          with(b.claims(), "nbf", now+32),
		"nbf string":          with(b.claims(), "nbf", "x"),
		"sub missing":         with(b.claims(), "sub", remove),
		"sub empty":           with(b.claims(), "sub", ""),
		"sub mail":            with(b.claims(), "sub", "a@b.com"),
		"sub upper case":      with(b.claims(), "sub", strings.ToUpper("3f2504e0-4f89-41d3-9a0c-0305e82c3301")),
		"sub braces":          with(b.claims(), "sub", "{"+id+"}"),
		"sub urn":             with(b.claims(), "sub", "urn:uuid:"+id),
		"sub without hyphens": with(b.claims(), "sub", strings.ReplaceAll(id, "-", "")),
		"sub zero":            with(b.claims(), "sub", uuid.Nil.String()),
		"sub NUL":             with(b.claims(), "sub", id+"\x00"),
		"sub number":          with(b.claims(), "sub", 1),
		"sid missing":         with(b.claims(), "sid", remove),
		"sid no UUID":         with(b.claims(), "sid", "1"),
		"sid array":           with(b.claims(), "sid", []string{id}),
		"sid upper case":      with(b.claims(), "sid", strings.ToUpper("3f2504e0-4f89-41d3-9a0c-0305e82c3301")),
		"jti missing":         with(b.claims(), "jti", remove),
		"client_id missing":   with(b.claims(), "client_id", remove),
		"client_id null":      with(b.claims(), "client_id", nil),
		"client_id number":    with(b.claims(), "client_id", 7),
		"claim twice":         valid[:len(valid)-1] + `,"sub":"` + id + `"}`,
		"claim in two cases":  strings.Replace(valid, `"sub"`, `"SUB"`, 1),
		"unknown claim twice": valid[:len(valid)-1] + `,"x":1,"x":2}`,
		"invalid UTF-8":       strings.Replace(valid, `"web"`, "\"w\xff\"", 1),
		"lone surrogate":      strings.Replace(valid, `"web"`, `"\ud800"`, 1),
		"trailing data":       valid + "{}",
		"array":               "[" + valid + "]",
		"string":              `"x"`,
		"null":                "null",
		"number":              "1",
		"empty object":        "{}",
		"cut":                 valid[:len(valid)-1],
		"BOM":                 "\ufeff" + valid,
	} {
		b.mustRefuse(t, name, b.forge(t, b.head(), claims))
	}
}

// The edges of a token's life, on the second.
func TestAccessTokenTimes(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		life, grace time.Duration
	}{
		"as set by default":  {10 * time.Minute, 30 * time.Second},
		"of an hour":         {time.Hour, 30 * time.Second},
		"of a minute":        {time.Minute, 3 * time.Second},
		"of two seconds":     {2 * time.Second, 100 * time.Millisecond},
		"not whole a second": {2500 * time.Millisecond, 125 * time.Millisecond},
	} {
		b := newBench(t, EdDSA)
		b.cfg.AccessTTL = c.life
		b.access = newAccess(t, b.keys, b.cfg)
		b.clock.Advance(-time.Duration(b.clock.Now().Nanosecond())) // to the full second
		token := b.sign(t)
		b.clock.Advance(c.life.Truncate(time.Second) + c.grace - time.Microsecond)
		b.mustAccept(t, name+", just before the end", token)
		b.clock.Advance(time.Microsecond)
		b.mustRefuse(t, name+", at the end", token)
		b.clock.Advance(100 * 365 * 24 * time.Hour)
		b.mustRefuse(t, name+", a century later", token)
	}

	// A replica whose clock is behind has to accept what another one has just issued.
	b := newBench(t, EdDSA)
	b.clock.Advance(-time.Duration(b.clock.Now().Nanosecond()))
	now := b.clock.Now().Unix()
	b.mustAccept(t, "iat in 30 s", b.forge(t, b.head(), with(b.claims(), "iat", now+30)))
	b.mustRefuse(t, "iat in 31 s", b.forge(t, b.head(), with(b.claims(), "iat", now+31)))
	b.mustAccept(t, "nbf in 30 s", b.forge(t, b.head(), with(b.claims(), "nbf", now+30)))
	b.mustRefuse(t, "nbf in 31 s", b.forge(t, b.head(), with(b.claims(), "nbf", now+31)))
}

func TestFormsAreRefused(t *testing.T) {
	t.Parallel()
	b := newBench(t, ES256)
	good := b.forge(t, b.head(), b.claims())
	b.mustAccept(t, "the token that is spoilt below", good)
	p := strings.Split(good, ".")
	for name, token := range map[string]string{
		"empty":                     "",
		"a word":                    "x",
		"dots":                      "..",
		"four dots":                 "....",
		"two parts":                 p[0] + "." + p[1],
		"no signature":              p[0] + "." + p[1] + ".",
		"no header":                 "." + p[1] + "." + p[2],
		"no claims":                 p[0] + ".." + p[2],
		"four parts":                good + ".x",
		"dot at the end":            good + ".",
		"dot before":                "." + good,
		"JWE of five parts":         p[0] + ".." + p[1] + "." + p[1] + "." + p[2],
		"padding":                   p[0] + "." + p[1] + "." + p[2] + "==",
		"padding of the header":     p[0] + "=." + p[1] + "." + p[2],
		"space before":              " " + good,
		"space after":               good + " ",
		"newline after":             good + "\n",
		"newline inside":            p[0][:8] + "\n" + p[0][8:] + "." + p[1] + "." + p[2],
		"newline in claims":         p[0] + "." + p[1][:8] + "\r\n" + p[1][8:] + "." + p[2],
		"newline in the signature":  p[0] + "." + p[1] + "." + p[2][:8] + "\n" + p[2][8:],
		"tab":                       p[0] + "." + p[1] + "\t." + p[2],
		"NUL":                       good + "\x00",
		"standard alphabet":         p[0] + "." + p[1] + ".+/" + p[2][2:],
		"not ASCII":                 p[0] + "." + p[1] + "." + p[2][:84] + "é",
		"invalid UTF-8":             good[:20] + "\xff" + good[21:],
		"tail bits of signature":    p[0] + "." + p[1] + "." + p[2][:85] + nextLetter(p[2][85]),
		"percent":                   p[0] + "%2E" + p[1] + "%2E" + p[2],
		"flattened JSON":            `{"payload":"` + p[1] + `","protected":"` + p[0] + `","signature":"` + p[2] + `"}`,
		"general JSON":              `{"payload":"` + p[1] + `","signatures":[{"protected":"` + p[0] + `","signature":"` + p[2] + `"}]}`,
		"Bearer":                    "Bearer " + good,
		"twice":                     good + "," + good,
		"upper case":                strings.ToUpper(good),
		"cut by one":                good[:len(good)-1],
		"cut to 80":                 good[:80],
		"one more":                  good + "A",
		"signature of another":      p[0] + "." + p[1] + "." + strings.Split(b.forge(t, b.head(), b.claims()), ".")[2],
		"claims of another":         p[0] + "." + strings.Split(b.forge(t, b.head(), b.claims()), ".")[1] + "." + p[2],
		"8 KiB and a byte":          good + strings.Repeat("A", maxAccess+1-len(good)),
		"1 MB":                      strings.Repeat("A", 1<<20),
		"1 MB of dots":              strings.Repeat(".", 1<<20),
		"1 MB of dots after a head": p[0] + strings.Repeat(".", 1<<20),
	} {
		b.mustRefuse(t, name, token)
	}
	// The limit itself is no obstacle.
	claims := b.claims()
	claims["client_id"] = strings.Repeat("x", 5000)
	b.mustAccept(t, "a long one", b.forge(t, b.head(), claims))
	claims["client_id"] = strings.Repeat("x", 6500)
	b.mustRefuse(t, "well signed, but too long", b.forge(t, b.head(), claims))
}

func nextLetter(c byte) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	return string(alphabet[strings.IndexByte(alphabet, c)+1])
}

// Refusing what is far too long costs nothing (CVE-2025-30204).
func TestLongInputAllocatesNothing(t *testing.T) {
	b := newBench(t, ES256)
	dots := strings.Repeat(".", 1<<20)
	bytes := testing.Benchmark(func(tb *testing.B) {
		tb.ReportAllocs()
		for range tb.N {
			if _, err := b.access.Verify(tb.Context(), dots); err == nil {
				tb.Fatal("accepted")
			}
		}
	}).AllocedBytesPerOp()
	if bytes > 1024 {
		t.Errorf("%d bytes allocated", bytes)
	}
}

func TestSignaturesAreRefused(t *testing.T) {
	t.Parallel()
	b := newBench(t, ES256)
	key := b.keys.signing()
	private := key.private.(*ecdsa.PrivateKey)
	unsigned := encode(text(t, b.head())) + "." + encode(text(t, b.claims()))
	digest := sha256.Sum256([]byte(unsigned))
	r, s, err := ecdsa.Sign(rand.Reader, private, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	raw := func(r, s *big.Int, size int) []byte {
		return slices.Concat(r.FillBytes(make([]byte, size)), s.FillBytes(make([]byte, size)))
	}
	good := raw(r, s, 32)
	b.mustAccept(t, "the signature that is spoilt below", unsigned+"."+b64(good))
	der, err := asn1.Marshal(struct{ R, S *big.Int }{r, s})
	if err != nil {
		t.Fatal(err)
	}
	zero, n := new(big.Int), private.Params().N
	for name, signature := range map[string][]byte{
		"r = s = 0":   raw(zero, zero, 32),
		"r = 0":       raw(zero, s, 32),
		"s = 0":       raw(r, zero, 32),
		"r = n":       raw(n, s, 32),
		"s = n":       raw(r, n, 32),
		"all ones":    slices.Repeat([]byte{0xff}, 64),
		"DER":         der,
		"63 bytes":    good[:63],
		"65 bytes":    append(slices.Clone(good), 0),
		"leading 0":   append([]byte{0}, good...),
		"33 + 33":     raw(r, s, 33),
		"32 bytes":    good[:32],
		"one byte":    {0},
		"s, r":        raw(s, r, 32),
		"128 bytes":   append(slices.Clone(good), good...),
		"a bit wrong": append(slices.Clone(good[:63]), good[63]^1),
	} {
		b.mustRefuse(t, name, unsigned+"."+b64(signature))
	}
	if sum := new(big.Int).Add(s, n); sum.BitLen() <= 256 {
		b.mustRefuse(t, "s + n", unsigned+"."+b64(raw(r, sum, 32)))
	}
}

// A public key is public: as a secret for HMAC, in whatever form, it must open nothing (CVE-2015-9235).
func TestAlgorithmConfusion(t *testing.T) {
	t.Parallel()
	for _, algorithm := range []string{ES256, RS256, EdDSA} {
		b := newBench(t, algorithm)
		key := b.keys.signing()
		der, err := x509.MarshalPKIXPublicKey(key.public)
		if err != nil {
			t.Fatal(err)
		}
		block := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
		jwks, _ := b.keys.JWKS()
		secrets := map[string][]byte{
			"DER": der, "PEM": block, "PEM without newline": block[:len(block)-1],
			"JWK": key.jwk, "JWKS": jwks, "kid": []byte(key.id), "empty": {}, "issuer": []byte(issuer),
		}
		switch public := key.public.(type) {
		case *ecdsa.PublicKey:
			point, err := public.Bytes()
			if err != nil {
				t.Fatal(err)
			}
			secrets["point"], secrets["x"] = point, point[1:33]
		case *rsa.PublicKey:
			secrets["n"] = public.N.Bytes()
			secrets["PKCS #1"] = x509.MarshalPKCS1PublicKey(public)
		default:
			secrets["x"] = der[len(der)-32:]
		}
		for _, alg := range []string{"HS256", "HS384", "HS512", algorithm} {
			head := text(t, with(b.head(), "alg", alg))
			for name, public := range secrets {
				for _, method := range []jwt.SigningMethod{jwt.SigningMethodHS256, jwt.SigningMethodHS384, jwt.SigningMethodHS512} {
					token := forge(t, method, public, head, text(t, b.claims()))
					b.mustRefuse(t, fmt.Sprintf("%s: HMAC as %s with %s", algorithm, alg, name), token)
				}
			}
		}
		for _, alg := range []any{"none", "None", "nOnE", "NONE", "", nil, remove, []string{"none"}} {
			none := encode(text(t, with(b.head(), "alg", alg))) + "." + encode(text(t, b.claims())) + "."
			b.mustRefuse(t, fmt.Sprintf("%s: alg %v", algorithm, alg), none)
			b.mustRefuse(t, fmt.Sprintf("%s: alg %v, signed", algorithm, alg), none+strings.Split(b.sign(t), ".")[2])
		}
	}
}

// A part that does not end on a byte has bits to spare. Set, they give a token a second spelling.
func TestTailBitsOfEachPart(t *testing.T) {
	t.Parallel()
	b := newBench(t, ES256)
	for _, client := range []string{"", "x", "xx", "xxx"} { // one of these lengths leaves bits in the claims
		good := b.forge(t, b.head(), with(b.claims(), "client_id", client))
		b.mustAccept(t, "the token that is spoilt below", good)
		parts := strings.Split(good, ".")
		for i, part := range parts {
			if last := part[len(part)-1]; len(part)%4 != 0 {
				spoilt := slices.Clone(parts)
				spoilt[i] = part[:len(part)-1] + nextLetter(last)
				b.mustRefuse(t, fmt.Sprintf("tail bits of part %d", i), strings.Join(spoilt, "."))
			}
		}
	}
}

// A key serves its own algorithm only, even where the mathematics would allow another.
func TestOneKeyOneAlgorithm(t *testing.T) {
	t.Parallel()
	b := newBench(t, RS256)
	key := b.keys.signing()
	for _, method := range []jwt.SigningMethod{jwt.SigningMethodPS256, jwt.SigningMethodRS384, jwt.SigningMethodRS512} {
		for _, alg := range []string{method.Alg(), RS256} {
			token := forge(t, method, key.private, text(t, with(b.head(), "alg", alg)), text(t, b.claims()))
			b.mustRefuse(t, method.Alg()+" as "+alg, token)
		}
	}
	rotated := newConfig(b.clock)
	both := openKeys(t, b.keys.store, b.root, rotated) // adds an ES256 key
	newest := both.ring.Load().newest()
	if newest.algorithm != ES256 {
		t.Fatal("no ES256 key")
	}
	b.access = newAccess(t, both, rotated)
	b.keys = both
	b.mustAccept(t, "the other key, its kid", forge(t, newest.method, newest.private,
		text(t, with(with(b.head(), "alg", ES256), "kid", newest.id)), text(t, b.claims())))
	b.mustRefuse(t, "the other key, this kid", forge(t, newest.method, newest.private,
		text(t, with(b.head(), "alg", ES256)), text(t, b.claims())))
	b.mustRefuse(t, "this key, the other kid", forge(t, key.method, key.private,
		text(t, with(with(b.head(), "alg", RS256), "kid", newest.id)), text(t, b.claims())))
}

// Another environment may have every setting in common with this one, but not the keys.
func TestOtherEnvironment(t *testing.T) {
	t.Parallel()
	b, other := newBench(t, ES256), newBench(t, ES256)
	b.mustRefuse(t, "its token", other.sign(t))
	foreign := other.keys.signing()
	b.mustRefuse(t, "its key under our kid", forge(t, foreign.method, foreign.private, text(t, b.head()), text(t, b.claims())))

	for name, change := range map[string]func(*Config){
		"issuer":   func(c *Config) { c.Issuer = "https://staging.example.com" },
		"audience": func(c *Config) { c.Audience = "https://other.example.com" },
	} {
		cfg := b.cfg
		change(&cfg)
		token, err := newAccess(t, b.keys, cfg).Sign(uuid.New(), uuid.New(), "web")
		if err != nil {
			t.Fatal(err)
		}
		b.mustRefuse(t, "our key, another "+name, token)
	}
}

func TestRefreshTokenIsNoAccessToken(t *testing.T) {
	t.Parallel()
	b := newBench(t, ES256)
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

// The reason of a refusal may be logged, so it says nothing of the token.
func TestReasonsDoNotQuoteTheToken(t *testing.T) {
	t.Parallel()
	b := newBench(t, ES256)
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

func TestClaimsOnTheContext(t *testing.T) {
	t.Parallel()
	if c, ok := FromContext(t.Context()); ok || c != (Claims{}) {
		t.Error("claims out of nothing")
	}
	want := Claims{AccountID: uuid.New(), SessionID: uuid.New(), ClientID: "web"}
	if got, ok := FromContext(NewContext(t.Context(), want)); !ok || got != want {
		t.Errorf("got %+v", got)
	}
}

func FuzzAccessVerify(f *testing.F) {
	b := newBench(f, ES256)
	good := b.sign(f)
	p := strings.Split(good, ".")
	for _, seed := range []string{good, good[:len(good)-1], p[0] + "." + p[1] + ".", "..", "a.b.c", good + ".", "bnVsbA.bnVsbA.AA", p[0] + ".bnVsbA." + p[2], ""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, token string) {
		// There is one good token, and it has one spelling.
		if claims, err := b.access.Verify(t.Context(), token); (err == nil) != (token == good) || (err != nil && !errors.Is(err, ErrInvalid)) {
			t.Fatalf("%q: %+v, %v", token, claims, err)
		}
	})
}

// FuzzAccessClaims signs anything with the real key: the checks behind the signature stand alone.
func FuzzAccessClaims(f *testing.F) {
	b := newBench(f, EdDSA)
	head, body := text(f, b.head()), text(f, b.claims())
	f.Add(head, body)
	f.Add(head, "null")
	f.Add("null", body)
	f.Add(head, body[:len(body)-1]+`,"nbf":1e400}`)
	f.Add(head, body[:len(body)-1]+`,"EXP":1}`)
	f.Add(head, body[:len(body)-1]+`,"exp":1}`)
	f.Add(head[:len(head)-1]+`,"crit":[]}`, body)
	f.Fuzz(func(t *testing.T, head, body string) {
		claims, err := b.access.Verify(t.Context(), b.forge(t, head, body))
		if err != nil {
			if !errors.Is(err, ErrInvalid) {
				t.Fatal(err)
			}
			return
		}
		var h map[string]string
		if err := json.Unmarshal([]byte(head), &h); err != nil || h["alg"] != EdDSA || h["kid"] != b.keys.signing().id || !strings.HasSuffix(h["typ"], "at+jwt") {
			t.Fatalf("header %q: %v", head, err)
		}
		var c map[string]any
		if err := json.Unmarshal([]byte(body), &c); err != nil {
			t.Fatalf("claims %q: %v", body, err)
		}
		if c["iss"] != issuer || c["aud"] != audience || c["sub"] != claims.AccountID.String() || c["sid"] != claims.SessionID.String() ||
			claims.ExpiresAt.Add(leeway).Before(b.clock.Now()) || claims.IssuedAt.After(b.clock.Now().Add(leeway)) {
			t.Fatalf("claims %q -> %+v", body, claims)
		}
	})
}
