package contract

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/financelime/authorization/api/client"
	"github.com/financelime/authorization/impl/secret"
	"github.com/financelime/authorization/test/authenticator"
	"github.com/financelime/authorization/test/harness"
)

// wantTicket logs in with a password and expects the response of an account with a second factor.
func (p *person) wantTicket(password string, methods ...client.SecondFactorMethod) (ticket string) {
	p.t.Helper()
	r := p.tryLogin(password)
	p.want("log in with a second factor on", r.StatusCode(), 403)
	if r.JSON403.Message != client.CreateAccessTokenFailure403MessageSECONDFACTORREQUIRED || !slices.Equal(r.JSON403.Methods, methods) || r.JSON403.Passkey != nil {
		p.t.Errorf("the response to a right password: %s, want the methods %v", r.Body, methods)
	}
	return r.JSON403.Ticket
}

// ticket is wantTicket for the password of a user with TOTP and recovery codes.
func (p *person) ticket() string {
	p.t.Helper()
	return p.wantTicket(p.password, client.SecondFactorMethodTotp, client.SecondFactorMethodRecoveryCode)
}

func (p *person) byCode(ticket, code string) *client.CreateAccessTokenBySecondFactorResponse {
	p.t.Helper()
	return p.api().LoginBySecondFactor(client.SecondFactorRequest{Ticket: ticket, Code: &code})
}

func (p *person) byRecoveryCode(ticket, code string) *client.CreateAccessTokenBySecondFactorResponse {
	p.t.Helper()
	return p.api().LoginBySecondFactor(client.SecondFactorRequest{Ticket: ticket, RecoveryCode: &code})
}

// wantExpired expects that a ticket is void.
func (p *person) wantExpired(what, ticket, code string) {
	p.t.Helper()
	if r := p.byCode(ticket, code); r.StatusCode() != 404 || r.JSON404.Message != client.SecondFactorFailure404MessageLOGINEXPIRED {
		p.t.Errorf("%s: %d %s", what, r.StatusCode(), r.Body)
	}
}

// joinWithTOTP returns a user who has logged in and turned the second factor on.
func joinWithTOTP(t *testing.T, s *harness.Service) (p *person, app *harness.Authenticator, recoveryCodes []string) {
	t.Helper()
	p = newPerson(t, s).join(s.Invite(t, 1))
	p.login()
	app, recoveryCodes = p.setUpTOTP()
	return p, app, recoveryCodes
}

// wrongCode returns a code that the app does not show.
func wrongCode(t *testing.T, app *harness.Authenticator) string {
	t.Helper()
	for n := range 10 {
		code := fmt.Sprintf("%06d", n)
		if !slices.ContainsFunc([]int64{-2, -1, 0, 1, 2, 3}, func(p int64) bool { return app.Code(t, p) == code }) {
			return code
		}
	}
	t.Fatal("all codes are right")
	return ""
}

