package contract

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"

	spec "github.com/financelime/authorization"
	"github.com/financelime/authorization/test/harness"
)

// devSettings are the settings of a service with --dev in these tests.
func devSettings(more ...string) []string {
	return append([]string{"AUTH_DEV=true", "AUTH_PUBLIC_URL=http://localhost:8080", "AUTH_LIMITS=on"}, more...)
}

// exampleRequest is a request that consists only of the examples of openapi.yaml.
type exampleRequest struct {
	operation, method, path, body string
	header                        http.Header
	success                       int // the documented status
}

func (e exampleRequest) send(t *testing.T, s *harness.Service) (*http.Response, string) {
	t.Helper()
	return harness.Send(t, s.HTTP, e.method, s.URL+e.path, e.header, e.body)
}

func (e exampleRequest) succeeds(t *testing.T, s *harness.Service) {
	t.Helper()
	want := []int{e.success}
	if beyond, is := harness.BeyondDev[e.operation]; is {
		want = beyond.Statuses
	}
	response, body := e.send(t, s)
	if !slices.Contains(want, response.StatusCode) {
		t.Errorf("the example of %s: %d, want %d: %s", e.operation, response.StatusCode, want, body)
	}
	if got := response.Header.Get("x-dev"); got != "true" {
		t.Errorf("the example of %s: x-dev is %q", e.operation, got)
	}
}

// exampleRequests reads a request for each operation from openapi.yaml, sorted by operation.
func exampleRequests(t *testing.T) []exampleRequest {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromData(spec.Spec())
	if err != nil {
		t.Fatal(err)
	}
	token := doc.Components.Schemas["AccessTokenResponse"].Value.Properties["accessToken"].Value.Example.(string)
	var all []exampleRequest
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			e := exampleRequest{operation: op.OperationID, method: method, path: path, header: make(http.Header)}
			query := make(url.Values)
			for _, p := range op.Parameters {
				example := fmt.Sprint(p.Value.Example)
				switch p.Value.In {
				case "path":
					e.path = strings.ReplaceAll(e.path, "{"+p.Value.Name+"}", example)
				case "query":
					query.Set(p.Value.Name, example)
				case "header":
					e.header.Set(p.Value.Name, example)
				}
			}
			if len(query) > 0 {
				e.path += "?" + query.Encode()
			}
			if op.Security != nil && len(*op.Security) > 0 {
				e.header.Set("authorization", "Bearer "+token)
			}
			if op.RequestBody != nil {
				e.header.Set("content-type", "application/json")
				body, err := json.Marshal(op.RequestBody.Value.Content["application/json"].Schema.Value.Example)
				if err != nil {
					t.Fatal(err)
				}
				e.body = string(body)
			}
			for _, status := range []int{200, 204, 303} {
				if op.Responses.Status(status) != nil {
					e.success = status
				}
			}
			all = append(all, e)
		}
	}
	slices.SortFunc(all, func(a, b exampleRequest) int { return strings.Compare(a.operation, b.operation) })
	return all
}

func exampleOf(t *testing.T, operation string) exampleRequest {
	t.Helper()
	all := exampleRequests(t)
	i := slices.IndexFunc(all, func(e exampleRequest) bool { return e.operation == operation })
	if i < 0 {
		t.Fatalf("there is no operation %s", operation)
	}
	return all[i]
}

// withBody returns the request with a text of its body replaced.
func (e exampleRequest) withBody(t *testing.T, from, to string) exampleRequest {
	t.Helper()
	if !strings.Contains(e.body, from) {
		t.Fatalf("the example of %s does not contain %s", e.operation, from)
	}
	e.body = strings.ReplaceAll(e.body, from, to)
	return e
}

// TestDevExamples sends the example of every operation: in order, again, in reverse order, and each one twice in a row. Each must get the
// documented success, or what harness.BeyondDev says, on both engines and with two replicas that started on an empty database at the same time.
func TestDevExamples(t *testing.T) {
	t.Parallel()
	harness.EachWay(t, func(t *testing.T, engine string) {
		s := harness.Start(t, binary, contract, engine, devSettings()...)
		requests := exampleRequests(t)
		backward := slices.Clone(requests)
		slices.Reverse(backward)
		for _, e := range slices.Concat(requests, requests, backward) {
			e.succeeds(t, s)
		}
		for _, e := range requests {
			e.succeeds(t, s)
			e.succeeds(t, s)
		}
	})
}

// TestDevExamplesRestart kills a service at different times of its first start. The next start finishes the work, and later starts change
// nothing.
func TestDevExamplesRestart(t *testing.T) {
	t.Parallel()
	harness.EachEngine(t, func(t *testing.T, engine string) {
		s := harness.New(t, binary, contract, engine, devSettings()...)
		for after := 20 * time.Millisecond; after < 500*time.Millisecond; after += 40 * time.Millisecond {
			s.KillWhileStarting(t, after)
		}
		for range 2 {
			s.Run(t)
			for _, e := range exampleRequests(t) {
				e.succeeds(t, s)
			}
			s.Stop(t)
		}
		for _, table := range []string{"account WHERE email = 'test.user@financelime.com'", "invite", "audit_event", "signing_key"} {
			if n := s.Count(t, "SELECT count(*) FROM "+table); n != 1 {
				t.Errorf("%d rows of %s, want 1", n, table)
			}
		}
	})
}

