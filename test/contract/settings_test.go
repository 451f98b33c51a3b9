package contract

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/financelime/authorization/api/client"
	"github.com/financelime/authorization/test/harness"
)

// TestSettings tests decisions that need other settings: short lifetimes, no invites, known clients, trusted proxies.
func TestSettings(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name     string
		settings []string
		test     func(*testing.T, *harness.Service)
	}{
		{"an expired sign-up releases its use and its address", []string{"AUTH_SIGNUP_LINK_TTL=2s"}, expiredSignUp},
		{"invites are optional", []string{"AUTH_INVITE_CODE_REQUIRED=false"}, optionalInvites},
		{"a replay after the grace ends the session", []string{"AUTH_REFRESH_GRACE=1s"}, replayAfterGrace},
		{"without a grace every replay ends the session", []string{"AUTH_REFRESH_GRACE=0s"}, replayWithoutGrace},
		{"an access token expires", []string{"AUTH_ACCESS_TOKEN_TTL=1s"}, expiredAccessToken},
		{"an expired refresh token is 400", []string{"AUTH_REFRESH_TOKEN_TTL=2s"}, expiredRefreshToken},
		{"a session past its greatest age is 404", []string{"AUTH_SESSION_MAX_AGE=2s"}, agedSession},
		{"an unused mailed password expires", []string{"AUTH_MAILED_PASSWORD_TTL=2s"}, expiredMailedPassword},
		{"a reset link expires", []string{"AUTH_PASSWORD_LINK_TTL=2s"}, expiredResetLink},
		{"a deletion can be undone until the grace ends", []string{"AUTH_DELETION_GRACE=5s"}, endedGrace},
		{"only known clients log in", []string{"AUTH_CLIENT_IDS=other_v1,web_v2"}, knownClients},
		{"trusted proxies set the client IP", []string{"AUTH_TRUSTED_PROXIES=127.0.0.0/8,10.0.0.1"}, trustedProxies},
		{"other peers do not set the client IP", nil, untrustedProxies},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			harness.EachEngine(t, func(t *testing.T, engine string) {
				test.test(t, harness.Start(t, binary, contract, engine, test.settings...))
			})
		})
	}
}

func expiredSignUp(t *testing.T, s *harness.Service) {
	code := s.Invite(t, 1)
	late, next := newPerson(t, s), newPerson(t, s)
	late.want("sign up", late.signUp(code).StatusCode(), 204)
	next.want("sign up while the use is held", next.signUp(code).StatusCode(), 409)
	link := late.mail().Link(t)
	eventually(t, "the use is free again", func() bool { return next.signUp(code).StatusCode() == 204 })
	late.want("the expired link", late.open(link).StatusCode, 404)
	late.want("reset of an expired sign-up", late.resetPassword().StatusCode(), 404)
	if r := late.signUp(code); r.StatusCode() != 409 || r.JSON409.Message != client.SignUpFailure409MessageINVITEHASENDED {
		t.Errorf("the address is free again, the invite is not: %s", r.Body)
	}
	late.want("sign up anew", late.signUp(s.Invite(t, 1)).StatusCode(), 204)
	late.want("the new link", late.open(late.mail().Link(t)).StatusCode, 200)
}

func optionalInvites(t *testing.T, s *harness.Service) {
	newPerson(t, s).join("").login()
	p := newPerson(t, s)
	if r := p.signUp("no-such-code"); r.StatusCode() != 404 {
		t.Errorf("an unknown code: %d", r.StatusCode())
	}
	code := s.Invite(t, 1)
	newPerson(t, s).join(code)
	newPerson(t, s).join(code) // its uses are consumed, but it is not needed
	if n := s.Count(t, "SELECT uses FROM invite"); n != 1 {
		t.Errorf("the invite counts %d uses, want 1", n)
	}
}