// A login with a second factor: the password gets a ticket and writes nothing; a code or a recovery code completes the login, each once.
func TestLoginBySecondFactor(t *testing.T) {
	t.Parallel()
	harness.EachEngine(t, func(t *testing.T, engine string) {
		s := harness.Start(t, binary, contract, engine, "AUTH_LIMITS=on", "AUTH_LIMIT_LOGIN_ACCOUNT=50/30m")
		p, app, recoveryCodes := joinWithTOTP(t, s)
		setUp := p.session
		wrong := wrongCode(t, app)
		p.want("a wrong password", p.tryLogin("wrong").StatusCode(), 404)
		noMailWaits(t, s)
		before := s.Snapshot(t)
		ticket := p.ticket()
		if after := s.Snapshot(t); after != before {
			t.Errorf("a right password has changed something:\n%s\nbefore:\n%s", after, before)
		}
		wantEvent(t, logLines(t, s), logLine{Event: "login.second_factor_required", Level: "INFO", Outcome: "failure", AccountID: userID(t, p)})

		for what, r := range map[string]*client.CreateAccessTokenBySecondFactorResponse{
			"wrong code": p.byCode(ticket, wrong), "wrong recovery code": p.byRecoveryCode(ticket, strings.Repeat("0", 24)),
		} {
			if r.StatusCode() != 403 || r.JSON403.Message != client.SecondFactorFailure403MessageWRONGCODE {
				t.Errorf("%s: %d %s", what, r.StatusCode(), r.Body)
			}
		}
		if n := s.Count(t, "SELECT failures FROM login_failure"); n != 3 {
			t.Errorf("%d failures are counted, want 3", n)
		}
		wantEvent(t, logLines(t, s), logLine{Event: "factor.failed", Level: "INFO", Outcome: "failure", Reason: "wrong_factor", AccountID: userID(t, p)})

		s.ForgetTOTPSteps(t, app)
		code := app.Next(t)
		r := p.byCode(ticket, code)
		p.want("log in by a code", r.StatusCode(), 200)
		p.session = *r.JSON200
		if c := claimsOf(t, p.session.AccessToken); c.Level != "aal2" || strings.Join(c.Methods, " ") != "pwd otp mfa" || c.Time != c.IssuedAt {
			t.Errorf("the claims: %+v", c)
		}
		p.refresh()
		if sessions := p.sessions(); len(sessions) != 2 || sessions[0].ClientID != "test_v1" || sessions[0].Platform != "Linux x86_64" {
			t.Errorf("the sessions: %+v", sessions)
		}
		if n := s.Count(t, "SELECT count(*) FROM login_failure"); n != 0 {
			t.Error("the failures are not forgotten")
		}
		wantEvent(t, logLines(t, s), logLine{Event: "login.succeeded", Level: "INFO", Outcome: "success", AccountID: userID(t, p), SessionID: p.session.SessionID})

		p.want("the same code again", p.byCode(ticket, code).StatusCode(), 403)
		p.want("a recovery code, with the same ticket", p.byRecoveryCode(ticket, strings.ToLower(recoveryCodes[0])).StatusCode(), 200)
		p.want("it again", p.byRecoveryCode(p.ticket(), recoveryCodes[0]).StatusCode(), 403)
		if n := s.WaitNotices(t, p.email, 2); !slices.ContainsFunc(n, func(m harness.Mail) bool { return strings.Contains(m.Subject, "ecovery code") }) {
			t.Errorf("no mail about the recovery code: %v", n)
		}
		p.want("the session of the set-up", p.tryRefresh(setUp.RefreshToken).StatusCode(), 200)

		// A code without the password is worth nothing.
		s.ForgetTOTPSteps(t, app)
		p.want("a wrong password again", p.tryLogin("wrong").StatusCode(), 404)
		for name, bad := range map[string]string{
			"access token": p.session.AccessToken, "refresh token": p.session.RefreshToken, "ticket with another signature": ticket[:len(ticket)-4] + "AAAA", "x": "x",
		} {
			p.wantExpired(name, bad, app.Code(t, 0))
		}
	})
}

// A ticket is void as soon as its password, its account or its second factor is, and after five minutes.
func TestVoidTickets(t *testing.T) {
	t.Parallel()
	harness.EachEngine(t, func(t *testing.T, engine string) {
		s := harness.Start(t, binary, contract, engine, "AUTH_CLIENT_IDS=test_v1")
		p, app, recoveryCodes := joinWithTOTP(t, s)
		s.ForgetTOTPSteps(t, app)
		wantOldTicketsRefused(t, p, app, recoveryCodes[0])
		disabled := p.ticket()
		s.Exec(t, "UPDATE account SET disabled_at = created_at")
		p.wantExpired("of a disabled user", disabled, app.Code(t, 0))
		s.Exec(t, "UPDATE account SET disabled_at = NULL")

		// A change of the password. The session stays at the level of two factors, and is as recent as before.
		old := p.ticket()
		was := claimsOf(t, p.refresh().AccessToken)
		changed := p.api().ChangePassword(p.session.AccessToken, p.password, chosenPassword)
		p.want("change the password", changed.StatusCode(), 200)
		p.session, p.password = *changed.JSON200, chosenPassword
		if c := claimsOf(t, p.session.AccessToken); c.Level != "aal2" || strings.Join(c.Methods, " ") != "pwd otp mfa" || c.Time != was.Time {
			t.Errorf("after a change of the password: %+v, before %+v", c, was)
		}
		p.wantExpired("of the password before", old, app.Code(t, 0))

		// A ticket of the time before a second factor was turned off and on again is of the same login; while it is off, the password is enough.
		off := p.ticket()
		p.want("turn off", p.api().TurnOffSecondFactor(p.session.AccessToken).StatusCode(), 204)
		p.wantExpired("while the second factor is off", off, app.Code(t, 0))
		p.login()
		app, recoveryCodes = p.setUpTOTP()
		p.want("an old ticket", p.byRecoveryCode(off, recoveryCodes[0]).StatusCode(), 200)

		deleted := p.ticket()
		s.ForgetTOTPSteps(t, app)
		run(t, s, "user", "delete", p.email)
		p.wantExpired("of a deleted user", deleted, app.Code(t, 0))
		if n := s.Count(t, "SELECT count(*) FROM login_failure"); n != 0 {
			t.Errorf("void tickets have counted %d failures", n)
		}
	})
}

