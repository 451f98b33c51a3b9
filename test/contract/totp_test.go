package contract

import (
	"bytes"
	"encoding/base32"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"image/png"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/financelime/authorization/api/client"
	"github.com/financelime/authorization/test/harness"
)

// beginTOTP begins to set TOTP up and returns the app with the new secret.
func (p *person) beginTOTP() *harness.Authenticator {
	p.t.Helper()
	r := p.api().BeginTOTP(p.session.AccessToken)
	p.want("begin TOTP", r.StatusCode(), 200)
	return &harness.Authenticator{Secret: r.JSON200.Secret}
}

// setUpTOTP turns the second factor on, and returns the app and the recovery codes.
func (p *person) setUpTOTP() (app *harness.Authenticator, recoveryCodes []string) {
	p.t.Helper()
	app = p.beginTOTP()
	r := p.api().ConfirmTOTP(p.session.AccessToken, app.Next(p.t))
	p.want("confirm TOTP", r.StatusCode(), 200)
	return app, r.JSON200.RecoveryCodes
}

// wantFactors checks secondFactor of get_user.
func (p *person) wantFactors(when string, want client.SecondFactor) {
	p.t.Helper()
	r := p.api().User(p.session.AccessToken)
	p.want("get the user", r.StatusCode(), 200)
	if got := r.JSON200.SecondFactor; got != want {
		p.t.Errorf("%s: %+v, want %+v", when, got, want)
	}
}

// A user sets TOTP up, replaces it, renews the recovery codes and turns the second factor off.
func TestTOTP(t *testing.T) {
	t.Parallel()
	harness.EachEngine(t, func(t *testing.T, engine string) {
		s := harness.Start(t, binary, contract, engine)
		p := newPerson(t, s).join(s.Invite(t, 1))
		other := p.login()
		p.login()
		p.wantFactors("before", client.SecondFactor{})
		begun := p.api().BeginTOTP(p.session.AccessToken)
		p.want("begin", begun.StatusCode(), 200)
		checkSetup(t, *begun.JSON200, p.email)
		p.wantFactors("a secret that is not confirmed", client.SecondFactor{})

		app := harness.Authenticator{Secret: begun.JSON200.Secret}
		confirmed := p.api().ConfirmTOTP(p.session.AccessToken, app.Next(t))
		p.want("confirm", confirmed.StatusCode(), 200)
		checkRecoveryCodes(t, confirmed.JSON200.RecoveryCodes)
		p.wantFactors("on", client.SecondFactor{On: true, Totp: true, RecoveryCodesLeft: 10})
		p.want("the other session", p.tryRefresh(other.RefreshToken).StatusCode(), 404)
		p.refresh()
		if c := claimsOf(t, p.session.AccessToken); c.Level != "aal2" || strings.Join(c.Methods, " ") != "pwd otp mfa" || c.Time < c.IssuedAt-60 {
			t.Errorf("the claims after the confirmation: %+v", c)
		}
		wantFactorsChanged(t, p, 1)
		wantEvent(t, logLines(t, s), logLine{Event: "factor.added", Level: "INFO", Outcome: "success", AccountID: userID(t, p), SessionID: p.session.SessionID})
		wantEvent(t, logLines(t, s), logLine{Event: "factor.on", Level: "INFO", Outcome: "success", AccountID: userID(t, p), SessionID: p.session.SessionID})

		// Another app replaces the first one: the codes stay, and the response has none.
		second := p.beginTOTP()
		replaced := p.api().ConfirmTOTP(p.session.AccessToken, second.Next(t))
		p.want("replace", replaced.StatusCode(), 200)
		if len(replaced.JSON200.RecoveryCodes) != 0 || !strings.Contains(string(replaced.Body), `"recoveryCodes":[]`) {
			t.Errorf("a replacement: %s", replaced.Body)
		}
		wantFactorsChanged(t, p, 2)
		p.wantFactors("replaced", client.SecondFactor{On: true, Totp: true, RecoveryCodesLeft: 10})

		renewed := p.api().RenewRecoveryCodes(p.session.AccessToken)
		p.want("renew", renewed.StatusCode(), 200)
		checkRecoveryCodes(t, renewed.JSON200.RecoveryCodes)
		for _, code := range renewed.JSON200.RecoveryCodes {
			if slices.Contains(confirmed.JSON200.RecoveryCodes, code) {
				t.Errorf("an old recovery code was renewed: %s", code)
			}
		}
		wantFactorsChanged(t, p, 3)
		p.wantFactors("renewed", client.SecondFactor{On: true, Totp: true, RecoveryCodesLeft: 10})

		last := p.api().RemoveTOTP(p.session.AccessToken)
		if last.StatusCode() != 409 || last.JSON409.Message != client.RemoveTOTPFailure409MessageLASTFACTOR {
			t.Errorf("remove the last factor: %d %s", last.StatusCode(), last.Body)
		}
		for range 2 { // idempotent
			p.want("turn off", p.api().TurnOffSecondFactor(p.session.AccessToken).StatusCode(), 204)
		}
		wantFactorsChanged(t, p, 4)
		p.wantFactors("off", client.SecondFactor{})
		p.login() // the password is enough
		p.want("remove nothing", p.api().RemoveTOTP(p.session.AccessToken).StatusCode(), 204)
		if n := s.Count(t, "SELECT (SELECT count(*) FROM totp) + (SELECT count(*) FROM recovery_code)"); n != 0 {
			t.Errorf("%d rows are left", n)
		}
	})
}