func replayAfterGrace(t *testing.T, s *harness.Service) {
	p := newPerson(t, s).join(s.Invite(t, 1))
	first := p.login()
	second := p.refresh()
	eventually(t, "the grace is over", func() bool { return p.tryRefresh(first.RefreshToken).StatusCode() == 404 })
	p.want("the current token after a replay", p.tryRefresh(second.RefreshToken).StatusCode(), 404)
	if !strings.Contains(s.Log(), "session.reuse_detected") {
		t.Error("no session.reuse_detected in the log")
	}
}

func replayWithoutGrace(t *testing.T, s *harness.Service) {
	p := newPerson(t, s).join(s.Invite(t, 1))
	first := p.login()
	second := p.refresh()
	p.want("the used-up token", p.tryRefresh(first.RefreshToken).StatusCode(), 404)
	p.want("the current token after a replay", p.tryRefresh(second.RefreshToken).StatusCode(), 404)
}

func expiredAccessToken(t *testing.T, s *harness.Service) {
	p := newPerson(t, s).join(s.Invite(t, 1))
	p.login()
	header := http.Header{"Request-Id": {rid()}, "Authorization": {p.session.AccessToken}}
	eventually(t, "the access token has expired", func() bool {
		response, _ := send(t, s, http.MethodGet, "/v1/session/list", header, "")
		return response.StatusCode == 401
	})
	p.refresh()
	p.sessions()
}

func expiredRefreshToken(t *testing.T, s *harness.Service) {
	p := newPerson(t, s).join(s.Invite(t, 1))
	p.login()
	first := p.refresh()
	eventually(t, "no session is listed any more", func() bool { return len(p.sessions()) == 0 })
	eventually(t, "the refresh token has expired", func() bool { return p.tryRefresh(first.RefreshToken).StatusCode() == 400 })
}

func agedSession(t *testing.T, s *harness.Service) {
	p := newPerson(t, s).join(s.Invite(t, 1))
	p.login()
	eventually(t, "the session is too old, however often it is refreshed", func() bool {
		r := p.tryRefresh(p.session.RefreshToken)
		if r.StatusCode() == 200 {
			p.session = *r.JSON200
		}
		return r.StatusCode() == 404
	})
	if n := len(p.sessions()); n != 0 {
		t.Errorf("%d sessions are listed", n)
	}
}

func expiredMailedPassword(t *testing.T, s *harness.Service) {
	p := newPerson(t, s).join(s.Invite(t, 1))
	// A login would consume the password, so the test first reads from the database whether it has expired.
	eventually(t, "the password has expired", func() bool {
		var until time.Time
		if s.DatabaseURL[:6] == "sqlite" {
			return s.Count(t, "SELECT count(*) FROM account WHERE pending_password_expires_at < $1", time.Now().UnixMicro()) == 1
		}
		if err := s.DB(t).QueryRowContext(t.Context(), "SELECT pending_password_expires_at FROM account").Scan(&until); err != nil {
			return false // not accepted yet
		}
		return until.Before(time.Now())
	})
	p.want("the expired password", p.tryLogin(p.password).StatusCode(), 404)
	p.want("reset", p.resetPassword().StatusCode(), 204)
	p.want("the reset link", p.open(p.mail().Link(t)).StatusCode, 200)
	p.password = p.mail().Password(t)
	p.login()
	used := time.Now()
	eventually(t, "a used password stays valid after AUTH_MAILED_PASSWORD_TTL", func() bool {
		p.login()
		return time.Since(used) > 3*time.Second
	})
}

func expiredResetLink(t *testing.T, s *harness.Service) {
	p := newPerson(t, s).join(s.Invite(t, 1))
	p.login()
	p.want("reset", p.resetPassword().StatusCode(), 204)
	link := p.mail().Link(t)
	if s.DatabaseURL[:6] == "sqlite" {
		eventually(t, "the link has expired", func() bool {
			return s.Count(t, "SELECT count(*) FROM confirmation WHERE expires_at < $1", time.Now().UnixMicro()) == 1
		})
	} else {
		eventually(t, "the link has expired", func() bool {
			return s.Count(t, "SELECT count(*) FROM confirmation WHERE expires_at < $1", time.Now()) == 1
		})
	}
	p.want("the expired link", p.open(link).StatusCode, 404)
	p.want("the password is as before", p.tryLogin(p.password).StatusCode(), 200)
}

