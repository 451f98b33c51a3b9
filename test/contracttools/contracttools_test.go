//go:build clients

// Package contracttools tests that tools made by others find no difference between openapi.yaml and a service to develop against
// (serve --dev), with the examples of openapi.yaml as requests. It needs Node, npm and Java: `make test-contract-tools`.
package contracttools

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/financelime/authorization"
	"github.com/financelime/authorization/test/harness"
)

// binary and contract are created once for all tests of the package.
var (
	binary   string
	contract *harness.Contract
)

func TestMain(m *testing.M) {
	if _, err := os.Stat("node_modules"); err != nil {
		fmt.Fprintln(os.Stderr, "test/contracttools/node_modules is missing: run `make test-contract-tools`:", err)
		os.Exit(1)
	}
	os.Exit(harness.Main(func(b string, c *harness.Contract) int {
		binary, contract = b, c
		return m.Run()
	}))
}

// startDev starts a service in which the examples of openapi.yaml work.
func startDev(t *testing.T) *harness.Service {
	t.Helper()
	return harness.Start(t, binary, contract, harness.SQLite, "AUTH_DEV=true", "AUTH_PUBLIC_URL=http://localhost:8080")
}

// broken are the operations that startBroken breaks, and how. onlyContent means that the status remains the documented one.
var broken = map[string]struct {
	change      func(*http.Response) error
	onlyContent bool
}{
	"get_version":         {change: func(r *http.Response) error { r.StatusCode = http.StatusAccepted; return nil }},
	"create_access_token": {change: dropRefreshToken, onlyContent: true},
	"verify_access_token": {change: func(r *http.Response) error { r.Header.Del("x-auth-user-id"); return nil }, onlyContent: true},
}

func dropRefreshToken(r *http.Response) error {
	var tokens map[string]any
	if err := json.NewDecoder(r.Body).Decode(&tokens); err != nil {
		return fmt.Errorf("read the response of a login: %w", err)
	}
	delete(tokens, "refreshToken")
	body, err := json.Marshal(tokens)
	if err != nil {
		return fmt.Errorf("write the response of a login: %w", err)
	}
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	r.Header.Set("Content-Length", fmt.Sprint(len(body)))
	return nil
}

// startBroken starts a service whose responses violate openapi.yaml in the operations of broken, and returns its URL.
func startBroken(t *testing.T) string {
	t.Helper()
	target, err := url.Parse(startDev(t).URL)
	if err != nil {
		t.Fatal(err)
	}
	changes := make(map[string]func(*http.Response) error)
	for _, op := range operations(t) {
		if b, is := broken[op.OperationID]; is {
			changes[op.method+" "+op.path] = b.change
		}
	}
	if len(changes) != len(broken) {
		t.Fatal("an operation of broken does not exist")
	}
	proxy := httptest.NewServer(&httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) },
		ModifyResponse: func(r *http.Response) error {
			if change := changes[r.Request.Method+" "+r.Request.URL.Path]; change != nil {
				return change(r)
			}
			return nil
		},
	})
	t.Cleanup(proxy.Close)
	return proxy.URL
}

// operation is an operation of openapi.yaml.
type operation struct {
	*openapi3.Operation

	method, path string
	success      string             // the only documented status of a success
	response     *openapi3.Response // its response
	mediaTypes   []string           // of this response, sorted; one empty type if it has no body
	accessTokens int                // in how many documented ways an access token can be sent
}

// operations returns all operations of openapi.yaml.
func operations(t *testing.T) []operation {
	t.Helper()
	doc := document(t)
	var all []operation
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			found := operation{Operation: op, method: method, path: path}
			for status, response := range op.Responses.Map() {
				if strings.HasPrefix(status, "2") {
					if found.success != "" {
						t.Fatalf("%s has several successes", op.OperationID)
					}
					found.success, found.response = status, response.Value
				}
			}
			for mediaType := range found.response.Content {
				found.mediaTypes = append(found.mediaTypes, mediaType)
			}
			slices.Sort(found.mediaTypes)
			if len(found.mediaTypes) == 0 {
				found.mediaTypes = []string{""}
			}
			if op.Security != nil {
				found.accessTokens = len(*op.Security)
			}
			all = append(all, found)
		}
	}
	return all
}

