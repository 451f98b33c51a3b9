package contract

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/financelime/authorization/api/client"
	"github.com/financelime/authorization/test/harness"
)

// The export contains what the service stores about the user, and nothing that can be used to act as them. The operator's command prints the
// same.
func TestExportUserData(t *testing.T) {
	t.Parallel()
	harness.EachEngine(t, func(t *testing.T, engine string) {
		s := harness.Start(t, binary, contract, engine, "AUTH_LIMITS=on", "AUTH_LOGIN_NOTICE=always")
		o := operator{t, s}
		code := s.Invite(t, 2)
		p, stranger := newPerson(t, s).join(code), newPerson(t, s).join(code)
		stranger.login()
		p.login()
		p.change(chosenPassword)
		p.login()
		o.run("user", "disable", p.email)
		o.run("user", "enable", p.email)
		p.login()
		other := p.session
		p.login()
		p.want("reset", p.resetPassword().StatusCode(), 204)
		link := p.mail().Link(t)
		p.want("a wrong password", p.tryLogin("wrong").StatusCode(), 404)
		eventually(t, "no mail is waiting", func() bool { return s.Count(t, "SELECT count(*) FROM mail WHERE sent_at IS NULL") == 0 })

		r := p.api().ExportUser(p.session.AccessToken)
		p.want("export", r.StatusCode(), 200)
		e := *r.JSON200
		if e.User.Email != p.email || e.User.UserID != userID(t, p) || !e.User.PasswordChosen || e.PasswordChosenAt == nil || e.LastLoginAt == nil ||
			e.InviteID == nil || e.DisabledAt != nil || e.ClosingUntil != nil {
			t.Errorf("the account: %+v", e)
		}
		if len(e.Sessions) != 2 || e.Sessions[0].SessionID != p.session.SessionID || !e.Sessions[0].Current || e.Sessions[1].SessionID != other.SessionID ||
			e.Sessions[1].Current || e.Sessions[1].Platform != "Linux x86_64" || e.Sessions[1].RemoteAddr != "127.0.0.1" {
			t.Errorf("sessions: %+v", e.Sessions)
		}
		if len(e.Devices) != 1 || len(e.Links) != 1 || e.Links[0].Purpose != "password" {
			t.Errorf("devices %+v, links %+v", e.Devices, e.Links)
		}
		if len(e.FailedLogins) == 0 || e.FailedLogins[0].Failures != 1 {
			t.Errorf("failed logins: %+v", e.FailedLogins)
		}
		if len(e.OperatorActions) != 2 || e.OperatorActions[0].Action != "user.enabled" || e.OperatorActions[1].Action != "user.disabled" {
			t.Errorf("actions: %+v", e.OperatorActions)
		}
		stored := s.Count(t, "SELECT count(*) FROM mail JOIN account ON account.id = account_id WHERE email = $1", p.email)
		if len(e.Emails) != stored || stored < 5 || e.Emails[0].Kind != "password_link" || e.Emails[0].SentAt == nil {
			t.Errorf("%d emails of %d: %+v", len(e.Emails), stored, e.Emails)
		}
		for _, secret := range []string{p.password, chosenPassword, strings.TrimPrefix(link.Path, "/u/"), p.session.RefreshToken, stranger.email, "argon2", "olga"} {
			if strings.Contains(string(r.Body), secret) {
				t.Errorf("the export contains %q: %s", secret, r.Body)
			}
		}
		wantEvent(t, logLines(t, s), logLine{Event: "user.exported", Level: "INFO", Outcome: "success", AccountID: e.User.UserID, SessionID: p.session.SessionID})

		out, stderr := o.run("user", "export", strings.ToUpper(p.email))
		var printed client.UserExport
		if err := json.Unmarshal([]byte(out), &printed); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		printed.ExportedAt, e.Sessions[0].Current = e.ExportedAt, false
		if !reflect.DeepEqual(printed, e) {
			t.Errorf("the command prints\n%+v\nthe operation returns\n%+v", printed, e)
		}
		if !strings.Contains(stderr, "user.exported") || strings.Contains(stderr, "@") || auditEvents(t, s)[0] != fmt.Sprintf("olga user.exported %s ", e.User.UserID) {
			t.Errorf("the event of the command: %s, %q", stderr, auditEvents(t, s)[0])
		}

		// Of a user who cannot ask for it, the command also prints why.
		p.leave()
		out, _ = o.run("user", "export", p.email)
		if !strings.Contains(out, `"closingUntil": "20`) || !strings.Contains(out, `"disabledAt": "20`) || !strings.Contains(out, `"sessions": []`) {
			t.Errorf("the export of a closing user: %s", out)
		}
		o.refused("there is no such user", "user", "export", "nobody@example.org")
	})
}

// A user gets five exports a day. The limit is that of the account, not of a session.
func TestExportLimit(t *testing.T) {
	t.Parallel()
	harness.EachEngine(t, func(t *testing.T, engine string) {
		s := harness.Start(t, binary, contract, engine, "AUTH_LIMITS=on")
		code := s.Invite(t, 2)
		p, other := newPerson(t, s).join(code), newPerson(t, s).join(code)
		other.login()
		sessions := []client.AccessTokenResponse{p.login(), p.login()}
		responses := concurrently(10, func(i int) *client.ExportUserDataResponse { return p.api().ExportUser(sessions[i%2].AccessToken) })
		statuses := make(map[int]int)
		for _, r := range responses {
			statuses[r.StatusCode()]++
			if r.StatusCode() == 429 && !strings.HasPrefix(r.HTTPResponse.Header.Get("RateLimit-Policy"), `"export-account";q=5;w=86400`) {
				t.Errorf("RateLimit-Policy: %s", r.HTTPResponse.Header.Get("RateLimit-Policy"))
			}
		}
		if statuses[200] != 5 || statuses[429] != 5 {
			t.Errorf("ten exports: %v", statuses)
		}
		other.want("export of another user", other.api().ExportUser(other.session.AccessToken).StatusCode(), 200)
	})
}
