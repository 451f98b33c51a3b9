package contract

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/financelime/authorization/api/client"
	"github.com/financelime/authorization/test/harness"
)

const (
	chosenPassword  = "seven green boats at noon"
	anotherPassword = "nine quiet rivers after dusk"
)

// change changes the person's password, and stores it and the tokens.
func (p *person) change(chosen string) {
	p.t.Helper()
	r := p.api().ChangePassword(p.session.AccessToken, p.password, chosen)
	p.want("change the password", r.StatusCode(), 200)
	p.session, p.password = *r.JSON200, chosen
}

// A change replaces the password, ends the other sessions, and voids everything that could still log in with an older password.
func TestChangePassword(t *testing.T) {
	t.Parallel()
	harness.EachEngine(t, func(t *testing.T, engine string) {
		s := harness.Start(t, binary, contract, engine, "AUTH_LOG_LEVEL=debug")
		p := newPerson(t, s).join(s.Invite(t, 1))
		other := p.login()
		first := p.login()
		mailed := p.password
		if u := p.api().User(first.AccessToken); u.StatusCode() != 200 || u.JSON200.PasswordChosen || u.JSON200.Email != p.email || u.JSON200.Language != "en" {
			t.Errorf("the account before: %d %s", u.StatusCode(), u.Body)
		}

		p.change(chosenPassword)
		if p.session.SessionID != first.SessionID {
			t.Errorf("the session has become another one: %s, %s", first.SessionID, p.session.SessionID)
		}
		p.want("refresh another session", p.tryRefresh(other.RefreshToken).StatusCode(), 404)
		p.want("verify it", verifyOn(t, s, other.AccessToken), 401)
		p.want("log in with the old password", p.tryLogin(mailed).StatusCode(), 404)
		p.want("log in with the new password", p.tryLogin(chosenPassword).StatusCode(), 200)
		if u := p.api().User(p.session.AccessToken); u.StatusCode() != 200 || !u.JSON200.PasswordChosen {
			t.Errorf("the account after: %d %s", u.StatusCode(), u.Body)
		}
		notice := s.WaitNotices(t, p.email, 1)[0]
		if !strings.Contains(notice.Subject, "You changed the password") || strings.Contains(notice.Text, "/u/") ||
			strings.Contains(notice.Text, chosenPassword) {
			t.Errorf("the notice:\n%s\n%s", notice.Subject, notice.Text)
		}
		wantEvent(t, logLines(t, s), logLine{Event: "password.changed", Level: "INFO", Outcome: "success", SessionID: first.SessionID,
			AccountID: userID(t, p)})
	})
}

// A lost response is healed: the older refresh token gets the same tokens as the response had.
func TestChangePasswordLostResponse(t *testing.T) {
	t.Parallel()
	harness.EachEngine(t, func(t *testing.T, engine string) {
		s := harness.Start(t, binary, contract, engine)
		p := newPerson(t, s).join(s.Invite(t, 1))
		before := p.login()
		p.change(chosenPassword)
		r := p.tryRefresh(before.RefreshToken)
		p.want("refresh with the older token", r.StatusCode(), 200)
		if r.JSON200.RefreshToken != p.session.RefreshToken {
			t.Error("the older token got another successor than the response had")
		}
		p.refresh()
	})
}

// What was mailed before a change can no longer log in: a reset link, a mailed password, and one that waits in the queue.
func TestChangePasswordVoidsMails(t *testing.T) {
	t.Parallel()
	harness.EachEngine(t, func(t *testing.T, engine string) {
		s := harness.Start(t, binary, contract, engine)
		p := newPerson(t, s).join(s.Invite(t, 1))
		p.login()

		p.want("reset", p.resetPassword().StatusCode(), 204)
		link := p.mail().Link(t)
		p.change(chosenPassword)
		p.want("open the link of before the change", p.open(link).StatusCode, 404)

		pending := p.mailedPassword()
		p.change(anotherPassword)
		p.want("log in with the mailed password", p.tryLogin(pending).StatusCode(), 404)
		p.want("log in with the new password", p.tryLogin(anotherPassword).StatusCode(), 200)
	})
}

// A mailed password that was not used yet is a current password too: the user has just received it.
func TestChangePasswordWithAMailedOne(t *testing.T) {
	t.Parallel()
	harness.EachEngine(t, func(t *testing.T, engine string) {
		s := harness.Start(t, binary, contract, engine)
		p := newPerson(t, s).join(s.Invite(t, 1))
		p.login()
		old := p.password
		p.password = p.mailedPassword()
		p.change(chosenPassword)
		p.want("log in with the old password", p.tryLogin(old).StatusCode(), 404)
		p.want("log in with the new password", p.tryLogin(chosenPassword).StatusCode(), 200)
	})
}

