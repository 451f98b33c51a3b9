package token

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// The signature algorithms of access tokens. Each key is used with one of them only.
const (
	ES256 = "ES256"
	RS256 = "RS256"
	EdDSA = "EdDSA"
)

// rsaBits is the RSA key size, for at least 128 bits of security (ASVS 11.2.3).
const rsaBits = 3072

func supported(algorithm string) bool {
	return algorithm == ES256 || algorithm == RS256 || algorithm == EdDSA
}

// signingKey is a key of access tokens: one that will sign, signs or has signed them.
type signingKey struct {
	id        string // RFC 7638 thumbprint: the kid
	algorithm string
	method    jwt.SigningMethod
	private   crypto.Signer
	public    crypto.PublicKey
	jwk       json.RawMessage // the public half

	sealed       []byte // the encrypted key in the database
	sealedUnder  int    // the index in sealer.secrets of the secret that encrypted it
	sealedBefore []byte // the fingerprint of the secret that encrypted it before that; nil if unknown

	number   int64
	activeAt time.Time
}

// generate returns a new private key for an algorithm.
func generate(algorithm string) (crypto.Signer, error) {
	switch algorithm {
	case ES256:
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case RS256:
		return rsa.GenerateKey(rand.Reader, rsaBits)
	case EdDSA:
		_, private, err := ed25519.GenerateKey(rand.Reader)
		return private, err
	default:
		return nil, fmt.Errorf("unknown signing algorithm %q", algorithm)
	}
}

// jwk has the public members of the three key types, in the order in which they are published (RFC 7517, 7518, 8037).
type jwk struct {
	KeyType   string `json:"kty"`
	KeyID     string `json:"kid"`
	Algorithm string `json:"alg"`
	Use       string `json:"use"`
	Curve     string `json:"crv,omitempty"`
	X         string `json:"x,omitempty"`
	Y         string `json:"y,omitempty"`
	N         string `json:"n,omitempty"`
	E         string `json:"e,omitempty"`
}

// newKey returns the signing key of a private key. The key determines the algorithm, so that no key is used with two algorithms (RFC 8725
// section 3.1). Weak keys and unsupported types are refused.
func newKey(private crypto.Signer) (*signingKey, error) {
	k := &signingKey{private: private, public: private.Public()}
	j := jwk{Use: "sig"}
	var canonical string // RFC 7638 section 3.2: the required members in lexical order
	switch public := k.public.(type) {
	case *ecdsa.PublicKey:
		if public.Curve != elliptic.P256() {
			return nil, errors.New("not a P-256 key")
		}
		point, err := public.Bytes() // 4, x, y
		if err != nil {
			return nil, fmt.Errorf("encode P-256 key: %w", err)
		}
		k.algorithm, k.method = ES256, jwt.SigningMethodES256
		j.KeyType, j.Curve, j.X, j.Y = "EC", "P-256", b64(point[1:33]), b64(point[33:])
		canonical = fmt.Sprintf(`{"crv":%q,"kty":%q,"x":%q,"y":%q}`, j.Curve, j.KeyType, j.X, j.Y)
	case *rsa.PublicKey:
		if public.N.BitLen() < rsaBits {
			return nil, fmt.Errorf("an RSA key of %d bits is too short: at least %d are required", public.N.BitLen(), rsaBits)
		}
		k.algorithm, k.method = RS256, jwt.SigningMethodRS256
		j.KeyType, j.N, j.E = "RSA", b64(public.N.Bytes()), b64(big.NewInt(int64(public.E)).Bytes())
		canonical = fmt.Sprintf(`{"e":%q,"kty":%q,"n":%q}`, j.E, j.KeyType, j.N)
	case ed25519.PublicKey:
		k.algorithm, k.method = EdDSA, jwt.SigningMethodEdDSA
		j.KeyType, j.Curve, j.X = "OKP", "Ed25519", b64(public)
		canonical = fmt.Sprintf(`{"crv":%q,"kty":%q,"x":%q}`, j.Curve, j.KeyType, j.X)
	default:
		return nil, fmt.Errorf("unsupported key type %T", public)
	}
	sum := sha256.Sum256([]byte(canonical))
	k.id = b64(sum[:])
	j.KeyID, j.Algorithm = k.id, k.algorithm
	var err error
	if k.jwk, err = json.Marshal(j); err != nil {
		return nil, fmt.Errorf("encode public key: %w", err)
	}
	return k, nil
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }
