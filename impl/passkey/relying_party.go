package passkey

import (
	"errors"
	"fmt"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/protocol/webauthncose"
	"github.com/go-webauthn/webauthn/webauthn"

	"github.com/financelime/authorization/impl/token"
)

// ErrInvalid means that the response of a passkey does not belong to the ceremony, or is not valid.
var ErrInvalid = errors.New("invalid passkey response")

func invalid(reason string, err error) error {
	return fmt.Errorf("%w: %s: %w", ErrInvalid, reason, err)
}

// Config is what the relying party needs to know. All fields are required, except AppOrigins.
type Config struct {
	ID         string   // the RP ID: a domain
	Name       string   // of the service, which authenticators show
	Origins    []string // whose pages may use passkeys of the domain: https://auth.example.com
	AppOrigins []string // the same for apps: android:apk-key-hash:...
}

// RelyingParty verifies passkeys of one domain. A nil RelyingParty is a service without passkeys.
type RelyingParty struct {
	web     *webauthn.WebAuthn
	unknown webauthn.Credential // nobody has its private key: see Verify
}

// CheckID returns an error if a host cannot be an RP ID: it must be localhost or a domain with at least two labels, and no IP address.
func CheckID(host string) error { return protocol.ValidateRPID(host) }

// CheckAppOrigin returns an error if an origin is none that an app sends.
func CheckAppOrigin(origin string) error {
	if !protocol.IsKnownOpaqueOrigin(origin) {
		return errors.New("is not an origin such as https://app.example.com or android:apk-key-hash:<hash>")
	}
	return nil
}

// New returns the relying party.
func New(cfg Config) (*RelyingParty, error) {
	lifetime := webauthn.TimeoutConfig{Timeout: token.StepTTL, TimeoutUVD: token.StepTTL} // the ceremony's token enforces it
	web, err := webauthn.New(&webauthn.Config{
		RPID: cfg.ID, RPDisplayName: cfg.Name, RPOrigins: cfg.Origins, RPOpaqueOrigins: cfg.AppOrigins,
		AttestationPreference: protocol.PreferNoAttestation,
		AuthenticatorSelection: protocol.AuthenticatorSelection{
			ResidentKey: protocol.ResidentKeyRequirementRequired, RequireResidentKey: protocol.ResidentKeyRequired(),
			UserVerification: protocol.VerificationPreferred,
		},
		Timeouts: webauthn.TimeoutsConfig{Login: lifetime, Registration: lifetime},
		// Safari returns outputs of extensions that nobody has requested (authelia#13146).
		ExtensionsUnsolicitedOutputPolicy: protocol.UnsolicitedOutputPolicyIgnore,
	})
	if err != nil {
		return nil, fmt.Errorf("configure passkeys: %w", err)
	}
	unknown, err := unknownCredential()
	if err != nil {
		return nil, err
	}
	return &RelyingParty{web: web, unknown: unknown}, nil
}

// ID returns the RP ID, and "" for a service without passkeys: no stored passkey is usable then.
func (p *RelyingParty) ID() string {
	if p == nil {
		return ""
	}
	return p.web.Config.RPID
}

// algorithms returns the accepted algorithms, the preferred first. All authenticators have one of them.
func algorithms() []protocol.CredentialParameter {
	var all []protocol.CredentialParameter
	for _, alg := range []webauthncose.COSEAlgorithmIdentifier{webauthncose.AlgES256, webauthncose.AlgEdDSA, webauthncose.AlgRS256} {
		all = append(all, protocol.CredentialParameter{Type: protocol.PublicKeyCredentialType, Algorithm: alg})
	}
	return all
}