// A password that the policy refuses changes nothing and is not hashed.
func TestChangePasswordRefused(t *testing.T) {
	t.Parallel()
	harness.EachEngine(t, func(t *testing.T, engine string) {
		s := harness.Start(t, binary, contract, engine)
		p := newPerson(t, s).join(s.Invite(t, 1))
		p.login()
		p.change(chosenPassword)
		eventually(t, "the notice", func() bool { return s.Count(t, "SELECT count(*) FROM mail WHERE sent_at IS NULL") == 0 })
		before := s.Snapshot(t)
		local, _, _ := strings.Cut(p.email, "@")
		for chosen, want := range map[string]client.ChangeUserPasswordFailure422Message{
			"short":                  client.ChangeUserPasswordFailure422MessagePASSWORDTOOSHORT,
			"fourteen chars":         client.ChangeUserPasswordFailure422MessagePASSWORDTOOSHORT,
			"AAAAaaaaaaaaaaaaAAAA":   client.ChangeUserPasswordFailure422MessagePASSWORDKNOWN,
			"zqzqzqzqzqzqzqzqzqzqzq": client.ChangeUserPasswordFailure422MessagePASSWORDGUESSABLE,
			local + "12":             client.ChangeUserPasswordFailure422MessagePASSWORDGUESSABLE,
			"1234567890123456":       "", /* known or guessable */
			chosenPassword:           client.ChangeUserPasswordFailure422MessagePASSWORDUNCHANGED,
			"QWERTYUIOP1234567890":   "", // the same
			strings.ToUpper(p.email): client.ChangeUserPasswordFailure422MessagePASSWORDGUESSABLE,
		} {
			r := p.api().ChangePassword(p.session.AccessToken, p.password, chosen)
			if r.StatusCode() != 422 || want != "" && r.JSON422.Message != want {
				t.Errorf("%q: %d %s, want %s", chosen, r.StatusCode(), r.Body, want)
			}
		}
		r := p.api().ChangePassword(p.session.AccessToken, p.password, "a bell\arings in the room")
		if r.StatusCode() != 400 || r.JSON400.Parameters == nil || fmt.Sprint(*r.JSON400.Parameters) != "[newPassword]" {
			t.Errorf("a control character: %d %s", r.StatusCode(), r.Body)
		}
		if after := s.Snapshot(t); after != before {
			t.Errorf("a refused password has changed the database:\n%s\n\n%s", before, after)
		}
		p.want("log in", p.tryLogin(chosenPassword).StatusCode(), 200)
	})
}

// A stolen access token is not enough: guesses at the current password count as failed logins, and the limit applies to both.
func TestChangePasswordGuesses(t *testing.T) {
	t.Parallel()
	harness.EachEngine(t, func(t *testing.T, engine string) {
		s := harness.Start(t, binary, contract, engine, "AUTH_LIMITS=on", "AUTH_LIMIT_LOGIN_ACCOUNT=3/30m")
		p := newPerson(t, s).join(s.Invite(t, 1))
		p.login()
		statuses := make(map[int]int)
		for range 15 {
			r := p.api().ChangePassword(p.session.AccessToken, "not the password", chosenPassword)
			statuses[r.StatusCode()]++
			if r.StatusCode() == 403 && r.JSON403.Message != client.ChangeUserPasswordFailure403MessageWRONGPASSWORD {
				t.Errorf("403 %s", r.Body)
			}
		}
		if statuses[403] == 0 || statuses[429] == 0 || statuses[403]+statuses[429] != 15 {
			t.Errorf("fifteen guesses: %v", statuses)
		}
		p.want("log in at the limit", p.tryLogin("not the password").StatusCode(), 429)
		wantEvent(t, logLines(t, s), logLine{Event: "password.refused", Level: "INFO", Outcome: "failure", Reason: "wrong_password",
			AccountID: userID(t, p), SessionID: p.session.SessionID})
	})
}