func knownClients(t *testing.T, s *harness.Service) {
	p := newPerson(t, s).join(s.Invite(t, 1))
	if r := p.tryLogin(p.password); r.StatusCode() != 400 || r.JSON400.Message != client.CreateAccessTokenFailure400MessageBADPARAMETERS {
		t.Errorf("an unknown client: %d %s", r.StatusCode(), r.Body)
	}
	r, err := s.API.CreateAccessTokenWithResponse(t.Context(), &client.CreateAccessTokenParams{RequestID: rid()},
		client.CreateAccessTokenRequest{Email: p.email, Password: p.password, ClientID: "web_v2"})
	p.must(err)
	p.want("a known client", r.StatusCode(), 200)
}

// sessionClientIP logs in with forwarding headers and returns the client IP of the session.
func sessionClientIP(t *testing.T, s *harness.Service, p *person, forwarded ...string) string {
	t.Helper()
	header := jsonHeader()
	header["X-Forwarded-For"] = forwarded
	header.Set("X-Real-Ip", "192.0.2.99")
	header.Set("Forwarded", "for=192.0.2.98")
	body := fmt.Sprintf(`{"email":%q,"password":%q,"clientID":"c","device":{}}`, p.email, p.password)
	response, _ := send(t, s, http.MethodPost, "/v1/oauth/create", header, body)
	wantStatus(t, "log in", response.StatusCode, 200)
	p.login()
	for _, session := range p.sessions() {
		if session.ClientID == "c" {
			p.revoke(session.SessionID)
			return session.RemoteAddr
		}
	}
	t.Fatal("the session is not listed")
	return ""
}

func trustedProxies(t *testing.T, s *harness.Service) {
	p := newPerson(t, s).join(s.Invite(t, 1))
	for _, c := range []struct {
		forwarded []string
		want      string
	}{
		{[]string{"203.0.113.7"}, "203.0.113.7"},
		{[]string{"198.51.100.1, 203.0.113.7"}, "203.0.113.7"},             // only the last hop is trusted
		{[]string{"198.51.100.1", "203.0.113.7, 10.0.0.1"}, "203.0.113.7"}, // trusted hops are skipped
		{[]string{"::ffff:203.0.113.8"}, "203.0.113.8"},
		{[]string{"[2001:DB8::1]"}, "2001:db8::1"},
		{[]string{"203.0.113.5:51234"}, "203.0.113.5"},
		{[]string{"[2001:db8::1]:443"}, "2001:db8::1"},
		{[]string{`"[2001:db8::1]"`}, "2001:db8::1"},
		{[]string{"unknown, 203.0.113.7"}, "203.0.113.7"}, // whatever the client writes to the left of it
		{[]string{"203.0.113.7, , 10.0.0.1:9,"}, "203.0.113.7"},
		{[]string{"203.0.113.7, unknown"}, "127.0.0.1"},
		{nil, "127.0.0.1"},
	} {
		if got := sessionClientIP(t, s, p, c.forwarded...); got != c.want {
			t.Errorf("X-Forwarded-For %q: client IP %s, want %s", c.forwarded, got, c.want)
		}
	}
}

func untrustedProxies(t *testing.T, s *harness.Service) {
	p := newPerson(t, s).join(s.Invite(t, 1))
	if got := sessionClientIP(t, s, p, "203.0.113.7"); got != "127.0.0.1" {
		t.Errorf("the X-Forwarded-For of an untrusted peer was used as the client IP: %s", got)
	}
}

