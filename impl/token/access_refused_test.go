package token

import (
	"strconv"
	"strings"
	"testing"

	"github.com/google/uuid"
)

// TestHeadersAreRefused checks that a token whose header differs from those of this service is refused, although its signature is valid.
func TestHeadersAreRefused(t *testing.T) {
	t.Parallel()
	b := newFixture(t, ES256)
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

// TestClaimsAreRefused checks that a token with a missing, malformed or wrong claim is refused, although its signature is valid.
func TestClaimsAreRefused(t *testing.T) {
	t.Parallel()
	b := newFixture(t, ES256)
	for _, refused := range []map[string]any{refusedIssuersAndAudiences(b), refusedTimes(t, b), refusedClaims(t, b)} {
		for name, claims := range refused {
			b.mustRefuse(t, name, b.forge(t, b.head(), claims))
		}
	}
}

func refusedIssuersAndAudiences(b fixture) map[string]any {
	return map[string]any{
		"iss missing":        with(b.claims(), "iss", remove),
		"iss empty":          with(b.claims(), "iss", ""),
		"iss null":           with(b.claims(), "iss", nil),
		"iss array":          with(b.claims(), "iss", []string{issuer}),
		"iss other":          with(b.claims(), "iss", "https://evil.example"),
		"iss trailing slash": with(b.claims(), "iss", issuer+"/"),
		"iss prefix":         with(b.claims(), "iss", issuer[:len(issuer)-1]),
		"iss suffix":         with(b.claims(), "iss", issuer+".evil.example"),
		"iss upper case":     with(b.claims(), "iss", strings.ToUpper(issuer)),
		"aud missing":        with(b.claims(), "aud", remove),
		"aud empty":          with(b.claims(), "aud", ""),
		"aud null":           with(b.claims(), "aud", nil),
		"aud other":          with(b.claims(), "aud", "https://other.example.com"),
		"aud prefix":         with(b.claims(), "aud", audience[:len(audience)-1]),
		"aud suffix":         with(b.claims(), "aud", audience+".evil.example"),
		"aud as an object":   with(b.claims(), "aud", map[string]any{"x": audience}),
		"aud empty array":    with(b.claims(), "aud", []string{}),
		"aud trailing slash": with(b.claims(), "aud", audience+"/"),
		"aud upper case":     with(b.claims(), "aud", strings.ToUpper(audience)),
		"aud array":          with(b.claims(), "aud", []string{audience}),
		"aud array of two":   with(b.claims(), "aud", []string{audience, "https://other.example.com"}),
		"aud of refresh":     with(b.claims(), "aud", issuer+"/v1/oauth/refresh"),
	}
}

func refusedTimes(t *testing.T, b fixture) map[string]any {
	t.Helper()
	now := b.clock.Now().Unix()
	valid := text(t, b.claims())
	return map[string]any{
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
		"exp year 10000":      with(b.claims(), "exp", maxUnixTime+1),
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
	}
}

func refusedClaims(t *testing.T, b fixture) map[string]any {
	t.Helper()
	id := uuid.NewString()
	valid := text(t, b.claims())
	return map[string]any{
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
	}
}
