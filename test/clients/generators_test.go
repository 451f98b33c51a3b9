//go:build clients

package clients

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/financelime/authorization/test/harness"
)

// steps are what each generator's script `walk` announces, in this order: see generators/lib.sh.
var steps = []string{"generate", "compile", "wrong", "walk"}

// journey lists the responses that each walk must cause, as "operationId status".
var journey = []string{
	"get_version 200",
	"signup 404", "signup 400", "signup 204", "signup 409",
	"confirm_user_email 200",
	"create_access_token 404", "create_access_token 200",
	"get_list_active_sessions 200", "get_list_active_sessions 401",
	"verify_access_token 204",
	"refresh_access_token 200", "refresh_access_token 404",
	"revoke_refresh_token 204", "revoke_session 204",
	"get_jwks 200",
}

// TestGenerators generates a client with each generator in generators/, compiles it in the strictest mode of its language, checks that the
// compiler rejects a failure code that openapi.yaml does not have, and walks a user's journey with it. Every object of a response has a field
// that openapi.yaml does not have: a later version may add some.
func TestGenerators(t *testing.T) {
	t.Parallel()
	walkAll(t, false)
}

// walkAll runs the generators that are slow, or those that are not. A slow one has a file `slow` that says why.
func walkAll(t *testing.T, slow bool) {
	t.Helper()
	scripts, err := filepath.Glob(filepath.Join("generators", "*", "walk"))
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, script := range scripts {
		folder := filepath.Dir(script)
		if _, err := os.Stat(filepath.Join(folder, "slow")); (err == nil) != slow {
			continue
		}
		found++
		t.Run(filepath.Base(folder), func(t *testing.T) {
			t.Parallel()
			walk(t, folder)
		})
	}
	if found == 0 {
		t.Error("generators/ has no such generator")
	}
}

// walk runs a generator's script in a fresh copy of its folder, and checks that it has done everything.
func walk(t *testing.T, folder string) {
	t.Helper()
	seen, err := harness.NewContract() // of this walk only
	if err != nil {
		t.Fatal(err)
	}
	s := harness.Start(t, binary, seen, harness.SQLite)
	dir := filepath.Join(t.TempDir(), filepath.Base(folder))
	if err := os.CopyFS(dir, os.DirFS(folder)); err != nil {
		t.Fatal(err)
	}
	for _, leftover := range []string{"node_modules", "target", "generated"} { // of an attempt by hand
		if err := os.RemoveAll(filepath.Join(dir, leftover)); err != nil {
			t.Fatal(err)
		}
	}
	done, err := runSteps(t, dir, append(os.Environ(),
		"OPENAPI="+absolute(t, "../../openapi.yaml"),
		"LIB="+absolute(t, "generators/lib.sh"),
		"TOOLS="+absolute(t, "../../bin/generators"),
		"NODE_MODULES="+absolute(t, "node_modules"),
		"AUTH_URL="+laterVersion(t, validatingProxy(t, s)),
		"AUTH_INVITE="+s.Invite(t, 100),
		"INBOX="+inbox(t, s),
	))
	if err != nil {
		t.Errorf("%s: %v", folder, err)
	}
	if !slices.Equal(done, steps) {
		t.Errorf("the steps were %v, want %v", done, steps)
	}
	unseen := seen.Unseen()
	for _, response := range journey {
		if slices.Contains(unseen, response) {
			t.Errorf("the walk caused no response %s", response)
		}
	}
}

// laterVersion starts a proxy in front of a URL that adds a field to every object of a JSON response, and returns the proxy's URL.
func laterVersion(t *testing.T, behind string) string {
	t.Helper()
	target, err := url.Parse(behind)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httptest.NewServer(&httputil.ReverseProxy{
		Rewrite:        func(r *httputil.ProxyRequest) { r.SetURL(target) },
		ModifyResponse: addFields,
	})
	t.Cleanup(proxy.Close)
	return proxy.URL
}

func addFields(r *http.Response) error {
	if r.Header.Get("Content-Type") != "application/json" {
		return nil
	}
	var body any
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		return fmt.Errorf("response to %s: %w", r.Request.URL.Path, err)
	}
	addField(body)
	changed, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("response to %s: %w", r.Request.URL.Path, err)
	}
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(changed)), int64(len(changed))
	r.Header.Set("Content-Length", strconv.Itoa(len(changed)))
	return nil
}

