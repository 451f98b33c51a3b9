package harness

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/pquerna/otp/hotp"

	"github.com/financelime/authorization/api/client"
)

// BeginTOTP begins to set TOTP up for the access token's user.
func (a API) BeginTOTP(accessToken string) *client.BeginTotpResponse {
	a.T.Helper()
	r, err := a.Client.BeginTotpWithResponse(a.T.Context(), &client.BeginTotpParams{RequestID: uuid.NewString()}, Bearer(accessToken))
	a.must(err)
	return r
}

// ConfirmTOTP confirms TOTP with a code.
func (a API) ConfirmTOTP(accessToken, code string) *client.ConfirmTotpResponse {
	a.T.Helper()
	r, err := a.Client.ConfirmTotpWithResponse(a.T.Context(), &client.ConfirmTotpParams{RequestID: uuid.NewString()},
		client.ConfirmTOTPRequest{Code: code}, Bearer(accessToken))
	a.must(err)
	return r
}

// RemoveTOTP removes the TOTP secret of the access token's user.
func (a API) RemoveTOTP(accessToken string) *client.RemoveTotpResponse {
	a.T.Helper()
	r, err := a.Client.RemoveTotpWithResponse(a.T.Context(), &client.RemoveTotpParams{RequestID: uuid.NewString()}, Bearer(accessToken))
	a.must(err)
	return r
}

// TurnOnSecondFactor makes a login of the access token's user need a passkey after the password.
func (a API) TurnOnSecondFactor(accessToken string) *client.TurnOnSecondFactorResponse {
	a.T.Helper()
	r, err := a.Client.TurnOnSecondFactorWithResponse(a.T.Context(), &client.TurnOnSecondFactorParams{RequestID: uuid.NewString()}, Bearer(accessToken))
	a.must(err)
	return r
}

// TurnOffSecondFactor makes the password of the access token's user enough.
func (a API) TurnOffSecondFactor(accessToken string) *client.TurnOffSecondFactorResponse {
	a.T.Helper()
	r, err := a.Client.TurnOffSecondFactorWithResponse(a.T.Context(), &client.TurnOffSecondFactorParams{RequestID: uuid.NewString()}, Bearer(accessToken))
	a.must(err)
	return r
}

// RenewRecoveryCodes replaces the recovery codes of the access token's user.
func (a API) RenewRecoveryCodes(accessToken string) *client.RenewRecoveryCodesResponse {
	a.T.Helper()
	r, err := a.Client.RenewRecoveryCodesWithResponse(a.T.Context(), &client.RenewRecoveryCodesParams{RequestID: uuid.NewString()}, Bearer(accessToken))
	a.must(err)
	return r
}

// Authenticator is an authenticator app with one secret.
type Authenticator struct {
	Secret string // in base32
	last   int64  // the step of the last code
}

// period is how many seconds the app shows a code.
const period = 30

// Code returns the code that the app shows this many periods later.
func (a *Authenticator) Code(t testing.TB, periods int64) string {
	t.Helper()
	return a.at(t, time.Now().Unix()/period+periods)
}

// Next returns a code that the service accepts now and that Next has not returned before: a code is valid once. There are two at a time; a
// test that needs more calls Service.ForgetTOTPSteps.
func (a *Authenticator) Next(t testing.TB) string {
	t.Helper()
	// Of the codes that the service accepts, the oldest is left out: it may expire before the request arrives.
	now := time.Now().Unix() / period
	a.last = max(a.last+1, now)
	if a.last > now+1 {
		t.Fatal("the service has accepted all codes of this minute: call ForgetTOTPSteps")
	}
	return a.at(t, a.last)
}

func (a *Authenticator) at(t testing.TB, step int64) string {
	t.Helper()
	code, err := hotp.GenerateCode(a.Secret, uint64(step))
	if err != nil {
		t.Fatal(err)
	}
	return code
}

// ForgetTOTPSteps makes the service accept codes again that were used. It also makes Next of the authenticators start again.
func (s *Service) ForgetTOTPSteps(t testing.TB, authenticators ...*Authenticator) {
	t.Helper()
	s.Exec(t, "UPDATE totp SET last_step = 0")
	for _, a := range authenticators {
		a.last = 0
	}
}