// beyondDev returns whether the example of an operation does not succeed with --dev.
func (op *operation) beyondDev() bool {
	_, is := harness.BeyondDev[op.OperationID]
	return is
}

func document(t *testing.T) *openapi3.T {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromData(authorization.Spec())
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

// accessToken returns the example of an access token.
func accessToken(t *testing.T) string {
	t.Helper()
	token, is := document(t).Components.Schemas["AccessTokenResponse"].Value.Properties["accessToken"].Value.Example.(string)
	if !is {
		t.Fatal("openapi.yaml has no example of an access token")
	}
	return token
}

// examplePath returns the path of a request that is made of the examples, without the query.
func (op *operation) examplePath(mediaType string) string {
	path := op.path
	for _, ref := range op.Parameters {
		if p := ref.Value; p.In == openapi3.ParameterInPath {
			path = strings.Replace(path, "{"+p.Name+"}", fmt.Sprint(p.Example), 1)
		}
	}
	if mediaType == "text/css" { // the example is a script
		path = strings.Replace(path, ".js", ".css", 1)
	}
	return path
}

// run runs a program of node_modules or of the system in a new directory and returns its output, and whether it succeeded. A program that
// cannot be run fails the test. environment is NAME=value, in addition to this process's.
func run(t *testing.T, environment []string, program ...string) (output string, succeeded bool) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program[0], program[1:]...)
	cmd.Dir, cmd.Env = t.TempDir(), append(os.Environ(), environment...)
	out, err := cmd.CombinedOutput()
	if err != nil && (cmd.ProcessState == nil || !cmd.ProcessState.Exited()) {
		t.Fatalf("%v\n%s", err, out)
	}
	return string(out), err == nil
}

// absolute returns the absolute path of a file of this package, which must exist.
func absolute(t *testing.T, path string) string {
	t.Helper()
	full, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(full); err != nil {
		t.Fatal(err)
	}
	return full
}

// counts says how often a request with a name passed and failed.
type counts map[string]struct{ passed, failed int }

func (c counts) add(name string, passed bool) {
	n := c[name]
	if passed {
		n.passed++
	} else {
		n.failed++
	}
	c[name] = n
}

// readJUnit reads a report in the format of JUnit. name maps a test case to the name of its request. Skipped cases are not counted.
func readJUnit(t *testing.T, file string, name func(testcase string) string) counts {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var report struct {
		Cases []struct {
			Name    string    `xml:"name,attr"`
			Failure *struct{} `xml:"failure"`
			Error   *struct{} `xml:"error"`
			Skipped *struct{} `xml:"skipped"`
		} `xml:"testcase"`
	}
	if err := xml.Unmarshal(content, &report); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	found := make(counts)
	for _, c := range report.Cases {
		if c.Skipped == nil {
			found.add(name(c.Name), c.Failure == nil && c.Error == nil)
		}
	}
	return found
}

// check fails the test unless exactly the wanted requests were sent, as often as wanted, and all of them passed, except those in failing,
// which must all have failed.
func (c counts) check(t *testing.T, want map[string]int, failing ...string) {
	t.Helper()
	total := 0
	for name, n := range want {
		total += n
		got := c[name]
		if slices.Contains(failing, name) {
			if got.passed != 0 || got.failed != n {
				t.Errorf("%s: the violation was found %d times, want %d; %d passed", name, got.failed, n, got.passed)
			}
		} else if got.passed != n || got.failed != 0 {
			t.Errorf("%s: %d passed and %d failed, want %d passed", name, got.passed, got.failed, n)
		}
	}
	for name := range c {
		if want[name] == 0 {
			t.Errorf("%s: an unexpected request", name)
		}
	}
	t.Logf("%d requests for %d operations and media types", total, len(want))
}
