package passkey

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/protocol/webauthncbor"
	"github.com/go-webauthn/webauthn/protocol/webauthncose"
	"github.com/go-webauthn/webauthn/webauthn"
	"github.com/google/uuid"

	"github.com/financelime/authorization/db"
)

// ErrCloned means that the counter of a passkey has not risen: someone may have copied its private key.
var ErrCloned = errors.New("the counter of the passkey has not risen")

// user is a user as the library sees them.
type user struct {
	handle      []byte // the user handle: the account ID
	email       string
	credentials []webauthn.Credential
}

func (u user) WebAuthnID() []byte                         { return u.handle }
func (u user) WebAuthnName() string                       { return u.email }
func (u user) WebAuthnDisplayName() string                { return u.email }
func (u user) WebAuthnCredentials() []webauthn.Credential { return u.credentials }

// credential converts a stored passkey to the library's type.
func credential(stored db.Passkey) webauthn.Credential {
	c := webauthn.Credential{
		ID: stored.CredentialID, PublicKey: stored.PublicKey, Flags: webauthn.NewCredentialFlags(flagsOf(stored)),
		AttestationType: "none", AttestationFormat: "none",
		Authenticator: webauthn.Authenticator{SignCount: uint32(stored.SignCount)}, //nolint:gosec // it was stored from a uint32
	}
	for transport := range strings.FieldsSeq(stored.Transports) {
		c.Transport = append(c.Transport, protocol.AuthenticatorTransport(transport))
	}
	return c
}

func flagsOf(stored db.Passkey) protocol.AuthenticatorFlags {
	return protocol.AuthenticatorFlags(stored.Flags) //nolint:gosec // it was stored from a byte
}

// Synced reports whether a stored passkey can be copied to other devices.
func Synced(stored db.Passkey) bool { return flagsOf(stored).HasBackupEligible() }

// unknownCredential returns a credential whose private key is thrown away.
func unknownCredential() (webauthn.Credential, error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return webauthn.Credential{}, fmt.Errorf("generate a key: %w", err)
	}
	point, err := private.PublicKey.Bytes() // 4, X, Y
	if err != nil {
		return webauthn.Credential{}, fmt.Errorf("encode a key: %w", err)
	}
	public, err := webauthncbor.Marshal(webauthncose.EC2PublicKeyData{
		PublicKeyData: webauthncose.PublicKeyData{KeyType: int64(webauthncose.EllipticKey), Algorithm: int64(webauthncose.AlgES256)},
		Curve:         int64(webauthncose.P256), XCoord: point[1:33], YCoord: point[33:],
	})
	if err != nil {
		return webauthn.Credential{}, fmt.Errorf("encode a key: %w", err)
	}
	return webauthn.Credential{PublicKey: public}, nil
}

// transport matches the names of transports (WebAuthn Level 3 section 5.8.4), also those of the future.
var transport = regexp.MustCompile(`^[a-z][a-z-]{0,31}$`)

// transports returns the transports as they are stored. The client reports them, so nonsense is left out.
func transports(reported []protocol.AuthenticatorTransport) string {
	const maxTransports = 8
	var kept []string
	for _, t := range reported {
		if name := string(t); transport.MatchString(name) && !slices.Contains(kept, name) && len(kept) < maxTransports {
			kept = append(kept, name)
		}
	}
	return strings.Join(kept, " ")
}

// convert converts options and session data by their JSON form.
func convert[T any](from any) (to T, err error) {
	text, err := json.Marshal(from)
	if err == nil {
		err = json.Unmarshal(text, &to)
	}
	if err != nil {
		return to, fmt.Errorf("convert %T to %T: %w", from, to, err)
	}
	return to, nil
}

// handle returns the user handle of an account.
func handle(accountID uuid.UUID) []byte { return accountID[:] }