// wantFactorsChanged waits for the n-th notice to the person, which must be about their second factors.
func wantFactorsChanged(t *testing.T, p *person, n int) {
	t.Helper()
	if m := p.s.WaitNotices(t, p.email, n)[0]; !strings.Contains(m.Subject, "have changed") {
		t.Errorf("the notice %d has the subject %q", n, m.Subject)
	}
}

func checkSetup(t *testing.T, setup client.TOTPSetup, email string) {
	t.Helper()
	u, err := url.Parse(setup.URI)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	if u.Scheme != "otpauth" || u.Host != "totp" || !strings.HasSuffix(u.Path, ":"+email) || q.Get("secret") != setup.Secret || len(setup.Secret) != 32 ||
		q.Get("issuer") == "" || q.Get("issuer")+":"+email != u.Path[1:] {
		t.Errorf("the URI %s", setup.URI)
	}
	if _, err := png.Decode(bytes.NewReader(setup.QrPNG)); err != nil {
		t.Errorf("the QR code: %v", err)
	}
}

func checkRecoveryCodes(t *testing.T, codes []string) {
	t.Helper()
	sorted := slices.Sorted(slices.Values(codes))
	if len(codes) != 10 || len(slices.Compact(sorted)) != 10 {
		t.Errorf("the recovery codes %v", codes)
	}
}

