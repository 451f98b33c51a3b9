package passkey

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"
	"github.com/google/uuid"

	"github.com/financelime/authorization/api"
	"github.com/financelime/authorization/db"
)

// BeginLogin begins a ceremony that any passkey of the domain can complete. The authenticator must verify the user, because the passkey is
// the only proof.
func (p *RelyingParty) BeginLogin() (options api.PasskeyRequestOptions, data json.RawMessage, err error) {
	assertion, session, err := p.web.BeginDiscoverableLogin(webauthn.WithUserVerification(protocol.VerificationRequired))
	if err != nil {
		return options, nil, fmt.Errorf("begin a login: %w", err)
	}
	return request(assertion, session)
}

// BeginSecondFactor begins a ceremony that the given passkeys of an account can complete.
func (p *RelyingParty) BeginSecondFactor(
	accountID uuid.UUID, passkeys []db.Passkey,
) (options api.PasskeyRequestOptions, data json.RawMessage, err error) {
	u := user{handle: handle(accountID)}
	for _, stored := range passkeys {
		u.credentials = append(u.credentials, credential(stored))
	}
	assertion, session, err := p.web.BeginLogin(u, webauthn.WithUserVerification(protocol.VerificationPreferred))
	if err != nil {
		return options, nil, fmt.Errorf("begin a second factor: %w", err)
	}
	session.AllowedCredentialIDs = nil // the caller of Verify checks whose passkey it is
	return request(assertion, session)
}

func request(
	assertion *protocol.CredentialAssertion, session *webauthn.SessionData,
) (options api.PasskeyRequestOptions, data json.RawMessage, err error) {
	if options, err = convert[api.PasskeyRequestOptions](assertion.Response); err != nil {
		return options, nil, err
	}
	data, err = convert[json.RawMessage](session)
	return options, data, err
}

// Assertion is a parsed response of a passkey, which is not verified yet.
type Assertion struct {
	parsed *protocol.ParsedCredentialAssertionData
}

// ParseAssertion parses the response of a passkey. It fails with [ErrInvalid].
func ParseAssertion(response api.PasskeyCredential) (Assertion, error) {
	text, err := json.Marshal(response)
	if err != nil {
		return Assertion{}, fmt.Errorf("encode the response: %w", err)
	}
	parsed, err := protocol.ParseCredentialRequestResponseBytes(text)
	if err != nil {
		return Assertion{}, invalid("parse", err)
	}
	return Assertion{parsed}, nil
}

// CredentialID returns the credential ID that the client reports.
func (a Assertion) CredentialID() []byte { return a.parsed.RawID }

// Proof is a valid assertion.
type Proof struct {
	Verified bool // the authenticator has verified the user
	flags    protocol.AuthenticatorFlags
	counter  uint32
}

// Synced reports whether the passkey can be copied to other devices.
func (p Proof) Synced() bool { return p.flags.HasBackupEligible() }

// Verify verifies an assertion by the public key of a stored passkey. It fails with [ErrInvalid].
//
// stored is nil for an unknown credential ID. Such an assertion costs the same work: it is verified by a key whose private key nobody has.
func (p *RelyingParty) Verify(data json.RawMessage, assertion Assertion, stored *db.Passkey) (proof Proof, err error) {
	session, err := convert[webauthn.SessionData](data)
	if err != nil {
		return proof, err
	}
	c := p.unknown
	if stored != nil {
		c = credential(*stored)
	}
	response := assertion.parsed.Response
	flags := response.AuthenticatorData.Flags
	// Advance compares the flag that says whether the passkey can be copied: the library refuses also what is allowed.
	c.ID, c.Flags.BackupEligible = assertion.parsed.RawID, flags.HasBackupEligible()
	if err := p.validate(session, assertion, c); err != nil {
		return proof, invalid("verify", err)
	}
	switch {
	case stored == nil:
		return proof, invalid("verify", errors.New("unknown credential ID"))
	case stored.RpID != session.RelyingPartyID || stored.RpID != p.ID():
		return proof, invalid("verify", errors.New("the passkey is for another domain"))
	case len(response.UserHandle) > 0 && !bytes.Equal(response.UserHandle, handle(stored.AccountID)):
		return proof, invalid("verify", errors.New("the user handle is that of another user"))
	}
	return Proof{Verified: flags.HasUserVerified(), flags: flags, counter: response.AuthenticatorData.Counter}, nil
}

// validate lets the library verify the assertion. In a login, the user handle is compared after the signature: its result, and the time that
// it takes, must not reveal which credential IDs exist.
func (p *RelyingParty) validate(session webauthn.SessionData, assertion Assertion, c webauthn.Credential) error {
	if len(session.UserID) > 0 {
		_, err := p.web.ValidateLogin(user{handle: session.UserID, credentials: []webauthn.Credential{c}}, session, assertion.parsed)
		return err
	}
	owner := func(_, userHandle []byte) (webauthn.User, error) {
		return user{handle: userHandle, credentials: []webauthn.Credential{c}}, nil
	}
	_, _, err := p.web.ValidatePasskeyLogin(owner, session, assertion.parsed)
	return err
}

// Advance returns the passkey as it is after a valid assertion. The caller has locked the account and read the passkey since. It fails with
// [ErrCloned] if the counter has not risen, although the authenticator counts, and with [ErrInvalid] if a passkey that could be copied no
// longer can: it is not the same one. The other direction is allowed, because some authenticators learn to copy (zitadel#9615).
func (p Proof) Advance(stored db.Passkey) (db.Passkey, error) {
	if Synced(stored) && !p.flags.HasBackupEligible() {
		return stored, invalid("advance", errors.New("the passkey could be copied, and now it cannot"))
	}
	authenticator := credential(stored).Authenticator
	authenticator.UpdateCounter(p.counter)
	if authenticator.CloneWarning {
		return stored, ErrCloned
	}
	stored.SignCount, stored.Flags = int64(p.counter), int64(p.flags)
	return stored, nil
}

// ChallengeHash returns the hash of the challenge in session data.
func ChallengeHash(data json.RawMessage) ([]byte, error) {
	session, err := convert[webauthn.SessionData](data)
	if err != nil {
		return nil, err
	}
	hash := sha256.Sum256([]byte(session.Challenge))
	return hash[:], nil
}