func addField(value any) {
	switch v := value.(type) {
	case []any:
		for _, item := range v {
			addField(item)
		}
	case map[string]any:
		for _, item := range v {
			addField(item)
		}
		v["fieldOfALaterVersion"] = true
	}
}

// runSteps runs ./walk in a directory, logs its output and how long each step took, and returns the steps.
func runSteps(t *testing.T, dir string, environment []string) ([]string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "./walk")
	cmd.Dir, cmd.Env = dir, environment
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // so that compilers end with the test
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 10 * time.Second
	output, into := io.Pipe()
	cmd.Stdout, cmd.Stderr = into, into
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start: %w", err)
	}
	ended := make(chan error, 1)
	go func() {
		ended <- cmd.Wait()
		into.Close()
	}()
	var done []string
	var log strings.Builder
	began := time.Now()
	finish := func() {
		if len(done) > 0 {
			t.Logf("%s: %.1f s", done[len(done)-1], time.Since(began).Seconds())
		}
		began = time.Now()
	}
	lines := bufio.NewReader(output)
	for {
		line, err := lines.ReadString('\n')
		log.WriteString(line)
		if name, found := strings.CutPrefix(line, "=== "); found {
			finish()
			done = append(done, strings.TrimSpace(name))
		}
		if err != nil {
			break
		}
	}
	finish()
	err := <-ended
	t.Log(log.String())
	return done, err
}

func absolute(t *testing.T, path string) string {
	t.Helper()
	full, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	return full
}

// inbox serves what a user reads in their emails as plain text, so that a walk needs no code for it, and returns its URL. Both paths wait for
// the email: /link?to=ADDRESS has the confirmation key and the `rid` of the newest link, separated by a space; /password?to=ADDRESS the password.
func inbox(t *testing.T, s *harness.Service) string {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /link", readMail(s, func(m harness.Mail) string {
		_, link, _ := strings.Cut(harness.FindLink(m.Text), "/u/")
		return strings.Replace(link, "?rid=", " ", 1)
	}))
	mux.HandleFunc("GET /password", readMail(s, func(m harness.Mail) string { return harness.FindPassword(m.Text) }))
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server.URL
}

// readMail responds with what find returns for the newest mail for which it returns something.
func readMail(s *harness.Service, find func(harness.Mail) string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), time.Minute)
		defer cancel()
		to := r.FormValue("to")
		for {
			mails, err := s.ReadMails(ctx)
			for _, m := range mails {
				if found := find(m); strings.Trim(m.To, "<>") == to && found != "" {
					fmt.Fprintln(w, found)
					return
				}
			}
			select {
			case <-ctx.Done():
				err = errors.Join(fmt.Errorf("no such mail to %q", to), err)
			case <-time.After(20 * time.Millisecond): // between two looks
			}
			if err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
				return
			}
		}
	}
}

// TestGeneratorFolders checks that each folder of generators/ can be run.
func TestGeneratorFolders(t *testing.T) {
	t.Parallel()
	entries, err := os.ReadDir("generators")
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if !entry.IsDir() {
			continue
		}
		info, err := os.Stat(filepath.Join("generators", entry.Name(), "walk"))
		if errors.Is(err, fs.ErrNotExist) || err == nil && info.Mode().Perm()&0o100 == 0 {
			t.Errorf("generators/%s has no executable script walk", entry.Name())
		} else if err != nil {
			t.Error(err)
		}
	}
}

// TestRejects checks that the function rejects of lib.sh accepts only a compiler that fails with the expected errors.
func TestRejects(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		compiler string
		accepted bool
	}{
		"the expected error":             {`echo "note"; echo "error: wrong code" >&2; exit 1`, true},
		"the expected error, twice":      {`echo "error: wrong code"; echo "error: wrong code"; exit 1`, true},
		"it compiles":                    {`echo "error: wrong code"`, false},
		"another error":                  {`echo "error: no such file"; exit 1`, false},
		"another error beside it":        {`echo "error: wrong code"; echo "error: no such file"; exit 1`, false},
		"a failure that reports nothing": {`exit 1`, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out, err := command(t, "generators", "bash", "-euo", "pipefail", "-c",
				`source ./lib.sh; rejects ^error: "wrong code" bash -c "$0"; echo accepted`, test.compiler)
			if accepted := err == nil && strings.HasSuffix(out, "accepted\n"); accepted != test.accepted {
				t.Errorf("accepted: %t (%v)\n%s", accepted, err, out)
			}
		})
	}
}
