package contract

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/financelime/authorization/test/harness"
)

// atTerminal runs the service on a terminal until it has written a text or has ended. (script(1) provides the terminal.)
func atTerminal(t *testing.T, env []string, dir, until string) string {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	shown := new(harness.Buffer)
	// Under nohup, SIGHUP is ignored, and the end of the terminal would not end the service.
	cmd := exec.CommandContext(ctx, "script", "--quiet", "--return", "--command", "exec env --default-signal=HUP "+binary, "/dev/null")
	cmd.Dir, cmd.Stdout, cmd.Env = dir, shown, slices.Concat(env, []string{"TERM=dumb"})
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	eventually(t, "the terminal shows "+until, func() bool {
		select {
		case <-ended:
			return true
		default:
			return strings.Contains(shown.String(), until)
		}
	})
	cancel() // closes the terminal, which ends the service: then its database is free
	<-ended
	eventually(t, "the service has ended", func() bool {
		lock, err := os.Open(filepath.Join(dir, "data", ".auth.db.lock"))
		if err != nil {
			return true // it has not opened a database
		}
		defer lock.Close()
		return syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil
	})
	return shown.String()
}

var shownCode = regexp.MustCompile(`Invite code +(\S+)`)

// TestInviteCodeIsPrintedOnce expects a failed start to create no invite code, and the first successful one to print it once.
func TestInviteCodeIsPrintedOnce(t *testing.T) {
	t.Parallel()
	for name, failing := range map[string]func(t *testing.T) string{
		"the port is taken": func(t *testing.T) string {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { l.Close() })
			return "AUTH_HTTP_ADDR=" + l.Addr().String()
		},
		"the admin port is taken": func(t *testing.T) string {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { l.Close() })
			return "AUTH_ADMIN_ADDR=" + l.Addr().String()
		},
		"the mail URL is bad": func(*testing.T) string { return "AUTH_MAIL_URL=smtp://mail.example.com?ca=missing.pem" },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := harness.New(t, binary, contract, harness.SQLite)
			if shown := atTerminal(t, append(slices.Clone(s.Env), failing(t)), s.Dir, "Invite code"); !strings.Contains(shown, "financelime-auth: AUTH_") || shownCode.MatchString(shown) {
				t.Fatalf("the first start:\n%s", shown)
			}
			if _, err := os.Stat(filepath.Join(s.Dir, "data", "auth.db")); err == nil && name == "the mail URL is bad" {
				t.Error("a database was made before the mail URL was looked at")
			}
			second := atTerminal(t, s.Env, s.Dir, "service.ready")
			code := shownCode.FindStringSubmatch(second)
			if code == nil {
				t.Fatalf("the second start tells no code:\n%s", second)
			}
			if third := atTerminal(t, s.Env, s.Dir, "service.ready"); shownCode.MatchString(third) || !strings.Contains(third, "Mailbox") {
				t.Errorf("the third start:\n%s", third)
			}
			s.Run(t)
			p := newPerson(t, s)
			p.want("sign up with the code that was printed", p.signUp(code[1]).StatusCode(), 204)
		})
	}
}

// TestJournalHasOnlyEvents expects only JSON lines if the output is not a terminal: no banner, no code, and one event that says how to make a code.
func TestJournalHasOnlyEvents(t *testing.T) {
	t.Parallel()
	harness.EachEngine(t, func(t *testing.T, engine string) {
		s := harness.Start(t, binary, contract, engine)
		if out := s.Stdout(); out != "" {
			t.Errorf("standard output has %q", out)
		}
		if log := s.Log(); !strings.Contains(log, "invite.none") || !strings.Contains(log, "financelime-auth invite create") {
			t.Errorf("the log does not say how to make a code:\n%s", log)
		}
		for line := range strings.Lines(s.Log()) {
			if !json.Valid([]byte(line)) {
				t.Errorf("not JSON: %s", line)
			}
		}
		s.Invite(t, 1)
		before := strings.Count(s.Log(), "invite.none")
		s.Stop(t)
		s.Run(t)
		if after := strings.Count(s.Log(), "invite.none"); after != before {
			t.Error("the log says that there is no invite, and there is one")
		}
	})
}

