package contract

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/financelime/authorization/api/client"
	"github.com/financelime/authorization/test/harness"
)

// authenticationClaims are the claims of an access token that say how the user has authenticated.
type authenticationClaims struct {
	IssuedAt int64    `json:"iat"`
	Time     int64    `json:"auth_time"`
	Level    string   `json:"acr"`
	Methods  []string `json:"amr"`
}

func claimsOf(t *testing.T, accessToken string) (claims authenticationClaims) {
	t.Helper()
	parts := strings.Split(accessToken, ".")
	if len(parts) != 3 {
		t.Fatalf("not a JWT: %s", accessToken)
	}
	text, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err == nil {
		err = json.Unmarshal(text, &claims)
	}
	if err != nil {
		t.Fatal(err)
	}
	return claims
}

// wantAuthentication checks that verify returns the time and the level to a gateway.
func wantAuthentication(t *testing.T, s *harness.Service, accessToken, what string, at int64) {
	t.Helper()
	r, err := s.API.VerifyAccessTokenWithResponse(t.Context(), &client.VerifyAccessTokenParams{}, bearer(accessToken))
	if err != nil {
		t.Fatal(err)
	}
	header := r.HTTPResponse.Header
	if r.StatusCode() != 204 || header.Get("x-auth-acr") != "aal1" || header.Get("x-auth-time") != strconv.FormatInt(at, 10) {
		t.Errorf("verify %s: %d %v, want the time %d", what, r.StatusCode(), header, at)
	}
}

// A step-up moves the time of the authentication, in the claims and for gateways. A refresh does not.
func TestStepUp(t *testing.T) {
	t.Parallel()
	harness.EachEngine(t, func(t *testing.T, engine string) {
		s := harness.Start(t, binary, contract, engine)
		p := newPerson(t, s).join(s.Invite(t, 1))
		p.login()
		first := claimsOf(t, p.session.AccessToken)
		if first.Time != first.IssuedAt || first.Level != "aal1" || strings.Join(first.Methods, " ") != "pwd" {
			t.Errorf("the claims of a login: %+v", first)
		}
		s.AgeAuthentications(t, time.Hour)
		p.refresh()
		refreshed := claimsOf(t, p.session.AccessToken)
		if refreshed.Time > first.Time-3599 {
			t.Errorf("a refresh has moved the time of the authentication: %+v after %+v", refreshed, first)
		}
		wantAuthentication(t, s, p.session.AccessToken, "after a refresh", refreshed.Time)

		r := p.api().StepUp(p.session.AccessToken, p.password)
		p.want("step up", r.StatusCode(), 200)
		now := claimsOf(t, r.JSON200.AccessToken)
		if now.Time != now.IssuedAt || now.Level != "aal1" || r.JSON200.AuthenticatedAt.Unix() != now.Time || r.JSON200.Acr != client.AuthenticationLevelAal1 ||
			r.JSON200.ExpiresIn == nil {
			t.Errorf("after a step-up: %+v, %s", now, r.Body)
		}
		wantAuthentication(t, s, r.JSON200.AccessToken, "after a step-up", now.Time)
		wantAuthentication(t, s, p.session.AccessToken, "with the older token", now.Time)
		p.refresh() // the refresh token is still the one of before
		if again := claimsOf(t, p.session.AccessToken); again.Time != now.Time {
			t.Errorf("a refresh has moved the time of the authentication: %+v after %+v", again, now)
		}
		wantEvent(t, logLines(t, s), logLine{Event: "session.stepped_up", Level: "INFO", Outcome: "success", AccountID: userID(t, p), SessionID: p.session.SessionID})
	})
}