// TestWrongSettings expects the start to fail with one sentence that names the wrong setting.
func TestWrongSettings(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, content := range map[string]string{"weak": "hunter2\n", "empty": "\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct{ names, setting string }{
		{"AUTH_HTTP_ADDR", "AUTH_HTTP_ADDR=nowhere:none"},
		{"AUTH_ADMIN_ADDR", "AUTH_ADMIN_ADDR=127.0.0.1:99999"},
		{"AUTH_ADMIN_ADDR", "AUTH_ADMIN_ADDR="},
		{"AUTH_ADMIN_ADDR", "AUTH_ADMIN_ADDR=127.0.0.1:"},
		{"AUTH_HTTP_ADDR", "AUTH_HTTP_ADDR="},
		{"AUTH_DATABASE_URL", "AUTH_DATABASE_URL="},
		{"AUTH_CLIENT_IDS", "AUTH_CLIENT_IDS=web,,ios"},
		{"AUTH_PASSWORD_MIN_LENGTH", "AUTH_PASSWORD_MIN_LENGTH=7"},
		{"AUTH_PASSWORD_MIN_LENGTH", "AUTH_PASSWORD_MIN_LENGTH=65"},
		{"AUTH_PASSWORD_BLOCKLIST", "AUTH_PASSWORD_BLOCKLIST=" + filepath.Join(dir, "weak")},
		{"AUTH_PASSWORD_BLOCKLIST", "AUTH_PASSWORD_BLOCKLIST=" + filepath.Join(dir, "missing")},
		{"AUTH_TOKEN_ISSUER", "AUTH_TOKEN_ISSUER=https://auth.example.com\x07"},
		{"AUTH_CORS_ORIGINS", "AUTH_CORS_ORIGINS=null"},
		{"AUTH_PASSKEY_RP_ID", "AUTH_PASSKEY_RP_ID=127.0.0.1"},
		{"AUTH_PASSKEY_RP_ID", "AUTH_PASSKEY_RP_ID=com"},
		{"AUTH_PASSKEY_RP_ID", "AUTH_PASSKEY_RP_ID=Localhost"},
		{"AUTH_PASSKEY_RP_ID", "AUTH_PASSKEY_RP_ID=https://example.com"},
		{"AUTH_PASSKEY_RP_ID", "AUTH_PASSKEY_RP_ID=example.com AUTH_PUBLIC_URL=https://auth.notexample.com"},
		{"AUTH_PASSKEY_ORIGINS", "AUTH_PASSKEY_ORIGINS=https://app.example.com AUTH_PUBLIC_URL=https://auth.example.com"},
		{"AUTH_PASSKEY_ORIGINS", "AUTH_PASSKEY_ORIGINS=http://auth.example.com AUTH_PUBLIC_URL=https://auth.example.com"},
		{"AUTH_PASSKEY_ORIGINS", "AUTH_PASSKEY_ORIGINS=https://auth.example.com/ AUTH_PUBLIC_URL=https://auth.example.com"},
		{"AUTH_PASSKEY_ORIGINS", "AUTH_PASSKEY_ORIGINS=null"},
		{"AUTH_PASSKEY_ORIGINS", "AUTH_PASSKEY_ORIGINS=android:x"},
		{"AUTH_PASSKEY_ORIGINS", "AUTH_PASSKEY_ORIGINS=android:apk-key-hash:x"},
		{"AUTH_PASSKEY_ORIGINS", "AUTH_PASSKEY_ORIGINS=https://auth.example.com AUTH_PUBLIC_URL=http://127.0.0.1:8080"},
		{"AUTH_PUBLIC_URL", "AUTH_PUBLIC_URL=auth.example.com"},
		{"AUTH_PUBLIC_URL", "AUTH_PUBLIC_URL=https://auth.example.com/?x=1"},
		{"AUTH_TRUSTED_PROXIES", "AUTH_TRUSTED_PROXIES=everybody"},
		{"AUTH_DATABASE_URL", "AUTH_DATABASE_URL=mysql://localhost/auth"},
		{"AUTH_DATABASE_URL", "AUTH_DATABASE_URL=postgres://user:hunter2@127.0.0.1:1/auth?sslmode=disable&connect_timeout=2 AUTH_SECRET=q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA="},
		{"AUTH_SECRET", "AUTH_DATABASE_URL=postgres://127.0.0.1:1/auth"},
		{"AUTH_SECRET", "AUTH_SECRET=hunter2"},
		{"AUTH_SECRET", "AUTH_SECRET=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="},
		{"AUTH_SECRET", "AUTH_SECRET_FILE=" + filepath.Join(dir, "weak")},
		{"AUTH_SECRET_FILE", "AUTH_SECRET_FILE=" + filepath.Join(dir, "missing")},
		{"AUTH_SECRET_FILE", "AUTH_SECRET=x AUTH_SECRET_FILE=" + filepath.Join(dir, "weak")},
		{"AUTH_SECRET", "AUTH_SECRET_FILE=" + filepath.Join(dir, "empty")},
		{"AUTH_SECRET_PREVIOUS", "AUTH_SECRET_PREVIOUS=hunter2"},
		{"AUTH_SECRET_PREVIOUS", "AUTH_SECRET_PREVIOUS_FILE=" + filepath.Join(dir, "empty")},
		{"AUTH_SECRET_PREVIOUS_FILE", "AUTH_SECRET_PREVIOUS_FILE=" + filepath.Join(dir, "missing")},
		{"AUTH_SECRET_PREVIOUS", "AUTH_SECRET=q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA= AUTH_SECRET_PREVIOUS=q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA"},
		{"AUTH_JWKS_MAX_AGE", "AUTH_JWKS_MAX_AGE=1ms"},
		{"AUTH_SIGNING_KEY_LIFE", "AUTH_SIGNING_KEY_LIFE=0s"},
		{"AUTH_MAIL_URL", "AUTH_MAIL_URL=http://localhost"},
		{"AUTH_MAIL_URL", "AUTH_MAIL_URL=smtp://user:hunter2@mail.example.com:587?tls=none"},
		{"AUTH_MAIL_FROM", "AUTH_MAIL_FROM=nobody"},
		{"AUTH_MAIL_TIMEOUT", "AUTH_MAIL_TIMEOUT=soon"},
		{"AUTH_INVITE_CODE_REQUIRED", "AUTH_INVITE_CODE_REQUIRED=maybe"},
		{"AUTH_ACCESS_TOKEN_TTL", "AUTH_ACCESS_TOKEN_TTL=0s"},
		{"AUTH_REFRESH_TOKEN_TTL", "AUTH_REFRESH_TOKEN_TTL=-1h"},
		{"AUTH_SESSION_MAX_AGE", "AUTH_SESSION_MAX_AGE=1"},
		{"AUTH_REFRESH_GRACE", "AUTH_REFRESH_GRACE=6m"},
		{"AUTH_SIGNUP_LINK_TTL", "AUTH_SIGNUP_LINK_TTL=9999h"},
		{"AUTH_PASSWORD_LINK_TTL", "AUTH_PASSWORD_LINK_TTL=25h"},
		{"AUTH_SIGNING_ALG", "AUTH_SIGNING_ALG=HS256"},
		{"AUTH_LOG_FORMAT", "AUTH_LOG_FORMAT=xml"},
		{"AUTH_LOG_LEVEL", "AUTH_LOG_LEVEL=loud"},
	} {
		t.Run(c.setting, func(t *testing.T) {
			t.Parallel()
			cmd := exec.CommandContext(t.Context(), binary)
			cmd.Dir = t.TempDir()
			cmd.Env = append([]string{harness.RaceOptions, "AUTH_HTTP_ADDR=127.0.0.1:0", "AUTH_ADMIN_ADDR=127.0.0.1:0"}, strings.Fields(c.setting)...)
			out, err := cmd.CombinedOutput()
			if err == nil || cmd.ProcessState.ExitCode() != 1 {
				t.Errorf("exit status %d, want 1", cmd.ProcessState.ExitCode())
			}
			last := strings.TrimSpace(lastLine(string(out)))
			if !strings.HasPrefix(last, "financelime-auth: ") || !strings.Contains(last, c.names) {
				t.Errorf("output:\n%s", out)
			}
			if strings.Contains(string(out), "hunter2") {
				t.Errorf("the output contains a secret:\n%s", out)
			}
		})
	}
}

func lastLine(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return lines[len(lines)-1]
}
