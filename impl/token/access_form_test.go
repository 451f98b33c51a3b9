package token

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"

	"github.com/golang-jwt/jwt/v5"
)

// TestFormsAreRefused checks that a valid token in any other spelling is refused.
func TestFormsAreRefused(t *testing.T) {
	t.Parallel()
	b := newFixture(t, ES256)
	good := b.forge(t, b.head(), b.claims())
	b.mustAccept(t, "the token that is modified below", good)
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
	// Tokens below the limit are accepted.
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

// TestLongInputAllocatesNothing checks that refusing a very long token costs almost no memory (CVE-2025-30204).
func TestLongInputAllocatesNothing(t *testing.T) {
	b := newFixture(t, ES256)
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

// TestSignaturesAreRefused checks that a signature with other numbers or in another encoding is refused.
func TestSignaturesAreRefused(t *testing.T) {
	t.Parallel()
	b := newFixture(t, ES256)
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
	b.mustAccept(t, "the signature that is modified below", unsigned+"."+b64(good))
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

// TestAlgorithmConfusion checks that no encoding of the public key is accepted as an HMAC secret (CVE-2015-9235), and that the algorithm
// none is refused.
func TestAlgorithmConfusion(t *testing.T) {
	t.Parallel()
	for _, algorithm := range []string{ES256, RS256, EdDSA} {
		b := newFixture(t, algorithm)
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

// TestTailBitsOfEachPart checks the unused bits at the end of a base64url text: if they were ignored, a token would have two spellings.
func TestTailBitsOfEachPart(t *testing.T) {
	t.Parallel()
	b := newFixture(t, ES256)
	for _, client := range []string{"", "x", "xx", "xxx"} { // one of these lengths leaves bits in the claims
		good := b.forge(t, b.head(), with(b.claims(), "client_id", client))
		b.mustAccept(t, "the token that is modified below", good)
		parts := strings.Split(good, ".")
		for i, part := range parts {
			if last := part[len(part)-1]; len(part)%4 != 0 {
				modified := slices.Clone(parts)
				modified[i] = part[:len(part)-1] + nextLetter(last)
				b.mustRefuse(t, fmt.Sprintf("tail bits of part %d", i), strings.Join(modified, "."))
			}
		}
	}
}

// TestOneKeyOneAlgorithm checks that a key is used with its own algorithm only, even if it could be used with another.
func TestOneKeyOneAlgorithm(t *testing.T) {
	t.Parallel()
	b := newFixture(t, RS256)
	key := b.keys.signing()
	for _, method := range []jwt.SigningMethod{jwt.SigningMethodPS256, jwt.SigningMethodRS384, jwt.SigningMethodRS512} {
		for _, alg := range []string{method.Alg(), RS256} {
			token := forge(t, method, key.private, text(t, with(b.head(), "alg", alg)), text(t, b.claims()))
			b.mustRefuse(t, method.Alg()+" as "+alg, token)
		}
	}
	rotated := newConfig(b.clock)
	both := openKeys(t, b.keys.store, b.root, rotated) // adds an ES256 key
	newest := both.current.Load().newest()
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