// Whoever reads the mailbox can reset the password. Without the second factor they get no session, the owner's sessions go on, and the owner's
// password stays valid. The mailed password becomes the password when the owner has used it with the factor.
func TestThiefOfTheMailbox(t *testing.T) {
	t.Parallel()
	harness.EachEngine(t, func(t *testing.T, engine string) {
		s := harness.Start(t, binary, contract, engine)
		p, app, recoveryCodes := joinWithTOTP(t, s)
		s.ForgetTOTPSteps(t, app)
		own := p.password
		mailed := p.mailedPassword()
		ticket := p.wantTicket(mailed, client.SecondFactorMethodTotp, client.SecondFactorMethodRecoveryCode)
		p.want("without the factor", p.byCode(ticket, wrongCode(t, app)).StatusCode(), 403)
		p.refresh()
		p.want("the owner's password", p.byRecoveryCode(p.ticket(), recoveryCodes[0]).StatusCode(), 200)
		p.want("step up with the mailed password", p.api().StepUp(p.session.AccessToken, mailed).StatusCode(), 403)
		p.refresh()
		if n := p.enqueued("password_notice"); n != 0 {
			t.Errorf("%d notices of a changed password", n)
		}

		// With the factor the mailed password becomes the password.
		session := p.session
		r := p.byCode(ticket, app.Next(t))
		p.want("with the factor", r.StatusCode(), 200)
		p.session, p.password = *r.JSON200, mailed
		p.want("the owner's older session", p.tryRefresh(session.RefreshToken).StatusCode(), 404)
		p.want("the owner's older password", p.tryLogin(own).StatusCode(), 404)
		if n := p.enqueued("password_notice"); n != 1 {
			t.Errorf("%d notices of a changed password, want 1", n)
		}
		p.want("the ticket, now of the password", p.byRecoveryCode(ticket, recoveryCodes[1]).StatusCode(), 200)
	})
}

// A reset switches the password on again, but does not let a reader of the mailbox guess codes without end: after 200 wrong second factors no code is
// compared until the user has proved another factor, or has turned the second factor off.
func TestResetsDoNotAllowGuessesWithoutEnd(t *testing.T) {
	t.Parallel()
	harness.EachEngine(t, func(t *testing.T, engine string) {
		s := harness.Start(t, binary, contract, engine, "AUTH_LIMITS=on")
		p, app, recoveryCodes := joinWithTOTP(t, s)
		s.ForgetTOTPSteps(t, app)
		s.Exec(t, "UPDATE account SET second_factor_failures = 199")
		ticket := p.wantTicket(p.mailedPassword(), client.SecondFactorMethodTotp, client.SecondFactorMethodRecoveryCode)
		p.want("the last guess", p.byCode(ticket, wrongCode(t, app)).StatusCode(), 403)
		p.want("a right code after 200 failures", p.byCode(ticket, app.Code(t, 0)).StatusCode(), 403)
		r := p.byRecoveryCode(ticket, recoveryCodes[0])
		p.want("a recovery code", r.StatusCode(), 200)
		p.want("a right code after a login", p.byCode(ticket, app.Code(t, 0)).StatusCode(), 200)

		s.Exec(t, "UPDATE account SET second_factor_failures = 200")
		p.session = *r.JSON200
		p.want("step up", p.stepUpBy(client.StepUpSessionRequest{RecoveryCode: &recoveryCodes[1]}).StatusCode(), 200)
		if n := s.Count(t, "SELECT second_factor_failures FROM account"); n != 0 {
			t.Errorf("%d failures after a step-up", n)
		}
		s.Exec(t, "UPDATE account SET second_factor_failures = 200")
		p.want("turn off", p.api().TurnOffSecondFactor(p.session.AccessToken).StatusCode(), 204)
		if n := s.Count(t, "SELECT second_factor_failures FROM account"); n != 0 {
			t.Errorf("%d failures after the second factor was turned off", n)
		}
	})
}

