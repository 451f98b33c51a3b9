//go:build browser

package browser

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/financelime/authorization/api/client"
	"github.com/financelime/authorization/test/harness"
)

// TestBackendForFrontendSecondFactor checks that a login with a second factor, and one with a passkey, put the refresh token into the cookie only.
func TestBackendForFrontendSecondFactor(t *testing.T) {
	t.Parallel()
	for _, variant := range variants {
		t.Run(variant, func(t *testing.T) {
			t.Parallel()
			b := startBFF(t, variant)
			session, _ := b.login(t)
			api := harness.API{T: t, Client: b.s.API}
			begunPasskey := api.BeginPasskey(session.AccessToken)
			begunTOTP := api.BeginTOTP(session.AccessToken)
			if begunTOTP.JSON200 == nil || begunPasskey.JSON200 == nil {
				t.Fatalf("begin: %s %s", begunTOTP.Body, begunPasskey.Body)
			}
			key := harness.NewPasskey(t, appOrigin, begunPasskey.JSON200.Options)
			added := api.AddPasskey(session.AccessToken, client.AddPasskeyRequest{
				Ceremony: begunPasskey.JSON200.Ceremony, Name: "Phone", Credential: harness.Register(t, key, begunPasskey.JSON200.Options.Challenge),
			})
			app := &harness.Authenticator{Secret: begunTOTP.JSON200.Secret}
			confirmed := api.ConfirmTOTP(session.AccessToken, app.Next(t))
			if added.JSON201 == nil || confirmed.JSON200 == nil {
				t.Fatalf("turn on: %s %s", added.Body, confirmed.Body)
			}

			r, text := b.post(t, http.MethodPost, "/bff/login", fmt.Sprintf(`{"email":%q,"password":%q,"clientID":"app","device":{}}`, b.email, b.password))
			var required client.CreateAccessTokenFailure403
			parse(t, text, &required)
			if r.StatusCode != http.StatusForbidden || required.Ticket == "" || len(required.Methods) != 3 || required.Passkey == nil || r.Header.Get("Set-Cookie") != "" {
				t.Fatalf("by password alone: %d %v %s", r.StatusCode, r.Header, text)
			}
			complete := func(code string) (*http.Response, string) {
				return b.post(t, http.MethodPost, "/bff/second-factor", fmt.Sprintf(`{"ticket":%q,"code":%q}`, required.Ticket, code))
			}
			if r, text := complete("000000"); r.StatusCode != http.StatusForbidden || !strings.Contains(text, "WRONG_CODE") || r.Header.Get("Set-Cookie") != "" {
				t.Errorf("a wrong code: %d %v %s", r.StatusCode, r.Header, text)
			}
			r, text = complete(app.Next(t))
			b.checkBegun(t, "a code", r, text)

			begun := api.BeginPasskeyLogin()
			body, err := json.Marshal(client.PasskeyLogInRequest{
				Ceremony: begun.JSON200.Ceremony, Credential: harness.Assert(t, key, begun.JSON200.Options.Challenge), ClientID: "app",
			})
			if err != nil {
				t.Fatal(err)
			}
			r, text = b.post(t, http.MethodPost, "/bff/passkey", string(body))
			b.checkBegun(t, "a passkey", r, text)
			if r, text := b.post(t, http.MethodPost, "/bff/passkey", string(body)); r.StatusCode != http.StatusNotFound || r.Header.Get("Set-Cookie") != "" {
				t.Errorf("a used passkey: %d %v %s", r.StatusCode, r.Header, text)
			}
		})
	}
}

// checkBegun checks the response that begins a session, and that its cookie refreshes the session.
func (b *bff) checkBegun(t *testing.T, what string, r *http.Response, text string) {
	t.Helper()
	var session client.AccessTokenResponse
	parse(t, text, &session)
	if r.StatusCode != http.StatusOK || session.AccessToken == "" || session.RefreshToken != "" {
		t.Fatalf("%s: %d %s", what, r.StatusCode, text)
	}
	b.refresh(t, mustMatchCookie(t, r), session.SessionID)
}
