package hostile

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"math/big"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
)

var b64 = base64.RawURLEncoding.EncodeToString

// forger forges tokens from a valid one. It has the public key of the service, but not the private key.
type forger struct {
	t              *testing.T
	valid          string
	header, claims map[string]any
	public         map[string]any // the JWK of the service
	key            *ecdsa.PublicKey
	own            *ecdsa.PrivateKey // the key of the forger
}

func (env *environment) forger(valid string) *forger {
	env.t.Helper()
	f := &forger{t: env.t, valid: valid, header: make(map[string]any), claims: make(map[string]any)}
	for i, part := range []*map[string]any{&f.header, &f.claims} {
		text, err := base64.RawURLEncoding.DecodeString(strings.Split(valid, ".")[i])
		if err == nil {
			err = json.Unmarshal(text, part)
		}
		if err != nil {
			env.t.Fatal(err)
		}
	}
	set := env.mustSend(request{method: http.MethodGet, target: "/.well-known/jwks.json"})
	var keys struct{ Keys []map[string]any }
	if err := json.Unmarshal([]byte(set.body), &keys); err != nil {
		env.t.Fatal(err)
	}
	f.public = keys.Keys[0]
	x, errX := base64.RawURLEncoding.DecodeString(f.public["x"].(string))
	y, errY := base64.RawURLEncoding.DecodeString(f.public["y"].(string))
	if errX != nil || errY != nil {
		env.t.Fatal(errX, errY)
	}
	var err error
	if f.key, err = ecdsa.ParseUncompressedPublicKey(elliptic.P256(), slices.Concat([]byte{4}, x, y)); err != nil {
		env.t.Fatal(err)
	}
	if f.own, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		env.t.Fatal(err)
	}
	return f
}

// part returns one encoded part of a token.
func (f *forger) part(of any) string { return b64([]byte(quoted(f.t, of))) }

// with returns a copy of a header or of claims with one member set.
func with(m map[string]any, name string, value any) map[string]any {
	changed := maps.Clone(m)
	changed[name] = value
	return changed
}

// without returns a copy without one member.
func without(m map[string]any, name string) map[string]any {
	changed := maps.Clone(m)
	delete(changed, name)
	return changed
}

// signed returns a token that is signed with the key of the forger.
func (f *forger) signed(header, claims map[string]any) string {
	input := f.part(header) + "." + f.part(claims)
	digest := sha256.Sum256([]byte(input))
	r, s, err := ecdsa.Sign(rand.Reader, f.own, digest[:])
	if err != nil {
		f.t.Fatal(err)
	}
	return input + "." + b64(slices.Concat(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))))
}

// mac returns a token with an HMAC instead of a signature.
func (f *forger) mac(header map[string]any, key []byte) string {
	input := f.part(header) + "." + f.part(f.claims)
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(input))
	return input + "." + b64(mac.Sum(nil))
}