// Only the password of the session's own account counts, every failure counts as a failed login, and a refused step-up changes nothing.
func TestStepUpRefused(t *testing.T) {
	t.Parallel()
	harness.EachEngine(t, func(t *testing.T, engine string) {
		s := harness.Start(t, binary, contract, engine, "AUTH_LIMITS=on", "AUTH_LIMIT_LOGIN_ACCOUNT=3/30m")
		code := s.Invite(t, 2)
		p, stranger := newPerson(t, s).join(code), newPerson(t, s).join(code)
		p.login()
		stranger.login()
		s.AgeAuthentications(t, time.Hour)
		at := claimsOf(t, p.refresh().AccessToken).Time
		statuses := make(map[int]int)
		for range 15 { // with the right password of another user
			r := p.api().StepUp(p.session.AccessToken, stranger.password)
			statuses[r.StatusCode()]++
			if r.StatusCode() == 403 && r.JSON403.Message != client.StepUpSessionFailure403MessageAUTHENTICATIONFAILED {
				t.Errorf("403 %s", r.Body)
			}
		}
		if statuses[403] == 0 || statuses[429] == 0 || statuses[403]+statuses[429] != 15 {
			t.Errorf("fifteen wrong passwords: %v", statuses)
		}
		p.want("log in at the limit", p.tryLogin("not the password").StatusCode(), 429)
		wantAuthentication(t, s, p.session.AccessToken, "after the failures", at)
		wantEvent(t, logLines(t, s), logLine{Event: "session.step_up_refused", Level: "INFO", Outcome: "failure", Reason: "wrong_password",
			AccountID: userID(t, p), SessionID: p.session.SessionID})

		ended := stranger.session
		stranger.revoke(ended.SessionID)
		stranger.want("in an ended session", stranger.api().StepUp(ended.AccessToken, stranger.password).StatusCode(), 401)
		run(t, s, "user", "disable", p.email)
		p.want("of a disabled user", p.api().StepUp(p.session.AccessToken, p.password).StatusCode(), 401)
	})
}

// A mailed password that was not used yet is a proof too. It becomes the password, and the other sessions end, as with a login.
func TestStepUpWithAMailedPassword(t *testing.T) {
	t.Parallel()
	harness.EachEngine(t, func(t *testing.T, engine string) {
		s := harness.Start(t, binary, contract, engine)
		p := newPerson(t, s).join(s.Invite(t, 1))
		other := p.login()
		p.login()
		old := p.password
		p.password = p.mailedPassword()
		p.want("step up", p.api().StepUp(p.session.AccessToken, p.password).StatusCode(), 200)
		p.refresh()
		p.want("refresh another session", p.tryRefresh(other.RefreshToken).StatusCode(), 404)
		p.want("step up with the old password", p.api().StepUp(p.session.AccessToken, old).StatusCode(), 403)
		p.want("log in with the old password", p.tryLogin(old).StatusCode(), 404)
		p.want("log in with the mailed password", p.tryLogin(p.password).StatusCode(), 200)
		if notices := s.WaitNotices(t, p.email, 1); strings.Contains(notices[0].Text, p.password) {
			t.Errorf("the notice:\n%s", notices[0].Text)
		}
	})
}

// An account with a second factor does not accept a password alone as a recent authentication.
func TestStepUpWithASecondFactor(t *testing.T) {
	t.Parallel()
	harness.EachEngine(t, func(t *testing.T, engine string) {
		s := harness.Start(t, binary, contract, engine)
		p := newPerson(t, s).join(s.Invite(t, 1))
		p.login()
		s.Exec(t, "UPDATE account SET second_factor_since = created_at")
		r := p.api().StepUp(p.session.AccessToken, p.password)
		if r.StatusCode() != 403 || r.JSON403.Message != client.StepUpSessionFailure403MessageSECONDFACTORREQUIRED {
			t.Errorf("step up: %d %s", r.StatusCode(), r.Body)
		}
		changed := p.api().ChangePassword(p.session.AccessToken, p.password, chosenPassword)
		if changed.StatusCode() != 403 || changed.JSON403.Message != client.ChangeUserPasswordFailure403MessageRECENTAUTHENTICATIONREQUIRED {
			t.Errorf("change the password: %d %s", changed.StatusCode(), changed.Body)
		}
		p.want("log in with the old password", p.tryLogin(p.password).StatusCode(), 403)
	})
}

// A session of the version before does not say when the user authenticated: they did when it began.
func TestSessionOfTheVersionBefore(t *testing.T) {
	t.Parallel()
	harness.EachEngine(t, func(t *testing.T, engine string) {
		s := harness.Start(t, binary, contract, engine)
		p := newPerson(t, s).join(s.Invite(t, 1))
		p.login()
		began := claimsOf(t, p.session.AccessToken).Time
		s.Exec(t, "UPDATE session SET authenticated_at = NULL, methods = NULL")
		if claims := claimsOf(t, p.refresh().AccessToken); claims.Time != began || claims.Level != "aal1" || strings.Join(claims.Methods, " ") != "pwd" {
			t.Errorf("%+v, want the time %d", claims, began)
		}
		wantAuthentication(t, s, p.session.AccessToken, "of the version before", began)
		p.want("step up", p.api().StepUp(p.session.AccessToken, p.password).StatusCode(), http.StatusOK)
	})
}
