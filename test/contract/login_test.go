package contract

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/financelime/authorization/api/client"
	"github.com/financelime/authorization/test/harness"
)

// TestLogins expects login notices according to the settings, and the limit of sessions per user.
func TestLogins(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		settings []string
		test     func(*testing.T, *harness.Service)
	}{
		"a notice of a login from a new device":       {[]string{"AUTH_TRUSTED_PROXIES=127.0.0.0/8"}, newDeviceNotice},
		"a notice of every login but the first":       {[]string{"AUTH_LOGIN_NOTICE=always"}, everyLoginNotice},
		"no notice of a login, but of a new password": {[]string{"AUTH_LOGIN_NOTICE=never"}, passwordNotice},
		"logins do not flood a mailbox":               {[]string{"AUTH_LOGIN_NOTICE=always"}, noticesBounded},
		"more sessions end the oldest":                {[]string{"AUTH_SESSIONS_PER_USER=3"}, oldestEnds},
		"concurrent logins leave no more sessions":    {[]string{"AUTH_SESSIONS_PER_USER=2", "AUTH_LOGIN_NOTICE=never"}, capUnderRace},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			harness.EachEngine(t, func(t *testing.T, engine string) {
				test.test(t, harness.Start(t, binary, contract, engine, test.settings...))
			})
		})
	}
}

// loginFrom logs in on a platform from a client IP.
func (p *person) loginFrom(platform, addr string) {
	p.t.Helper()
	r, err := p.s.API.CreateAccessTokenWithResponse(p.t.Context(), &client.CreateAccessTokenParams{RequestID: rid()},
		client.CreateAccessTokenRequest{Email: p.email, Password: p.password, ClientID: "test_v1", Device: device(platform)},
		func(_ context.Context, r *http.Request) error {
			r.Header.Set("X-Forwarded-For", addr)
			return nil
		})
	p.must(err)
	p.want("log in", r.StatusCode(), 200)
	p.session = *r.JSON200
}

// enqueued counts the mails of a kind that were enqueued for a person.
func (p *person) enqueued(kind string) int {
	p.t.Helper()
	return p.s.Count(p.t, "SELECT count(*) FROM mail WHERE kind = $1 AND account_id = (SELECT id FROM account WHERE email = $2)", kind, p.email)
}

func newDeviceNotice(t *testing.T, s *harness.Service) {
	p := newPerson(t, s).join(s.Invite(t, 1))
	notices := 0
	for _, c := range []struct {
		platform, addr string
		isNew          bool
	}{
		{"Linux x86_64", "203.0.113.5", false}, // the first of all
		{"Linux x86_64", "203.0.113.5", false},
		{"Linux x86_64", "203.0.7.7", false}, // the same /16
		{"Linux x86_64", "198.51.100.1", true},
		{"Linux x86_64", "198.51.100.1", false},
		{"iPhone", "203.0.113.5", true},
		{"", "203.0.113.5", true},
		{"iPhone", "2001:db8:1::1", true},
		{"iPhone", "2001:db8:2::1", false}, // the same /32
	} {
		p.loginFrom(c.platform, c.addr)
		if c.isNew {
			notices++
		}
		if n := p.enqueued("login_notice"); n != notices {
			t.Errorf("%q from %s: %d notices, want %d", c.platform, c.addr, n, notices)
		}
		p.revoke(p.session.SessionID) // a device remains known without a session
	}
	p.loginFrom("Click http://evil.example.com/\u202e now", "192.0.2.1")
	notice := s.WaitNotices(t, p.email, notices+1)[0]
	if !strings.Contains(notice.Text, "IP address: 192.0.2.1\n") || !strings.Contains(notice.Text, "Device (as reported): Click http evil example com now\n") ||
		!strings.Contains(notice.Text, " UTC\n") || !strings.Contains(notice.Text, "from a new device") || strings.Contains(notice.Text+notice.HTML, p.password) || strings.Contains(notice.HTML, "href") {
		t.Errorf("the notice: %s", notice.Text)
	}
}

