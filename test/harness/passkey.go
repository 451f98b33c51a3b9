package harness

import (
	"encoding/base64"
	"testing"

	"github.com/google/uuid"

	"github.com/financelime/authorization/api/client"
	"github.com/financelime/authorization/test/authenticator"
)

// ListPasskeys lists the passkeys of the access token's user.
func (a API) ListPasskeys(accessToken string) *client.ListPasskeysResponse {
	a.T.Helper()
	r, err := a.Client.ListPasskeysWithResponse(a.T.Context(), &client.ListPasskeysParams{RequestID: uuid.NewString()}, Bearer(accessToken))
	a.must(err)
	return r
}

// BeginPasskey begins to add a passkey.
func (a API) BeginPasskey(accessToken string) *client.BeginPasskeyResponse {
	a.T.Helper()
	r, err := a.Client.BeginPasskeyWithResponse(a.T.Context(), &client.BeginPasskeyParams{RequestID: uuid.NewString()}, Bearer(accessToken))
	a.must(err)
	return r
}

// AddPasskey adds a passkey.
func (a API) AddPasskey(accessToken string, body client.AddPasskeyRequest) *client.AddPasskeyResponse {
	a.T.Helper()
	r, err := a.Client.AddPasskeyWithResponse(a.T.Context(), &client.AddPasskeyParams{RequestID: uuid.NewString()}, body, Bearer(accessToken))
	a.must(err)
	return r
}

// RenamePasskey changes the name of a passkey.
func (a API) RenamePasskey(accessToken, passkeyID, name string) *client.RenamePasskeyResponse {
	a.T.Helper()
	r, err := a.Client.RenamePasskeyWithResponse(a.T.Context(), passkeyID, &client.RenamePasskeyParams{RequestID: uuid.NewString()},
		client.RenamePasskeyRequest{Name: name}, Bearer(accessToken))
	a.must(err)
	return r
}

// RemovePasskey removes a passkey.
func (a API) RemovePasskey(accessToken, passkeyID string) *client.RemovePasskeyResponse {
	a.T.Helper()
	r, err := a.Client.RemovePasskeyWithResponse(a.T.Context(), passkeyID, &client.RemovePasskeyParams{RequestID: uuid.NewString()}, Bearer(accessToken))
	a.must(err)
	return r
}

// BeginPasskeyLogin begins a login with a passkey.
func (a API) BeginPasskeyLogin() *client.BeginPasskeyLogInResponse {
	a.T.Helper()
	r, err := a.Client.BeginPasskeyLogInWithResponse(a.T.Context(), &client.BeginPasskeyLogInParams{RequestID: uuid.NewString()})
	a.must(err)
	return r
}

// PasskeyLogin creates a session by a passkey alone.
func (a API) PasskeyLogin(body client.PasskeyLogInRequest) *client.CreateAccessTokenByPasskeyResponse {
	a.T.Helper()
	r, err := a.Client.CreateAccessTokenByPasskeyWithResponse(a.T.Context(), &client.CreateAccessTokenByPasskeyParams{RequestID: uuid.NewString()}, body)
	a.must(err)
	return r
}

// NewPasskey creates a passkey for the options of a registration, on a page of an origin.
func NewPasskey(t testing.TB, origin string, options client.PasskeyCreationOptions) *authenticator.Passkey {
	t.Helper()
	handle, err := base64.RawURLEncoding.DecodeString(options.User.ID)
	if err != nil {
		t.Fatal(err)
	}
	p, err := authenticator.New(origin, options.Rp.ID, handle)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// Register returns the response of a passkey to a challenge of a registration.
func Register(t testing.TB, p *authenticator.Passkey, challenge string) (response client.PasskeyCredential) {
	t.Helper()
	if err := p.Register(challenge, &response); err != nil {
		t.Fatal(err)
	}
	return response
}

// Assert returns the response of a passkey to another challenge.
func Assert(t testing.TB, p *authenticator.Passkey, challenge string) (response client.PasskeyCredential) {
	t.Helper()
	if err := p.Assert(challenge, &response); err != nil {
		t.Fatal(err)
	}
	return response
}
