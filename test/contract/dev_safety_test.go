package contract

import (
	"net/http"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/financelime/authorization/test/harness"
)

// TestExamplesWithoutDev sends the example of every operation to a service without --dev: those that need a token, a user, a link or an invite
// are refused, and nothing is written. No response has the header of --dev, and pages of localhost are refused.
func TestExamplesWithoutDev(t *testing.T) {
	t.Parallel()
	harness.EachEngine(t, func(t *testing.T, engine string) {
		s := harness.Start(t, binary, contract, engine, "AUTH_PUBLIC_URL=http://localhost:8080", "AUTH_DEV=false")
		refused := map[string]int{
			"signup": 404, "user_password_reset": 404, "confirm_user_email": 404, "open_link": 404, "use_link": 404, "create_access_token": 404, "create_access_token_by_second_factor": 404, "refresh_access_token": 400,
			"verify_access_token": 401, "get_user": 401, "change_user_password": 401, "revoke_other_sessions": 401,
			"request_email_change": 401, "cancel_email_change": 401,
			"delete_user": 401, "export_user_data": 401,
			"begin_totp": 401, "confirm_totp": 401, "remove_totp": 401, "turn_on_second_factor": 401, "turn_off_second_factor": 401, "renew_recovery_codes": 401,
			"list_passkeys": 401, "begin_passkey": 401, "add_passkey": 401, "rename_passkey": 401, "remove_passkey": 401, "create_access_token_by_passkey": 404,
			"get_list_active_sessions": 401, "revoke_refresh_token": 401, "revoke_session": 401, "step_up_session": 401,
		}
		for _, e := range exampleRequests(t) {
			want := e.success
			if status, is := refused[e.operation]; is {
				want = status
				delete(refused, e.operation)
			}
			e.header.Set("origin", "http://localhost:3000")
			response, body := e.send(t, s)
			if response.StatusCode != want {
				t.Errorf("the example of %s: %d, want %d: %s", e.operation, response.StatusCode, want, body)
			}
			for _, name := range []string{"x-dev", "access-control-allow-origin"} {
				if got, has := response.Header[http.CanonicalHeaderKey(name)]; has {
					t.Errorf("the example of %s: %s is %q", e.operation, name, got)
				}
			}
		}
		if len(refused) > 0 {
			t.Errorf("not sent: %v", refused)
		}
		for _, table := range []string{"account", "invite", "session", "mail", "audit_event"} {
			if n := s.Count(t, "SELECT count(*) FROM "+table); n != 0 {
				t.Errorf("%d rows of %s", n, table)
			}
		}
		if strings.Contains(s.Log(), "service.dev") {
			t.Error("the log says that it is a service with --dev")
		}
	})
}

// startFails runs the service, which must end by itself, and returns what it printed.
func startFails(t *testing.T, s *harness.Service, env ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), s.Binary)
	cmd.Dir, cmd.Env = s.Dir, slices.Concat(s.Env, env)
	out, err := cmd.CombinedOutput()
	if err == nil {
		t.Errorf("%v: the service started", env)
	}
	return string(out)
}

// TestDevDatabases expects a database to be either for --dev or not: each kind of service refuses the other's database and changes nothing in it,
// and a copy of a database of --dev is one too.
func TestDevDatabases(t *testing.T) {
	t.Parallel()
	harness.EachEngine(t, func(t *testing.T, engine string) {
		const used = "the database was not created by serve --dev"
		plain := harness.Start(t, binary, contract, engine, "AUTH_PUBLIC_URL=http://localhost:8080")
		plain.Stop(t)
		before := plain.Snapshot(t)
		if out := startFails(t, plain, "AUTH_DEV=true"); !strings.Contains(out, used) {
			t.Errorf("--dev with a database that another service has used: %s", out)
		}
		if after := plain.Snapshot(t); after != before {
			t.Errorf("--dev has changed the database from\n%s\nto\n%s", before, after)
		}
		plain.Run(t)

		invited := harness.New(t, binary, contract, engine, "AUTH_PUBLIC_URL=http://localhost:8080")
		for _, command := range [][]string{{"migrate"}, {"invite", "create"}} {
			if _, err := invited.Command(t.Context(), command...); err != nil {
				t.Fatal(err)
			}
		}
		if out := startFails(t, invited, "AUTH_DEV=true"); !strings.Contains(out, used) {
			t.Errorf("--dev with a database that has an invite: %s", out)
		}

		dev := harness.Start(t, binary, contract, engine, devSettings()...)
		dev.Stop(t)
		before = dev.Snapshot(t)
		const claimed = "the database was created by serve --dev"
		if out := startFails(t, dev, "AUTH_DEV=false", "AUTH_PUBLIC_URL=https://auth.example.com"); !strings.Contains(out, claimed) {
			t.Errorf("a service with a database of --dev: %s", out)
		}
		if after := dev.Snapshot(t); after != before {
			t.Errorf("the service has changed the database of --dev from\n%s\nto\n%s", before, after)
		}
		if engine == harness.SQLite {
			copied := filepath.Join(dev.Dir, "copy.db")
			if _, err := dev.Command(t.Context(), "backup", copied); err != nil {
				t.Fatal(err)
			}
			if out := startFails(t, dev, "AUTH_DEV=false", "AUTH_DATABASE_URL=sqlite:"+copied, "AUTH_SECRET="+dev.Secret(t)); !strings.Contains(out, claimed) {
				t.Errorf("a service with a copy of a database of --dev: %s", out)
			}
		}
		dev.Run(t)
	})
}