// Simultaneous logins with one code, or one recovery code: one succeeds.
func TestRaceSecondFactor(t *testing.T) {
	t.Parallel()
	harness.EachEngine(t, func(t *testing.T, engine string) {
		s := harness.Start(t, binary, contract, engine)
		p, app, recoveryCodes := joinWithTOTP(t, s)
		ticket := p.ticket()
		for round := range roundsOn(engine) {
			s.ForgetTOTPSteps(t, app)
			code := app.Next(t)
			got := count(concurrently(4, func(int) int { return p.byCode(ticket, code).StatusCode() }))
			if got[200] != 1 || got[403] != 3 {
				t.Fatalf("round %d, four times one code: %v", round, got)
			}
		}
		for _, code := range recoveryCodes {
			if got := count(concurrently(4, func(int) int { return p.byRecoveryCode(ticket, code).StatusCode() })); got[200] != 1 || got[403] != 3 {
				t.Fatalf("four times one recovery code: %v", got)
			}
		}
	})
}

// Five wrong second factors after a right password are reported to the user, once a day.
func TestSecondFactorFailedMail(t *testing.T) {
	t.Parallel()
	harness.EachEngine(t, func(t *testing.T, engine string) {
		s := harness.Start(t, binary, contract, engine)
		p, app, recoveryCodes := joinWithTOTP(t, s)
		ticket, wrong := p.ticket(), wrongCode(t, app)
		fail := func(n int) {
			t.Helper()
			for range n {
				p.want("a wrong code", p.byCode(ticket, wrong).StatusCode(), 403)
			}
		}
		wantMails := func(when string, want int) {
			t.Helper()
			if n := p.enqueued("second_factor_failed"); n != want {
				t.Errorf("%s: %d mails, want %d", when, n, want)
			}
		}
		fail(4)
		wantMails("after four wrong codes", 0)
		p.want("a success", p.byRecoveryCode(ticket, recoveryCodes[0]).StatusCode(), 200)
		fail(4)
		wantMails("after four more", 0)
		for range 3 { // a wrong step-up is not after a right password
			p.want("step up", p.stepUpBy(client.StepUpSessionRequest{Code: &wrong}).StatusCode(), 403)
		}
		wantMails("after wrong step-ups", 0)
		fail(1)
		wantMails("after five", 1)
		fail(3)
		wantMails("on the same day", 1)
		day := "second_factor_notified_at - interval '24 hours'"
		if engine == harness.SQLite {
			day = fmt.Sprintf("second_factor_notified_at - %d", (24 * time.Hour).Microseconds())
		}
		s.Exec(t, "UPDATE account SET second_factor_notified_at = "+day)
		fail(1)
		wantMails("a day later", 2)
		if mails := s.WaitNotices(t, p.email, 4); !slices.ContainsFunc(mails, func(m harness.Mail) bool { return strings.Contains(m.Text, "127.0.0.1") }) {
			t.Errorf("no client IP in the mails %v", mails)
		}
	})
}

// noMailWaits waits until all mails are recorded as sent, so that only requests change the database.
func noMailWaits(t *testing.T, s *harness.Service) {
	t.Helper()
	eventually(t, "no mail is waiting", func() bool { return s.Count(t, "SELECT count(*) FROM mail WHERE sent_at IS NULL") == 0 })
}

func (p *person) stepUpBy(body client.StepUpSessionRequest) *client.StepUpSessionResponse {
	p.t.Helper()
	return p.api().StepUpBy(p.session.AccessToken, body)
}

