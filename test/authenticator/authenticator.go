// Package authenticator is a WebAuthn authenticator in software, together with the browser that passes its responses on. It has passkeys with
// ES256 keys and no attestation. Tests set its fields to make what a browser or an authenticator would not.
package authenticator

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/fxamacker/cbor/v2"
)

// The flags of authenticator data (WebAuthn Level 3 section 6.1).
const (
	UserPresent    = 0x01
	UserVerified   = 0x04
	BackupEligible = 0x08
	BackedUp       = 0x10
	attested       = 0x40
)

// ES256 is the COSE algorithm of ECDSA with P-256 and SHA-256.
const ES256 = -7

// Passkey is one passkey in an authenticator. All fields can be changed between two calls.
type Passkey struct {
	ID         []byte
	Origin     string // of the page
	RPID       string
	UserHandle []byte
	Flags      byte
	Counter    uint32         // of the next response
	Step       uint32         // added to Counter after each response; 0: the authenticator does not count
	Algorithm  int64          // in the public key
	Transports []string       // reported at the registration
	Extensions map[string]any // clientExtensionResults
	ForgeNext  bool           // the next signature is by another key

	key *ecdsa.PrivateKey
}

// New returns a passkey of an authenticator that verifies its user.
func New(origin, rpID string, userHandle []byte) (*Passkey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("generate a key: %w", err)
	}
	p := &Passkey{
		ID: make([]byte, 32), Origin: origin, RPID: rpID, UserHandle: userHandle, Flags: UserPresent | UserVerified, Algorithm: ES256,
		Transports: []string{"internal"}, Extensions: map[string]any{}, key: key,
	}
	if _, err := rand.Read(p.ID); err != nil {
		return nil, fmt.Errorf("generate an ID: %w", err)
	}
	return p, nil
}

// Register returns the RegistrationResponseJSON to a challenge (in base64url) into to.
func (p *Passkey) Register(challenge string, to any) error {
	public, err := p.publicKey()
	if err != nil {
		return err
	}
	data := p.authenticatorData(attested)
	data = append(data, make([]byte, 16)...) // the AAGUID
	data = binary.BigEndian.AppendUint16(data, uint16(len(p.ID)))
	data = slices.Concat(data, p.ID, public)
	attestation, err := cbor.Marshal(map[string]any{"fmt": "none", "attStmt": map[string]any{}, "authData": data})
	if err != nil {
		return fmt.Errorf("encode the attestation: %w", err)
	}
	clientData, err := p.clientData("webauthn.create", challenge)
	if err != nil {
		return err
	}
	return p.respond(map[string]any{
		"clientDataJSON": encode(clientData), "attestationObject": encode(attestation), "authenticatorData": encode(data),
		"transports": p.Transports, "publicKeyAlgorithm": p.Algorithm,
	}, to)
}

// Assert returns the AuthenticationResponseJSON to a challenge (in base64url) into to.
func (p *Passkey) Assert(challenge string, to any) error {
	clientData, err := p.clientData("webauthn.get", challenge)
	if err != nil {
		return err
	}
	data := p.authenticatorData(0)
	hash := sha256.Sum256(clientData)
	digest := sha256.Sum256(slices.Concat(data, hash[:]))
	key := p.key
	if p.ForgeNext {
		p.ForgeNext = false
		if key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
			return fmt.Errorf("generate a key: %w", err)
		}
	}
	signature, err := key.Sign(rand.Reader, digest[:], crypto.SHA256)
	if err != nil {
		return fmt.Errorf("sign: %w", err)
	}
	response := map[string]any{
		"clientDataJSON": encode(clientData), "authenticatorData": encode(data), "signature": encode(signature),
	}
	if p.UserHandle != nil {
		response["userHandle"] = encode(p.UserHandle)
	}
	return p.respond(response, to)
}

// Copy returns a clone of the passkey, as a thief who has read the private key has it.
func (p *Passkey) Copy() *Passkey {
	clone := *p
	return &clone
}

// respond converts a response to the type that the caller sends.
func (p *Passkey) respond(response map[string]any, to any) error {
	text, err := json.Marshal(map[string]any{
		"id": encode(p.ID), "rawId": encode(p.ID), "type": "public-key", "response": response,
		"authenticatorAttachment": "platform", "clientExtensionResults": p.Extensions,
	})
	if err == nil {
		err = json.Unmarshal(text, to)
	}
	if err != nil {
		return fmt.Errorf("convert the response: %w", err)
	}
	return nil
}

// authenticatorData returns the hash of the RP ID, the flags and the counter, and lets the authenticator count.
func (p *Passkey) authenticatorData(flags byte) []byte {
	hash := sha256.Sum256([]byte(p.RPID))
	data := binary.BigEndian.AppendUint32(append(hash[:], p.Flags|flags), p.Counter)
	p.Counter += p.Step
	return data
}

func (p *Passkey) clientData(kind, challenge string) ([]byte, error) {
	text, err := json.Marshal(map[string]any{"type": kind, "challenge": challenge, "origin": p.Origin, "crossOrigin": false})
	if err != nil {
		return nil, fmt.Errorf("encode the client data: %w", err)
	}
	return text, nil
}

// publicKey returns the COSE key (RFC 9053 section 7.1.1).
func (p *Passkey) publicKey() ([]byte, error) {
	point, err := p.key.PublicKey.Bytes() // 4, X, Y
	if err != nil {
		return nil, fmt.Errorf("encode the key: %w", err)
	}
	const keyType, algorithm, curve, x, y, ec2, p256 = 1, 3, -1, -2, -3, 2, 1
	public, err := cbor.Marshal(map[int]any{keyType: ec2, algorithm: p.Algorithm, curve: p256, x: point[1:33], y: point[33:]})
	if err != nil {
		return nil, fmt.Errorf("encode the key: %w", err)
	}
	return public, nil
}

func encode(data []byte) string { return base64.RawURLEncoding.EncodeToString(data) }