// Failures write nothing.
func TestTOTPRefused(t *testing.T) {
	t.Parallel()
	harness.EachEngine(t, func(t *testing.T, engine string) {
		s := harness.Start(t, binary, contract, engine)
		p := newPerson(t, s).join(s.Invite(t, 1))
		p.login()
		token := p.session.AccessToken
		notBegun := func(what, code string) {
			t.Helper()
			if r := p.api().ConfirmTOTP(token, code); r.StatusCode() != 409 || r.JSON409.Message != client.ConfirmTOTPFailure409MessageTOTPNOTBEGUN {
				t.Errorf("%s: %d %s", what, r.StatusCode(), r.Body)
			}
		}
		notBegun("nothing was begun", "123456")
		if r := p.api().TurnOnSecondFactor(token); r.StatusCode() != 409 || r.JSON409.Message != client.TurnOnSecondFactorFailure409MessageNOFACTOR {
			t.Errorf("turn on without a passkey: %d %s", r.StatusCode(), r.Body)
		}
		if r := p.api().RenewRecoveryCodes(token); r.StatusCode() != 409 || r.JSON409.Message != client.RenewRecoveryCodesFailure409MessageSECONDFACTOROFF {
			t.Errorf("renew while off: %d %s", r.StatusCode(), r.Body)
		}

		older := p.beginTOTP()
		app := p.beginTOTP()
		for what, code := range map[string]string{
			"of the secret that was replaced": older.Code(t, 0), "two periods old": app.Code(t, -2), "of later": app.Code(t, 3),
		} {
			r := p.api().ConfirmTOTP(token, code)
			if r.StatusCode() != 403 || r.JSON403.Message != client.ConfirmTOTPFailure403MessageWRONGCODE {
				t.Errorf("a code %s: %d %s", what, r.StatusCode(), r.Body)
			}
		}
		p.wantFactors("after wrong codes", client.SecondFactor{})
		ageBegunTOTP(t, s, 61*time.Minute)
		notBegun("an hour later", app.Code(t, 0))
		p.want("remove a begun secret", p.api().RemoveTOTP(token).StatusCode(), 204)
		if n := s.Count(t, "SELECT count(*) FROM totp"); n != 0 {
			t.Errorf("%d rows are left", n)
		}

		app, _ = p.setUpTOTP()
		notBegun("twice", app.Next(t))
		if r := p.api().TurnOnSecondFactor(token); r.StatusCode() != 409 || r.JSON409.Message != client.TurnOnSecondFactorFailure409MessageALREADYON {
			t.Errorf("turn on what is on: %d %s", r.StatusCode(), r.Body)
		}
	})
}

// ageBegunTOTP makes the secrets older that are not confirmed.
func ageBegunTOTP(t *testing.T, s *harness.Service, by time.Duration) {
	t.Helper()
	at := time.Now().Add(-by).UTC()
	if strings.HasPrefix(s.DatabaseURL, "sqlite") {
		s.Exec(t, "UPDATE totp SET pending_at = $1", at.UnixMicro())
		return
	}
	s.Exec(t, "UPDATE totp SET pending_at = $1", at)
}

// walkTOTP sets TOTP up, uses codes and recovery codes, right and wrong ones, and leaves a secret that is not confirmed. It returns the secrets that were
// sent and shown.
func walkTOTP(t *testing.T, p *person) map[string]string {
	t.Helper()
	const wrong = "7QK4-9M2X-A0VR-J8TB-3HWN-5CEZ"
	p.login()
	app, codes := p.setUpTOTP()
	login := p.tryLogin(p.password)
	p.want("log in without the factor", login.StatusCode(), 403)
	p.want("a wrong recovery code", p.stepUpBy(client.StepUpSessionRequest{RecoveryCode: new(wrong)}).StatusCode(), 403)
	p.want("a recovery code", p.stepUpBy(client.StepUpSessionRequest{RecoveryCode: &codes[0]}).StatusCode(), 200)
	p.want("a code", p.stepUpBy(client.StepUpSessionRequest{Code: new(app.Next(t))}).StatusCode(), 200)
	p.want("the code again", p.stepUpBy(client.StepUpSessionRequest{Code: new(app.Code(t, 0))}).StatusCode(), 403)
	begun := p.beginTOTP()

	canaries := map[string]string{"URI": "otpauth://", "ticket": login.JSON403.Ticket, "wrong recovery code": wrong}
	for i, code := range codes {
		canaries[fmt.Sprint("recovery code ", i)] = code
		canaries[fmt.Sprint("recovery code without hyphens ", i)] = strings.ReplaceAll(code, "-", "")
	}
	for name, secret := range map[string]string{"TOTP secret": app.Secret, "TOTP secret that is not confirmed": begun.Secret} {
		raw, err := base32.StdEncoding.DecodeString(secret)
		p.must(err)
		canaries[name], canaries[name+" in bytes"], canaries[name+" in hex"] = secret, string(raw), hex.EncodeToString(raw)
		canaries[name+" in base64"] = base64.RawStdEncoding.EncodeToString(raw)
	}
	return canaries
}
