//go:build clients

package clients

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/financelime/authorization/api/authclient"
	"github.com/financelime/authorization/api/client"
	"github.com/financelime/authorization/test/authenticator"
	"github.com/financelime/authorization/test/clients/quickstart"
	"github.com/financelime/authorization/test/harness"
)

// passkeyOrigin is the origin of the public URL in the tests.
const passkeyOrigin = "https://auth.example.test"

// turnOnTOTP turns the second factor on with an authenticator app, and returns it with the recovery codes.
func (u *user) turnOnTOTP(session *authclient.Session) (app *harness.Authenticator, recoveryCodes []string) {
	u.t.Helper()
	begun, err := session.API().BeginTotpWithResponse(u.t.Context(), nil)
	u.must(err)
	if begun.JSON200 == nil {
		u.t.Fatalf("begin: %d %s", begun.StatusCode(), begun.Body)
	}
	app = &harness.Authenticator{Secret: begun.JSON200.Secret}
	confirmed, err := session.API().ConfirmTotpWithResponse(u.t.Context(), nil, client.ConfirmTOTPRequest{Code: app.Next(u.t)})
	u.must(err)
	if confirmed.JSON200 == nil {
		u.t.Fatalf("confirm: %d %s", confirmed.StatusCode(), confirmed.Body)
	}
	return app, confirmed.JSON200.RecoveryCodes
}

// addPasskey adds a passkey to the user's.
func (u *user) addPasskey(session *authclient.Session) *authenticator.Passkey {
	u.t.Helper()
	begun, err := session.API().BeginPasskeyWithResponse(u.t.Context(), nil)
	u.must(err)
	if begun.JSON200 == nil {
		u.t.Fatalf("begin: %d %s", begun.StatusCode(), begun.Body)
	}
	key := harness.NewPasskey(u.t, passkeyOrigin, begun.JSON200.Options)
	added, err := session.API().AddPasskeyWithResponse(u.t.Context(), nil, client.AddPasskeyRequest{
		Ceremony: begun.JSON200.Ceremony, Name: "Phone", Credential: harness.Register(u.t, key, begun.JSON200.Options.Challenge),
	})
	u.must(err)
	if added.JSON201 == nil {
		u.t.Fatalf("add: %d %s", added.StatusCode(), added.Body)
	}
	return key
}

// assertion returns what a passkey proves in a ceremony.
func (u *user) assertion(key *authenticator.Passkey, request client.PasskeyRequest) *client.PasskeyAssertion {
	u.t.Helper()
	return &client.PasskeyAssertion{Ceremony: request.Ceremony, Credential: harness.Assert(u.t, key, request.Options.Challenge)}
}

// begin begins a ceremony for any passkey.
func (u *user) begin() client.PasskeyRequest {
	u.t.Helper()
	request, err := u.auth.BeginPasskey(u.t.Context())
	u.must(err)
	return request
}

// required logs in, and returns the failure that asks for the second factor.
func (u *user) required() *authclient.SecondFactorRequiredError {
	u.t.Helper()
	_, err := u.tryLogin(u.password)
	required, ok := errors.AsType[*authclient.SecondFactorRequiredError](err)
	if !ok {
		u.t.Fatalf("a login by password alone: %v", err)
	}
	return required
}