func everyLoginNotice(t *testing.T, s *harness.Service) {
	p := newPerson(t, s).join(s.Invite(t, 1))
	for notices := range 3 {
		p.login()
		if n := p.enqueued("login_notice"); n != notices {
			t.Errorf("%d notices after %d logins", n, notices+1)
		}
	}
	if notice := s.WaitNotices(t, p.email, 2)[0]; strings.Contains(notice.Text, "new device") {
		t.Errorf("the device is not new: %s", notice.Text)
	}
	p.want("a wrong password", p.tryLogin("wrong").StatusCode(), 404)
	if n := p.enqueued("login_notice"); n != 2 {
		t.Error("a notice of a failed login")
	}
}

// passwordNotice expects one notice of a completed reset, whatever the setting, instead of the login notice (ASVS 6.3.7).
func passwordNotice(t *testing.T, s *harness.Service) {
	p := newPerson(t, s).join(s.Invite(t, 1))
	p.login()
	p.login()
	first := p.session
	p.want("reset", p.resetPassword().StatusCode(), 204)
	p.want("the link", p.open(p.mail().Link(t)).StatusCode, 200)
	old := p.password
	p.password = p.mail().Password(t)
	if n := p.enqueued("password_notice"); n != 0 {
		t.Error("notified before the password was used")
	}
	statuses := count(concurrently(4, func(int) int { return p.tryLogin(p.password).StatusCode() }))
	p.login()
	if statuses[200] != 4 || p.enqueued("password_notice") != 1 || p.enqueued("login_notice") != 0 {
		t.Errorf("logins %v; %d notices of the password, %d of logins", statuses, p.enqueued("password_notice"), p.enqueued("login_notice"))
	}
	notice := s.WaitNotices(t, p.email, 1)[0]
	if !strings.Contains(notice.Subject, "was changed") || strings.Contains(notice.Text, p.password) || strings.Contains(notice.Text, old) {
		t.Errorf("the notice: %s\n%s", notice.Subject, notice.Text)
	}
	p.want("a session of before", p.tryRefresh(first.RefreshToken).StatusCode(), 404)
	p.want("the old password", p.tryLogin(old).StatusCode(), 404)
}

func noticesBounded(t *testing.T, s *harness.Service) {
	p := newPerson(t, s).join(s.Invite(t, 1))
	for range 13 {
		p.login()
	}
	if n := p.enqueued("login_notice"); n != 10 {
		t.Errorf("%d notices of 13 logins", n)
	}
}

func oldestEnds(t *testing.T, s *harness.Service) {
	p := newPerson(t, s).join(s.Invite(t, 1))
	var tokens []client.AccessTokenResponse
	for range 3 {
		tokens = append(tokens, p.login())
	}
	r := p.tryRefresh(tokens[0].RefreshToken) // now the second was refreshed longest ago
	p.want("refresh", r.StatusCode(), 200)
	p.login()
	p.want("the one that was refreshed longest ago", p.tryRefresh(tokens[1].RefreshToken).StatusCode(), 404)
	p.want("the one that was refreshed", p.tryRefresh(r.JSON200.RefreshToken).StatusCode(), 200)
	p.want("the third", p.tryRefresh(tokens[2].RefreshToken).StatusCode(), 200)
	if n := len(p.sessions()); n != 3 {
		t.Errorf("%d sessions", n)
	}
}

func capUnderRace(t *testing.T, s *harness.Service) {
	p := newPerson(t, s).join(s.Invite(t, 1))
	for range 3 {
		if statuses := count(concurrently(5, func(int) int { return p.tryLogin(p.password).StatusCode() })); statuses[200] != 5 {
			t.Errorf("5 logins at the same time: %v", statuses)
		}
		if n := s.Count(t, "SELECT count(*) FROM session"); n != 2 {
			t.Errorf("%d sessions", n)
		}
	}
}