// A code of the session's own account steps up: it adds the factor to what the user has proved in the session.
func TestStepUpByCode(t *testing.T) {
	t.Parallel()
	harness.EachEngine(t, func(t *testing.T, engine string) {
		s := harness.Start(t, binary, contract, engine, "AUTH_LIMITS=on", "AUTH_LIMIT_LOGIN_ACCOUNT=50/30m")
		code := s.Invite(t, 2)
		p, other := newPerson(t, s).join(code), newPerson(t, s).join(code)
		p.login()
		other.login()
		app, recoveryCodes := p.setUpTOTP()
		others, otherCodes := other.setUpTOTP()
		s.ForgetTOTPSteps(t, app, others)
		s.AgeAuthentications(t, time.Hour)
		p.want("without a recent authentication", p.api().RenewRecoveryCodes(p.session.AccessToken).StatusCode(), 403)
		wantFailed := func(what string, body client.StepUpSessionRequest) {
			t.Helper()
			if r := p.stepUpBy(body); r.StatusCode() != 403 || r.JSON403.Message != client.StepUpSessionFailure403MessageAUTHENTICATIONFAILED {
				t.Errorf("step up with %s: %d %s", what, r.StatusCode(), r.Body)
			}
		}
		foreign := others.Next(t)
		wantFailed("the code of another user", client.StepUpSessionRequest{Code: &foreign})
		wantFailed("a recovery code of another user", client.StepUpSessionRequest{RecoveryCode: &otherCodes[0]})
		p.want("after wrong codes", p.api().RenewRecoveryCodes(p.session.AccessToken).StatusCode(), 403)
		if n := s.Count(t, "SELECT failures FROM login_failure"); n != 2 {
			t.Errorf("%d failures are counted, want 2", n)
		}
		// They were refused before they were used.
		other.want("the other user's code", other.stepUpBy(client.StepUpSessionRequest{Code: &foreign}).StatusCode(), 200)
		other.want("and recovery code", other.stepUpBy(client.StepUpSessionRequest{RecoveryCode: &otherCodes[0]}).StatusCode(), 200)

		right := app.Next(t)
		for what, body := range map[string]client.StepUpSessionRequest{"a code": {Code: &right}, "a recovery code": {RecoveryCode: &recoveryCodes[0]}} {
			s.AgeAuthentications(t, time.Hour)
			r := p.stepUpBy(body)
			p.want("step up with "+what, r.StatusCode(), 200)
			if c := claimsOf(t, r.JSON200.AccessToken); c.Level != "aal2" || strings.Join(c.Methods, " ") != "pwd otp mfa" || c.Time != c.IssuedAt ||
				r.JSON200.Acr != client.AuthenticationLevelAal2 {
				t.Errorf("after %s: %+v, %s", what, c, r.Body)
			}
			wantFailed(what+" twice", body)
		}
		if n := s.Count(t, "SELECT failures FROM login_failure WHERE account_id = (SELECT id FROM account WHERE email = $1)", p.email); n != 1 {
			t.Errorf("%d failures since the last success, want 1", n)
		}
		renewed := p.api().RenewRecoveryCodes(p.session.AccessToken)
		p.want("with a recent second factor", renewed.StatusCode(), 200)
		p.want("turn off", p.api().TurnOffSecondFactor(p.session.AccessToken).StatusCode(), 204)
		s.ForgetTOTPSteps(t, app)
		next := app.Next(t)
		wantFailed("a code while the factor is off", client.StepUpSessionRequest{Code: &next})
		p.want("step up with the password", p.api().StepUp(p.session.AccessToken, p.password).StatusCode(), 200)

		ended := other.session
		other.revoke(ended.SessionID)
		s.ForgetTOTPSteps(t, others)
		foreign = others.Next(t)
		other.want("in an ended session", other.stepUpBy(client.StepUpSessionRequest{Code: &foreign}).StatusCode(), 401)
	})
}