// The tokens of an ended session, of a disabled user and of a deleted one get 401 from every operation on the account.
func TestAccountOfAnEndedSession(t *testing.T) {
	t.Parallel()
	harness.EachEngine(t, func(t *testing.T, engine string) {
		s := harness.Start(t, binary, contract, engine)
		for name, end := range map[string]func(p *person){
			"revoked":  func(p *person) { p.revoke(p.session.SessionID) },
			"disabled": func(p *person) { run(t, s, "user", "disable", p.email) },
			"deleted":  func(p *person) { run(t, s, "user", "delete", p.email) },
		} {
			p := newPerson(t, s).join(s.Invite(t, 1))
			p.login()
			end(p)
			p.want(name+": get the user", p.api().User(p.session.AccessToken).StatusCode(), 401)
			p.want(name+": change the password", p.api().ChangePassword(p.session.AccessToken, p.password, chosenPassword).StatusCode(), 401)
		}
	})
}

// The same password typed as other code points is the same password (NIST SP 800-63B-4 section 3.1.1.2).
func TestPasswordNormalization(t *testing.T) {
	t.Parallel()
	harness.EachEngine(t, func(t *testing.T, engine string) {
		s := harness.Start(t, binary, contract, engine)
		p := newPerson(t, s).join(s.Invite(t, 1))
		p.login()
		p.change("Zw\u00f6lf Boxk\u00e4mpfer jagen \u0439\u043e\u0433\u0430")
		decomposed := "Zwo\u0308lf Boxka\u0308mpfer jagen \u0438\u0306\u043e\u0433\u0430"
		p.want("log in with decomposed letters", p.tryLogin(decomposed).StatusCode(), 200)
		p.password = decomposed
		p.change(chosenPassword)
	})
}

// Of several simultaneous changes, one wins, and only its password and its session are left.
func TestRaceChangesOfThePassword(t *testing.T) {
	t.Parallel()
	harness.EachEngine(t, func(t *testing.T, engine string) {
		s := harness.Start(t, binary, contract, engine)
		p := newPerson(t, s).join(s.Invite(t, 1))
		for round := range roundsOn(engine) {
			sessions := []client.AccessTokenResponse{p.login(), p.login()}
			chosen := []string{fmt.Sprintf("%s %d", chosenPassword, round), fmt.Sprintf("%s %d", anotherPassword, round)}
			responses := concurrently(2, func(i int) *client.ChangeUserPasswordResponse {
				return p.api().ChangePassword(sessions[i].AccessToken, p.password, chosen[i])
			})
			winner := -1
			for i, r := range responses {
				switch r.StatusCode() {
				case 200:
					if winner >= 0 {
						t.Fatal("both changes succeeded")
					}
					winner = i
				case 401, 403: // its session was ended, or the password is another one
				default:
					t.Fatalf("status %d: %s", r.StatusCode(), r.Body)
				}
			}
			if winner < 0 {
				t.Fatalf("no change succeeded: %s, %s", responses[0].Body, responses[1].Body)
			}
			p.session, p.password = *responses[winner].JSON200, chosen[winner]
			if left := p.sessions(); len(left) != 1 || left[0].SessionID != p.session.SessionID {
				t.Fatalf("sessions after the change: %v", left)
			}
			p.want("log in with the password that lost", p.tryLogin(chosen[1-winner]).StatusCode(), 404)
		}
	})
}

// A login with the old password beside a change is refused, or its session is ended by the change.
func TestRaceLoginBesideAChange(t *testing.T) {
	t.Parallel()
	harness.EachEngine(t, func(t *testing.T, engine string) {
		s := harness.Start(t, binary, contract, engine)
		p := newPerson(t, s).join(s.Invite(t, 1))
		p.login()
		for round := range roundsOn(engine) {
			old, chosen := p.password, fmt.Sprintf("%s %d", chosenPassword, round)
			var beside *client.CreateAccessTokenResponse
			var all sync.WaitGroup
			all.Go(func() { beside = p.tryLogin(old) })
			p.change(chosen)
			all.Wait()
			switch beside.StatusCode() {
			case 404:
			case 200:
				p.want("refresh the session that began beside the change", p.tryRefresh(beside.JSON200.RefreshToken).StatusCode(), 404)
			default:
				t.Fatalf("login: %d %s", beside.StatusCode(), beside.Body)
			}
			if left := p.sessions(); len(left) != 1 {
				t.Fatalf("sessions after the change: %v", left)
			}
		}
	})
}

// run runs a command of the operator.
func run(t *testing.T, s *harness.Service, args ...string) {
	t.Helper()
	if out, err := s.Command(t.Context(), args...); err != nil {
		t.Fatalf("%v: %v\n%s", args, err, out)
	}
}

func userID(t *testing.T, p *person) string {
	t.Helper()
	r := p.api().User(p.session.AccessToken)
	wantStatus(t, "get the user", r.StatusCode(), 200)
	return r.JSON200.UserID
}