// TestDevRestores changes what the examples need, and expects the example requests to succeed again.
func TestDevRestores(t *testing.T) {
	t.Parallel()
	harness.EachEngine(t, func(t *testing.T, engine string) {
		s := harness.Start(t, binary, contract, engine, devSettings()...)
		command := func(args ...string) {
			t.Helper()
			if _, err := s.Command(t.Context(), args...); err != nil {
				t.Error(err)
			}
		}
		login := exampleOf(t, "create_access_token")
		const user = "test.user@financelime.com"
		for name, change := range map[string]func(){
			"the user is disabled":    func() { command("user", "disable", user) },
			"the user is deleted":     func() { command("user", "delete", user) },
			"the sessions have ended": func() { command("session", "revoke", "--user", user) },
			"too many logins have failed": func() {
				wrong := login.withBody(t, "qmhVXVC1%hVNa0Hcq", "wrong")
				if response, body := wrong.send(t, s); response.StatusCode != 404 {
					t.Fatalf("a wrong password: %d %s", response.StatusCode, body)
				}
				s.Exec(t, "UPDATE login_failure SET failures = 100, recent_failures = 100, delay = 3600000000")
			},
			"the user has another password": func() {
				exampleOf(t, "user_password_reset").succeeds(t, s)
				p := person{t: t, s: s, email: user}
				p.want("the reset link", p.open(s.WaitMails(t, user, 1)[0].Link(t)).StatusCode, 200)
				for _, m := range s.WaitMails(t, user, 2) {
					if password := harness.FindPassword(m.Text); password != "" {
						login.withBody(t, "qmhVXVC1%hVNa0Hcq", password).succeeds(t, s)
					}
				}
				if n := s.Count(t, "SELECT count(*) FROM account WHERE pending_password_hash IS NULL AND last_password_number > 1"); n != 1 {
					t.Error("the mailed password did not become the password")
				}
			},
		} {
			change()
			for _, operation := range []string{"get_list_active_sessions", "refresh_access_token", "verify_access_token", "create_access_token"} {
				if e := exampleOf(t, operation); !t.Failed() {
					e.succeeds(t, s)
				}
			}
			if t.Failed() {
				t.Fatalf("after: %s", name)
			}
		}
	})
}

// TestDevelopmentCommands runs the commands of docs/development.md as they are, except for the addresses and the binary. The service has no
// other setting than --dev.
func TestDevelopmentCommands(t *testing.T) {
	t.Parallel()
	blocks := shellBlocks(t, "docs/development.md")
	if len(blocks) != 2 || strings.TrimSpace(blocks[0]) != "go run ./cmd/financelime-auth --dev" {
		t.Fatalf("the document has %d blocks of commands, want the start and one more", len(blocks))
	}
	s := harness.New(t, binary, contract, harness.SQLite)
	s.Env = append(slices.DeleteFunc(s.Env, func(e string) bool { return strings.HasPrefix(e, "AUTH_") }),
		"AUTH_DEV=true", "AUTH_HTTP_ADDR=127.0.0.1:0", "AUTH_ADMIN_ADDR=127.0.0.1:0")
	s.Run(t)
	script := strings.ReplaceAll("set -euo pipefail\n"+blocks[1], "localhost:8080", strings.TrimPrefix(s.URL, "http://"))
	out, err := exec.CommandContext(t.Context(), "bash", "-c", script).CombinedOutput()
	if err != nil || !strings.Contains(string(out), `"sessionID":"019aaf6e-9c2b-7c41-8b1e-2f60a4a9d1c7"`) {
		t.Errorf("%v: %s", err, out)
	}
	for _, file := range []string{"auth.db", "secret"} {
		if _, err := os.Stat(filepath.Join(s.Dir, "data", "dev", file)); err != nil {
			t.Error(err)
		}
	}
	for _, name := range []string{"settings.public_url_local", "settings.mail_to_files"} {
		if strings.Contains(s.Log(), name) {
			t.Errorf("the log has %s", name)
		}
	}
}

// TestDevExamplesTogether sends all examples from several clients at the same time: what one uses up is restored for the others. Failures say
// that they come from a service with --dev, too.
func TestDevExamplesTogether(t *testing.T) {
	t.Parallel()
	harness.EachEngine(t, func(t *testing.T, engine string) {
		s := harness.Start(t, binary, contract, engine, devSettings()...)
		requests := exampleRequests(t)
		var clients sync.WaitGroup
		for i := range 4 {
			clients.Go(func() {
				for j := range requests {
					requests[(i*5+j)%len(requests)].succeeds(t, s)
				}
			})
		}
		clients.Wait()
		for path, want := range map[string]int{"/": 404, "/v1/user/signup": 405, "/v1/version": 400, "/v1/oauth/verify": 401} {
			response, _ := harness.Send(t, s.HTTP, http.MethodGet, s.URL+path, nil, "")
			if response.StatusCode != want || response.Header.Get("x-dev") != "true" {
				t.Errorf("%s: %d, x-dev is %q", path, response.StatusCode, response.Header.Get("x-dev"))
			}
		}
	})
}