// Two hundred guesses with any tickets, from any client IPs, at any replica: at most a hundred are compared, then the right code is refused too.
func TestGuessedCodes(t *testing.T) {
	t.Parallel()
	harness.EachEngine(t, func(t *testing.T, engine string) {
		first := harness.Start(t, binary, contract, engine, limited("AUTH_LIMIT_LOGIN_ACCOUNT=1000/1h")...)
		replicas := withReplicas(t, first, engine)
		p, app, _ := joinWithTOTP(t, first)
		mailed := p.mailedPassword()
		pending := p.wantTicket(mailed, client.SecondFactorMethodTotp, client.SecondFactorMethodRecoveryCode)
		tickets, wrong := []string{p.ticket(), p.ticket()}, wrongCode(t, app)
		guess := func(i int, ticket, code string) int {
			return ask(t, replicas[i%len(replicas)], fmt.Sprintf("203.0.113.%d", i%250), http.MethodPost, "/v1/oauth/second_factor",
				fmt.Sprintf(`{"ticket":%q,"code":%q}`, ticket, code)).status
		}
		got := count(concurrently(200, func(i int) int { return guess(i, tickets[i%2], wrong) }))
		if got[403]+got[503] != 200 {
			t.Errorf("two hundred guesses: %v", got)
		}
		for i := 0; first.Count(t, "SELECT failures FROM login_failure WHERE account_id IS NOT NULL") < 100; i++ {
			if i == 100 {
				t.Fatal("a hundred guesses are not counted")
			}
			guess(i, tickets[0], wrong)
		}
		first.ForgetTOTPSteps(t, app)
		for i := range replicas {
			p.want("the right code, too late", guess(i, tickets[0], app.Code(t, 0)), 403)
		}
		right := app.Code(t, 0)
		p.want("step up", p.stepUpBy(client.StepUpSessionRequest{Code: &right}).StatusCode(), 403)
		p.want("the password", p.tryLogin(p.password).StatusCode(), 404)
		p.want("the right code and a mailed password", guess(0, pending, app.Code(t, 0)), 200)
		if n := strings.Count(first.Log(), "password.switched_off"); engine == harness.SQLite && n != 1 {
			t.Errorf("the password was switched off %d times", n)
		}
	})
}

// wrongFactors expects wrong codes and wrong passwords to share one budget, and a right password to forget nothing.
func wrongFactors(t *testing.T, s *harness.Service) {
	p, app, recoveryCodes := joinWithTOTP(t, s)
	ticket, wrong := p.ticket(), wrongCode(t, app)
	second := func(body string) answered {
		return ask(t, s, stranger, http.MethodPost, "/v1/oauth/second_factor", body)
	}
	code := fmt.Sprintf(`{"ticket":%q,"code":%q}`, ticket, wrong)
	p.want("a wrong password", loginFrom(t, s, stranger, p.email, "wrong").status, 404)
	p.want("a wrong code", second(code).status, 403)
	p.want("a right password", loginFrom(t, s, stranger, p.email, p.password).status, 403)
	p.want("a wrong recovery code", second(fmt.Sprintf(`{"ticket":%q,"recoveryCode":"0000"}`, ticket)).status, 403)
	refused, recovery := second(code), fmt.Sprintf(`{"ticket":%q,"recoveryCode":%q}`, ticket, recoveryCodes[0])
	wantStatuses(t, "after three", []int{
		refused.status, second(recovery).status, loginFrom(t, s, stranger, p.email, p.password).status,
	}, 429, 429, 429)
	if refused.policy == "" {
		t.Error("no RateLimit-Policy")
	}
	p.want("from a known client IP", p.byRecoveryCode(ticket, recoveryCodes[0]).StatusCode(), 200)
	p.want("after the success", second(code).status, 403)
}