// TestGoSecondFactor logs in with each second factor, and by a passkey alone, and steps up with each, with the Go package.
func TestGoSecondFactor(t *testing.T) {
	t.Parallel()
	s := harness.Start(t, binary, contract, harness.SQLite)
	ctx, store := t.Context(), &authclient.MemoryStore{}
	u := newUser(t, s, s.URL, authclient.WithTokenStore(store))
	session := u.login()
	key := u.addPasskey(session)
	app, recoveryCodes := u.turnOnTOTP(session)

	required := u.required()
	if want := []client.SecondFactorMethod{"passkey", "totp", "recovery_code"}; !slices.Equal(required.Methods, want) || required.Passkey == nil {
		t.Errorf("the methods: %q, %v", required.Methods, required.Passkey)
	}
	wantError(t, "a login by password alone", required, authclient.ErrSecondFactorRequired)
	if failure, ok := errors.AsType[*authclient.Error](error(required)); !ok || failure.Status != 403 || failure.RequestID == "" || failure.Op != "log in" {
		t.Errorf("the failure: %+v", failure)
	}
	if strings.Contains(required.Error(), required.Ticket) {
		t.Error("the text of the error has the ticket")
	}
	_, err := u.auth.CompleteLogin(ctx, required.Ticket, authclient.Proof{Code: "000000"})
	wantError(t, "a wrong code", err, authclient.ErrWrongCode)
	_, err = u.auth.CompleteLogin(ctx, "a.b.c", authclient.Proof{Code: "000000"})
	wantError(t, "a wrong ticket", err, authclient.ErrLoginExpired)
	if _, err := u.auth.CompleteLogin(ctx, required.Ticket, authclient.Proof{Password: u.password}); err == nil {
		t.Error("a password completes a login")
	}
	_, err = u.auth.CompleteLogin(ctx, required.Ticket, authclient.Proof{})
	wantError(t, "no factor", err, authclient.ErrBadParameters)

	codes := []string{"000000", app.Next(t)}
	user := authclient.LoginRequest{Email: u.email, Password: u.password, ClientID: "go_v1"}
	session, err = quickstart.LoginTwice(ctx, u.auth, user, func() (string, error) {
		next := codes[0]
		codes = codes[1:]
		return next, nil
	})
	u.must(err)
	if stored, err := store.Load(ctx); err != nil || *stored != u.tokens(session) || len(codes) != 0 {
		t.Errorf("the store has %+v, %v; %d codes remain", stored, err, len(codes))
	}
	errCancelled := errors.New("cancelled")
	_, err = quickstart.LoginTwice(ctx, u.auth, user, func() (string, error) { return "", errCancelled })
	wantError(t, "without a code", err, errCancelled)

	_, err = u.auth.CompleteLogin(ctx, u.required().Ticket, authclient.Proof{RecoveryCode: recoveryCodes[0]})
	u.must(err)
	_, err = u.auth.CompleteLogin(ctx, u.required().Ticket, authclient.Proof{RecoveryCode: recoveryCodes[0]})
	wantError(t, "a used recovery code", err, authclient.ErrWrongCode)
	required = u.required()
	_, err = u.auth.CompleteLogin(ctx, required.Ticket, authclient.Proof{Passkey: u.assertion(key, *required.Passkey)})
	u.must(err)
	proof := u.assertion(key, u.begin())
	alone := client.PasskeyLogInRequest{Ceremony: proof.Ceremony, Credential: proof.Credential, ClientID: "go_v1"}
	session, err = u.auth.LoginWithPasskey(ctx, alone)
	u.must(err)
	_, err = u.auth.LoginWithPasskey(ctx, alone)
	wantError(t, "a used passkey", err, authclient.ErrUserNotFound)

	checkStepUps(t, u, session, key, recoveryCodes[1])
}

// checkStepUps steps up with a recovery code and a passkey while the second factor is on.
func checkStepUps(t *testing.T, u *user, session *authclient.Session, key *authenticator.Passkey, recoveryCode string) {
	t.Helper()
	ctx := t.Context()
	wantError(t, "a step-up by password", session.StepUp(ctx, u.password), authclient.ErrSecondFactorRequired)
	wantError(t, "a step-up by a wrong code", session.StepUpWith(ctx, authclient.Proof{Code: "000000"}), authclient.ErrAuthenticationFailed)
	before := u.tokens(session)
	u.must(session.StepUpWith(ctx, authclient.Proof{RecoveryCode: recoveryCode}))
	if after := u.tokens(session); after.RefreshToken != before.RefreshToken || after.AccessToken == before.AccessToken {
		t.Errorf("a step-up changes only the access token: %+v, %+v", before, after)
	}
	u.s.AgeAuthentications(t, 11*time.Minute)
	wantError(t, "without a recent authentication", session.DeleteUser(ctx), authclient.ErrRecentAuthenticationRequired)
	var failures []error
	u.must(session.WithRecentProof(ctx, session.DeleteUser, func(_ context.Context, failure error) (authclient.Proof, error) {
		failures = append(failures, failure)
		if failure == nil {
			return authclient.Proof{Password: u.password}, nil
		}
		return authclient.Proof{Passkey: u.assertion(key, u.begin())}, nil
	}))
	if len(failures) != 2 || !errors.Is(failures[1], authclient.ErrSecondFactorRequired) {
		t.Errorf("asked after %v", failures)
	}
	_, err := u.tryLogin(u.password)
	wantError(t, "a login after the deletion", err, authclient.ErrUserNotFound)
}