// tokens returns all forged tokens that can be made without the private key of the service. impl/token tests the others.
func (f *forger) tokens() map[string]string {
	parts := strings.Split(f.valid, ".")
	head, body, signature := parts[0], parts[1], parts[2]
	raw, err := base64.RawURLEncoding.DecodeString(signature)
	if err != nil {
		f.t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(f.key)
	if err != nil {
		f.t.Fatal(err)
	}
	pemText := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	all := map[string]string{
		"nothing": "", "a dot": ".", "two dots": "..", "three dots": "...", "dots": strings.Repeat(".", 7000), "one part": head, "two parts": head + "." + body, "two parts and a dot": head + "." + body + ".", "four parts": f.valid + ".x",
		"five parts": f.valid + "." + head + "." + body, "a token twice": f.valid + f.valid, "padding": f.valid + "=", "padded parts": head + "=." + body + "=." + signature + "=", "standard base64": strings.NewReplacer("-", "+", "_", "/").Replace(f.valid) + "+/",
		"a tail bit": head + "." + body + "." + signature[:len(signature)-1] + string(nextLetter(signature[len(signature)-1])), "a space in it": head + ". " + body + "." + signature, "a line feed in it": head + "." + body[:9] + "\\n" + body[9:] + "." + signature,
		"no header": "." + body + "." + signature, "no claims": head + ".." + signature, "header and claims swapped": body + "." + head + "." + signature, "cut": f.valid[:len(f.valid)-1], "longer": f.valid + "A", "upper case": strings.ToUpper(f.valid),
		"JSON serialisation": `{"payload":"` + body + `","protected":"` + head + `","signature":"` + signature + `"}`, "a UUID": uuid.NewString(), "8 KiB": strings.Repeat("A", 8<<10), "13 KiB in three": strings.Repeat(strings.Repeat("A", 4400)+".", 2) + "A",
		"a zero signature": head + "." + body + "." + b64(make([]byte, 64)), "r is zero": head + "." + body + "." + b64(slices.Concat(make([]byte, 32), raw[min(32, len(raw)):])), "an empty signature": head + "." + body + ".", "63 bytes": head + "." + body + "." + b64(raw[:len(raw)-1]),
		"65 bytes": head + "." + body + "." + b64(append(slices.Clone(raw), 0)), "DER": head + "." + body + "." + b64(f.der(raw)), "s above n": head + "." + body + "." + b64(slices.Repeat([]byte{0xff}, 64)),
		"other claims": head + "." + f.part(with(f.claims, "sub", uuid.NewString())) + "." + signature, "a later exp": head + "." + f.part(with(f.claims, "exp", time.Now().Add(time.Hour).Unix())) + "." + signature,
		"other header": f.part(with(f.header, "x", 1)) + "." + body + "." + signature, "a JWE": f.part(map[string]any{"alg": "dir", "enc": "A256GCM"}) + "..AAAA.AAAA.AAAA", "PBES2": f.part(map[string]any{"alg": "PBES2-HS256+A128KW", "enc": "A128CBC-HS256", "p2c": 1 << 31, "p2s": "AAAA"}) + ".AAAA.AAAA.AAAA.AAAA",
		"header is no JSON": b64([]byte("canary")) + "." + body + "." + signature, "claims are no JSON": head + "." + b64([]byte("canary")) + "." + signature, "header is an array": b64([]byte("[]")) + "." + body + "." + signature, "header is null": b64([]byte("null")) + "." + body + "." + signature,
		"a NUL in the header": b64([]byte("{\"alg\":\"ES256\x00\"}")) + "." + body + "." + signature, "alg twice": b64([]byte(`{"alg":"ES256","alg":"none"}`)) + "." + body + ".", "bad UTF-8": b64([]byte("{\"alg\":\"\xff\"}")) + "." + body + "." + signature, "nested 5,000 deep": b64([]byte(`{"alg":`+strings.Repeat("[", 5000))) + "." + body + ".",
		"own key": f.signed(f.header, f.claims), "own key, unknown kid": f.signed(with(f.header, "kid", strings.Repeat("A", 43)), f.claims), "own key, no kid": f.signed(without(f.header, "kid"), f.claims), "own key, no typ": f.signed(without(f.header, "typ"), f.claims),
	}
	for _, alg := range []any{"none", "None", "NONE", "nOnE", "", nil, 1, "HS256", "RS256", "PS256", "ES384", "ES512", "EdDSA", "es256", "ES256 ", "ES256K", "canary"} {
		header := with(f.header, "alg", alg)
		all[fmt.Sprintf("alg %v, unsigned", alg)] = f.part(header) + "." + body + "."
		if alg != f.header["alg"] {
			all[fmt.Sprintf("alg %v, with the signature", alg)] = f.part(header) + "." + body + "." + signature
		}
	}
	all["alg is an array"] = f.part(with(f.header, "alg", []string{"ES256"})) + "." + body + "." + signature
	all["no alg"] = f.part(without(f.header, "alg")) + "." + body + "."
	for name, key := range map[string][]byte{
		"PEM": pemText, "PEM without a newline": pemText[:len(pemText)-1], "DER": der, "JWK": []byte(quoted(f.t, f.public)), "x": []byte(f.public["x"].(string)), "raw point": append([]byte{4}, der[len(der)-64:]...), "nothing": {}, "kid": []byte(f.public["kid"].(string)), "secret": []byte("secret"),
	} {
		all["HS256 secretNames by "+name] = f.mac(with(f.header, "alg", "HS256"), key)
	}
	for _, kid := range []any{"../../dev/null", "' OR 1=1--", "|id", "a\x00", strings.Repeat("k", 7000), 1, []string{"k"}, nil, "", "http://127.0.0.1:1/canary", "file:///dev/null", map[string]any{}} {
		all[fmt.Sprintf("kid %.20v", kid)] = f.signed(with(f.header, "kid", kid), f.claims)
	}
	point, err := f.own.PublicKey.Bytes()
	if err != nil {
		f.t.Fatal(err)
	}
	jwk := map[string]any{"kty": "EC", "crv": "P-256", "x": b64(point[1:33]), "y": b64(point[33:])}
	for name, value := range map[string]any{
		"jku": "http://127.0.0.1:1/jwks.json", "x5u": "http://127.0.0.1:1/x.pem", "jwk": jwk, "x5c": []string{"MIIB"}, "x5t": "AAAA", "crit": []string{"exp"}, "b64": false, "zip": "DEF", "cty": "JWT", "enc": "A256GCM", "url": "http://127.0.0.1:1/",
	} {
		all["header "+name] = f.signed(with(f.header, name, value), f.claims)
	}
	for _, typ := range []any{"JWT", "at+jwt", "application/at+jwt", "rt+jwt", "dpop+jwt", "", nil, 1} {
		all[fmt.Sprintf("typ %v", typ)] = f.signed(with(f.header, "typ", typ), f.claims)
	}
	for name, value := range map[string]any{"exp": "never", "aud": []string{"*"}, "iss": "https://evil.example", "nbf": 1e308, "iat": -1, "sub": nil, "sid": []int{1}} {
		all["claim "+name] = f.signed(f.header, with(f.claims, name, value))
	}
	return all
}

// der converts a raw signature to the ASN.1 form of X.509.
func (f *forger) der(raw []byte) []byte {
	half := len(raw) / 2
	text, err := asn1.Marshal(struct{ R, S *big.Int }{new(big.Int).SetBytes(raw[:half]), new(big.Int).SetBytes(raw[half:])})
	if err != nil {
		f.t.Fatal(err)
	}
	return text
}

// nextLetter changes the lowest bit of a base64url character. In the last character of a signature, decoders may ignore this bit.
func nextLetter(c byte) byte {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	return letters[strings.IndexByte(letters, c)^1]
}

// tokenAttacks returns forged access tokens if the operation needs one, and forged refresh tokens.
func tokenAttacks(t *testing.T, op operation, forged map[string]map[string]string) []attack {
	t.Helper()
	var all []attack
	if op.secured {
		all = append(all, op.accessTokenAttacks(t, forged)...)
	}
	if slices.Contains(op.fields(), "refreshToken") {
		for _, kind := range []string{"refreshToken", "authorization"} {
			for name := range sorted(forged[kind]) {
				all = append(all, attack{name: "refresh token: " + kind + ", " + name, want: []int{400}, request: func(env *environment) request {
					v := op.valuesFor(env, "refreshToken")
					v["refreshToken"] = env.forged[kind][name]
					return op.request(t, v)
				}})
			}
		}
	}
	return all
}

func (op operation) accessTokenAttacks(t *testing.T, forged map[string]map[string]string) []attack {
	t.Helper()
	var all []attack
	for _, kind := range []string{"authorization", "refreshToken"} {
		for name := range sorted(forged[kind]) {
			all = append(all, attack{name: "access token: " + kind + ", " + name, want: []int{400, 401}, request: func(env *environment) request {
				r := op.request(t, env.accepted)
				r.header["Authorization"] = []string{"Bearer " + env.forged[kind][name]}
				return r
			}})
		}
	}
	for _, name := range secretNames {
		all = append(all, attack{name: "access token: the " + name, want: []int{401}, request: func(env *environment) request {
			r := op.request(t, env.accepted)
			r.header["Authorization"] = []string{"Bearer " + env.accepted[name]}
			return r
		}})
	}
	for name := range sorted(badAuthorizations("")) {
		all = append(all, attack{name: "authorization: " + name, want: []int{401}, request: func(env *environment) request {
			r := op.request(t, env.accepted)
			withHeader("Authorization", badAuthorizations(env.accepted["authorization"])[name])(env, &r)
			return r
		}})
	}
	for name := range sorted(tokenLocations("")) {
		all = append(all, attack{name: "a token " + name, want: []int{401}, request: func(env *environment) request {
			r := op.request(t, env.accepted)
			delete(r.header, "Authorization")
			tokenLocations(env.accepted["authorization"])[name](&r)
			return r
		}})
	}
	return all
}