// A passkey after the password proves a second factor, and steps a session up, also while a login needs no second factor.
func TestMethodsOfPasskeys(t *testing.T) {
	t.Parallel()
	harness.EachEngine(t, func(t *testing.T, engine string) {
		s := harness.Start(t, binary, contract, engine)
		p, key := newKeyHolder(t, s)
		wantMethods := func(what, accessToken, want string) {
			t.Helper()
			if c := claimsOf(t, accessToken); c.Level != "aal2" || strings.Join(c.Methods, " ") != want || c.Time != c.IssuedAt {
				t.Errorf("%s: %+v, want %s", what, c, want)
			}
		}
		r := p.tryLogin(p.password)
		p.want("log in", r.StatusCode(), 403)
		if want := []client.SecondFactorMethod{client.SecondFactorMethodPasskey, client.SecondFactorMethodRecoveryCode}; !slices.Equal(r.JSON403.Methods, want) ||
			r.JSON403.Passkey == nil {
			t.Fatalf("a user with a passkey: %s", r.Body)
		}
		completed := p.api().LoginBySecondFactor(client.SecondFactorRequest{Ticket: r.JSON403.Ticket, Passkey: &client.PasskeyAssertion{
			Ceremony: r.JSON403.Passkey.Ceremony, Credential: harness.Assert(t, key, r.JSON403.Passkey.Options.Challenge),
		}})
		p.want("log in with the passkey", completed.StatusCode(), 200)
		p.session = *completed.JSON200
		wantMethods("password and passkey", p.session.AccessToken, "pwd swk mfa")

		stepUp := func(p *person, key *authenticator.Passkey) *client.StepUpSessionResponse {
			began := p.api().BeginPasskeyLogin().JSON200
			return p.stepUpBy(client.StepUpSessionRequest{Passkey: &client.PasskeyAssertion{
				Ceremony: began.Ceremony, Credential: harness.Assert(t, key, began.Options.Challenge),
			}})
		}
		s.AgeAuthentications(t, time.Hour)
		up := stepUp(p, key)
		p.want("step up", up.StatusCode(), 200)
		wantMethods("step-up", up.JSON200.AccessToken, "swk user mfa")

		// The second factor of this user is off. The password and a passkey each are a login.
		off := newPerson(t, s).join(s.Invite(t, 1))
		off.login()
		own, _ := off.addPasskey("key", nil)
		off.login()
		s.AgeAuthentications(t, time.Hour)
		up = stepUp(off, own)
		off.want("step up while the second factor is off", up.StatusCode(), 200)
		wantMethods("while it is off", up.JSON200.AccessToken, "hwk user mfa")
		off.want("step up with the key of another user", stepUp(off, key).StatusCode(), 403)
		changed := off.api().ChangePassword(off.session.AccessToken, off.password, chosenPassword)
		off.want("change the password", changed.StatusCode(), 200)
		if c := claimsOf(t, changed.JSON200.AccessToken); c.Level != "aal2" || strings.Join(c.Methods, " ") != "pwd hwk user mfa" {
			t.Errorf("after a change of the password: %+v", c)
		}
	})
}

// resign returns a ticket with other claims, signed with the service's key.
func resign(t *testing.T, s *harness.Service, ticket string, claims map[string]any) string {
	t.Helper()
	root, err := secret.Parse(s.Secret(t))
	if err != nil {
		t.Fatal(err)
	}
	all := jwt.MapClaims(part(t, ticket, 1))
	maps.Copy(all, claims)
	token := &jwt.Token{Method: jwt.SigningMethodHS256, Header: part(t, ticket, 0), Claims: all}
	signed, err := token.SignedString(root.Key("ticket"))
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

// wantOldTicketsRefused expects a ticket to be void after five minutes and the tolerance of clocks, and that of a client that may not log in now.
func wantOldTicketsRefused(t *testing.T, p *person, app *harness.Authenticator, recoveryCode string) {
	t.Helper()
	ticket, now := p.ticket(), time.Now()
	if life := part(t, ticket, 1)["exp"].(float64) - part(t, ticket, 1)["iat"].(float64); life != 300 {
		t.Errorf("a ticket lives for %v s", life)
	}
	p.wantExpired("of a client that may not log in", resign(t, p.s, ticket, map[string]any{"client_id": "other"}), app.Code(t, 0))
	p.wantExpired("after its end", resign(t, p.s, ticket, map[string]any{"exp": now.Add(-31 * time.Second).Unix()}), app.Code(t, 0))
	p.wantExpired("of another account", resign(t, p.s, ticket, map[string]any{"sub": someSession}), app.Code(t, 0))
	young := resign(t, p.s, ticket, map[string]any{"exp": now.Add(time.Minute).Unix()})
	p.want("before its end", p.byRecoveryCode(young, recoveryCode).StatusCode(), 200)
}
