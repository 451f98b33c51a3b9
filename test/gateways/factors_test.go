//go:build gateways

package gateways

import (
	"time"

	"github.com/google/uuid"

	"github.com/financelime/authorization/api/client"
	"github.com/financelime/authorization/test/authenticator"
	"github.com/financelime/authorization/test/harness"
)

// passkeyOrigin is the origin of the service's public URL.
const passkeyOrigin = "https://auth.example.test"

// useFactors calls the operations of second factors and of passkeys, through the gateway.
func (p *person) useFactors() {
	p.s.service.AgeAuthentications(p.t, 11*time.Minute)
	token := p.session.AccessToken
	for what, status := range map[string]int{
		"begin TOTP":                p.calls().BeginTOTP(token).StatusCode(),
		"confirm TOTP":              p.calls().ConfirmTOTP(token, "287082").StatusCode(),
		"remove TOTP":               p.calls().RemoveTOTP(token).StatusCode(),
		"turn on":                   p.calls().TurnOnSecondFactor(token).StatusCode(),
		"turn off":                  p.calls().TurnOffSecondFactor(token).StatusCode(),
		"renew recovery codes":      p.calls().RenewRecoveryCodes(token).StatusCode(),
		"begin a passkey":           p.calls().BeginPasskey(token).StatusCode(),
		"add a passkey":             p.calls().AddPasskey(token, client.AddPasskeyRequest{Ceremony: "a.b.c", Name: "Phone", Credential: madeUp()}).StatusCode(),
		"remove an unknown passkey": p.calls().RemovePasskey(token, "019aaf6e-0000-7000-8000-000000000000").StatusCode(),
	} {
		p.want(what+" after a while", status, 403)
	}
	p.want("step up", p.calls().StepUp(token, p.password).StatusCode(), 200)
	p.want("turn on without a factor", p.calls().TurnOnSecondFactor(token).StatusCode(), 409)
	p.want("renew recovery codes without a factor", p.calls().RenewRecoveryCodes(token).StatusCode(), 409)
	p.want("confirm TOTP that was not begun", p.calls().ConfirmTOTP(token, "287082").StatusCode(), 409)
	begun := p.calls().BeginTOTP(token)
	p.want("begin TOTP", begun.StatusCode(), 200)
	app := &harness.Authenticator{Secret: begun.JSON200.Secret}
	p.want("confirm TOTP with a wrong code", p.calls().ConfirmTOTP(token, "000000").StatusCode(), 403)
	confirmed := p.calls().ConfirmTOTP(token, app.Next(p.t))
	p.want("confirm TOTP", confirmed.StatusCode(), 200)
	p.want("remove the last factor", p.calls().RemoveTOTP(token).StatusCode(), 409)

	required := p.tryLogin(p.password)
	p.want("log in by password alone", required.StatusCode(), 403)
	ticket := required.JSON403.Ticket
	complete := func(ticket, code string) *client.CreateAccessTokenBySecondFactorResponse {
		r, err := p.api.CreateAccessTokenBySecondFactorWithResponse(p.t.Context(), &client.CreateAccessTokenBySecondFactorParams{RequestID: rid()},
			client.SecondFactorRequest{Ticket: ticket, Code: &code})
		p.must(err)
		return r
	}
	p.want("complete a login with a wrong code", complete(ticket, "000000").StatusCode(), 403)
	p.want("complete an unknown login", complete("a.b.c", "000000").StatusCode(), 404)
	completed := complete(ticket, app.Next(p.t))
	p.want("complete the login", completed.StatusCode(), 200)
	p.session = *completed.JSON200
	key := p.usePasskeys()
	p.want("remove TOTP", p.calls().RemoveTOTP(p.session.AccessToken).StatusCode(), 204)
	p.want("renew recovery codes", p.calls().RenewRecoveryCodes(p.session.AccessToken).StatusCode(), 200)
	p.want("turn on again", p.calls().TurnOnSecondFactor(p.session.AccessToken).StatusCode(), 409)
	p.want("remove the last passkey", p.calls().RemovePasskey(p.session.AccessToken, key).StatusCode(), 409)
	p.want("turn off", p.calls().TurnOffSecondFactor(p.session.AccessToken).StatusCode(), 204)
	p.want("turn on with a passkey", p.calls().TurnOnSecondFactor(p.session.AccessToken).StatusCode(), 200)
	p.want("turn off again", p.calls().TurnOffSecondFactor(p.session.AccessToken).StatusCode(), 204)
	p.want("remove the passkey", p.calls().RemovePasskey(p.session.AccessToken, key).StatusCode(), 204)
}

// usePasskeys adds a passkey, logs in with it, and returns its ID.
func (p *person) usePasskeys() string {
	token := p.session.AccessToken
	begun := p.calls().BeginPasskey(token)
	p.want("begin a passkey", begun.StatusCode(), 200)
	key := harness.NewPasskey(p.t, passkeyOrigin, begun.JSON200.Options)
	body := client.AddPasskeyRequest{Ceremony: begun.JSON200.Ceremony, Name: "Phone", Credential: harness.Register(p.t, key, begun.JSON200.Options.Challenge)}
	added := p.calls().AddPasskey(token, body)
	p.want("add a passkey", added.StatusCode(), 201)
	p.want("add it again", p.calls().AddPasskey(token, body).StatusCode(), 409)
	id := added.JSON201.PasskeyID
	p.want("list the passkeys", p.calls().ListPasskeys(token).StatusCode(), 200)
	original := uuid.MustParse(id)
	for n := range 19 {
		another := uuid.New()
		p.s.service.Exec(p.t, `INSERT INTO passkey (id, account_id, rp_id, credential_id, public_key, sign_count, flags, transports, name, created_at)
			SELECT $1, account_id, rp_id, $2, public_key, 0, 0, '', 'Another', created_at FROM passkey WHERE id = $3`, another[:], []byte{byte(n)}, original[:])
	}
	p.want("begin one too many", p.calls().BeginPasskey(token).StatusCode(), 409)
	p.s.service.Exec(p.t, "DELETE FROM passkey WHERE name = 'Another'")
	p.want("rename it", p.calls().RenamePasskey(token, id, "Old phone").StatusCode(), 204)
	p.logInWithPasskey(key)
	return id
}

// logInWithPasskey logs in by a passkey alone.
func (p *person) logInWithPasskey(key *authenticator.Passkey) {
	begun := p.calls().BeginPasskeyLogin()
	p.want("begin a login with a passkey", begun.StatusCode(), 200)
	body := client.PasskeyLogInRequest{
		Ceremony: begun.JSON200.Ceremony, Credential: harness.Assert(p.t, key, begun.JSON200.Options.Challenge), ClientID: "gateway_v1",
	}
	loggedIn := p.calls().PasskeyLogin(body)
	p.want("log in with a passkey", loggedIn.StatusCode(), 200)
	p.session = *loggedIn.JSON200
	p.want("log in with it again", p.calls().PasskeyLogin(body).StatusCode(), 404)
}

// madeUp returns a credential that no authenticator has made.
func madeUp() client.PasskeyCredential {
	return client.PasskeyCredential{ID: "AA", RawID: "AA", Type: "public-key", Response: client.PasskeyCredentialData{ClientDataJSON: "e30"}}
}