// TestOtherIssuer changes the public URL and so the issuer: the log says why all users are logged out, and AUTH_TOKEN_ISSUER undoes it.
func TestOtherIssuer(t *testing.T) {
	t.Parallel()
	harness.EachEngine(t, func(t *testing.T, engine string) {
		if engine == harness.Replicas {
			return // replicas have the same settings
		}
		s := harness.Start(t, binary, contract, engine)
		p := newPerson(t, s).join(s.Invite(t, 1))
		p.login()
		list := func() int {
			response, _ := send(t, s, http.MethodGet, "/v1/session/list", http.Header{"Request-Id": {rid()}, "Authorization": {p.session.AccessToken}}, "")
			return response.StatusCode
		}
		s.Stop(t)
		s.Env = append(s.Env, "AUTH_PUBLIC_URL=https://other.example.test")
		s.Run(t)
		p.want("its refresh token, first", p.tryRefresh(p.session.RefreshToken).StatusCode(), 400)
		p.want("an access token of the issuer before", list(), 401)
		p.want("and another", list(), 401)
		p.want("its refresh token", p.tryRefresh(p.session.RefreshToken).StatusCode(), 400)
		p.want("no token at all", func() int {
			response, _ := send(t, s, http.MethodGet, "/v1/session/list", http.Header{"Request-Id": {rid()}, "Authorization": {"x"}}, "")
			return response.StatusCode
		}(), 401)
		s.Stop(t) // the log is complete then
		log := s.Log()
		if !strings.Contains(log, "AUTH_TOKEN_ISSUER") {
			t.Error("the log does not name AUTH_TOKEN_ISSUER")
		}
		for want, times := range map[string]int{
			`"msg":"token.other_issuer","token_issuer":"https://auth.example.test","issuer":"https://other.example.test"`: 1,
			`"reason":"other_issuer"`:   4,
			`"reason":"invalid"`:        1,
			`"msg":"session.refused"`:   2,
			`"msg":"service.listening"`: 2,
		} {
			if n := strings.Count(log, want); n != times {
				t.Errorf("%s stands there %d times, want %d", want, n, times)
			}
		}
		s.Env = append(s.Env, "AUTH_TOKEN_ISSUER=https://auth.example.test")
		s.Run(t)
		p.want("the access token with AUTH_TOKEN_ISSUER", list(), 200)
		p.want("the refresh token with AUTH_TOKEN_ISSUER", p.tryRefresh(p.session.RefreshToken).StatusCode(), 200)
	})
}

// TestMailboxRefusesOtherHosts expects the mailbox to refuse other host names (DNS rebinding).
func TestMailboxRefusesOtherHosts(t *testing.T) {
	t.Parallel()
	s := harness.Start(t, binary, contract, harness.SQLite, "AUTH_SECRT=hunter2")
	for host, mailbox := range map[string]int{"": 200, "localhost:1": 200, "evil.example": 403, "evil.example:8081": 403} {
		for path, want := range map[string]int{"/mail": mailbox, "/mail.json": mailbox, "/healthz": 200, "/metrics": 200} {
			request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.Admin+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			if host != "" {
				request.Host = host
			}
			response, err := http.DefaultClient.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			response.Body.Close()
			if response.StatusCode != want {
				t.Errorf("Host %q, %s: %d", host, path, response.StatusCode)
			}
		}
	}
	// Beside that: what the settings of this service look like to it.
	for _, want := range []string{`"variable":"AUTH_SECRT","nearest":"AUTH_SECRET"`, "settings.mail_to_files"} {
		if !strings.Contains(s.Log(), want) {
			t.Errorf("the log lacks %s", want)
		}
	}
	if strings.Contains(s.Log(), "hunter2") {
		t.Error("the value of an unknown variable is in the log")
	}
}

// TestDevBanner expects a terminal to show that the service was started with --dev, and no invite code: the example code works.
func TestDevBanner(t *testing.T) {
	t.Parallel()
	s := harness.New(t, binary, contract, harness.SQLite, devSettings("AUTH_DATABASE_URL=sqlite:data/auth.db")...)
	shown := atTerminal(t, s.Env, s.Dir, "Never for real users")
	if !strings.Contains(shown, "Development") || strings.Contains(shown, "Invite code") {
		t.Errorf("the terminal shows\n%s", shown)
	}
}