// TestDevRefusals expects a service with --dev to start only where no other machine reaches it, and to write nothing otherwise.
func TestDevRefusals(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		env  []string
		want string // the setting that the error names
	}{
		{[]string{"AUTH_PUBLIC_URL=https://auth.example.com"}, "AUTH_PUBLIC_URL"},
		{[]string{"AUTH_PUBLIC_URL=https://auth.example.com", "AUTH_DEV_EXPOSE=true"}, "AUTH_PUBLIC_URL"},
		{[]string{"AUTH_HTTP_ADDR=:0"}, "AUTH_HTTP_ADDR"},
		{[]string{"AUTH_ADMIN_ADDR=0.0.0.0:0"}, "AUTH_ADMIN_ADDR"},
		{[]string{"AUTH_MAIL_URL=smtp://smtp.example.com"}, "AUTH_MAIL_URL"},
		{[]string{"AUTH_DEV=false", "AUTH_DEV_EXPOSE=true"}, "AUTH_DEV_EXPOSE"},
		{[]string{"AUTH_DEV=production"}, "AUTH_DEV"},
		{[]string{"AUTH_DEV="}, "AUTH_DEV"},
		{[]string{"AUTH_DEV=true", "AUTH_DEV_EXPOSE=maybe"}, "AUTH_DEV_EXPOSE"},
	} {
		s := harness.New(t, binary, contract, harness.SQLite, devSettings()...)
		if out := startFails(t, s, c.env...); !strings.HasPrefix(out, "financelime-auth: "+c.want+":") && !strings.HasPrefix(out, "financelime-auth: "+c.want+" ") {
			t.Errorf("%v: %s", c.env, out)
		}
		if found, err := filepath.Glob(filepath.Join(s.Dir, "*")); err != nil || len(found) > 0 {
			t.Errorf("%v: the service has created %v, %v", c.env, found, err)
		}
	}
}

// TestDevExposed expects a service with AUTH_DEV_EXPOSE to listen on all addresses.
func TestDevExposed(t *testing.T) {
	t.Parallel()
	s := harness.Start(t, binary, contract, harness.SQLite, devSettings("AUTH_DEV_EXPOSE=true", "AUTH_HTTP_ADDR=:0", "AUTH_CORS_ORIGINS=https://app.example.com")...)
	if !strings.Contains(s.Log(), "service.dev") {
		t.Error("the log does not say that this is a service with --dev")
	}
	s.URL = strings.Replace(s.URL, "[::]", "127.0.0.1", 1)
	for origin, allowed := range map[string]bool{
		"http://localhost:3000": true, "http://localhost": true, "http://127.0.0.1:5173": true, "http://[::1]:8000": true, "https://app.example.com": true,
		"https://localhost:3000": false, "http://localhost.evil.com": false, "http://localhost:80@evil.com": false, "http://evil.com:80": false,
		"http://127.0.0.1.evil.com": false, "http://192.168.0.7:3000": false, "null": false, "http://localhost:3000, null": false,
	} {
		response, _ := harness.Send(t, s.HTTP, http.MethodGet, s.URL+"/v1/version", http.Header{"request-id": {"dev-origin"}, "origin": {origin}}, "")
		want := ""
		if allowed {
			want = origin
		}
		if got := response.Header.Get("access-control-allow-origin"); got != want {
			t.Errorf("%s: access-control-allow-origin is %q, want %q", origin, got, want)
		}
		if !slices.Contains(response.Header.Values("vary"), "Origin") {
			t.Errorf("%s: the response does not vary by origin", origin)
		}
	}
}
