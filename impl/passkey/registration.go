package passkey

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"
	"github.com/google/uuid"

	"github.com/financelime/authorization/api"
	"github.com/financelime/authorization/db"
)

const (
	// maxCredentialID is the greatest length of a credential ID in bytes (WebAuthn Level 3 section 7.1 step 25).
	maxCredentialID = 1023
	// maxPublicKey is the greatest length of a public key in bytes. One of RSA with 8192 bits fits. The time to verify a signature grows
	// with the square of the length.
	maxPublicKey = 1100
)

// BeginRegistration begins to create a passkey for a user, who has the given ones. It returns the options for the browser and the session data.
func (p *RelyingParty) BeginRegistration(
	accountID uuid.UUID, email string, existing []db.Passkey,
) (options api.PasskeyCreationOptions, data json.RawMessage, err error) {
	creation, session, err := p.web.BeginRegistration(user{handle: handle(accountID), email: email},
		webauthn.WithCredentialParameters(algorithms()), webauthn.WithExclusions(descriptors(existing)))
	if err != nil {
		return options, nil, fmt.Errorf("begin a registration: %w", err)
	}
	if options, err = convert[api.PasskeyCreationOptions](creation.Response); err != nil {
		return options, nil, err
	}
	data, err = convert[json.RawMessage](session)
	return options, data, err
}

// descriptors returns what a browser needs to know of passkeys.
func descriptors(passkeys []db.Passkey) []protocol.CredentialDescriptor {
	all := make([]protocol.CredentialDescriptor, len(passkeys))
	for i, stored := range passkeys {
		c := credential(stored)
		all[i] = c.Descriptor()
	}
	return all
}

// Register verifies the response to a registration and returns what there is to store of the passkey: everything but its ID and name, the
// account and the time. It fails with [ErrInvalid].
func (p *RelyingParty) Register(accountID uuid.UUID, data json.RawMessage, response api.PasskeyCredential) (created db.Passkey, err error) {
	session, err := convert[webauthn.SessionData](data)
	if err != nil {
		return created, err
	}
	text, err := json.Marshal(response)
	if err != nil {
		return created, fmt.Errorf("encode the response: %w", err)
	}
	parsed, err := protocol.ParseCredentialCreationResponseBytes(text)
	if err != nil {
		return created, invalid("parse", err)
	}
	c, err := p.web.CreateCredential(user{handle: handle(accountID)}, session, parsed)
	if err != nil {
		return created, invalid("verify", err)
	}
	if len(c.ID) > maxCredentialID || len(c.PublicKey) > maxPublicKey {
		return created, invalid("size", errors.New("the credential ID or the public key is too long"))
	}
	return db.Passkey{
		RpID: session.RelyingPartyID, CredentialID: c.ID, PublicKey: c.PublicKey, SignCount: int64(c.Authenticator.SignCount),
		Flags: int64(c.Flags.ProtocolValue()), Transports: transports(c.Transport),
	}, nil
}
