//go:build clients

package clients

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/financelime/authorization"
	"github.com/financelime/authorization/test/harness"
)

// TestPrism checks that Prism can mock the service from openapi.yaml: it returns every documented status and media type of every operation,
// and each response is valid. So a frontend can be developed without the service.
func TestPrism(t *testing.T) {
	t.Parallel()
	address := startPrism(t, "mock", openAPI)
	doc, err := openapi3.NewLoader().LoadFromData(authorization.Spec())
	if err != nil {
		t.Fatal(err)
	}
	validator, err := harness.NewContract()
	if err != nil {
		t.Fatal(err)
	}
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			t.Run(op.OperationID, func(t *testing.T) {
				checkResponse(t, validator, mockRequest(t, address, path, method, op), firstSuccess(op)) // without Prism's headers, like an ordinary client
				for status, response := range op.Responses.Map() {
					for _, mediaType := range mediaTypes(response.Value) {
						r := mockRequest(t, address, path, method, op)
						r.Header.Set("Prefer", "code="+status)
						r.Header.Set("Accept", mediaType)
						checkResponse(t, validator, r, status)
					}
				}
			})
		}
	}
	if unseen := validator.Unseen(); len(unseen) > 0 {
		t.Errorf("responses that Prism did not return:\n%s", strings.Join(unseen, "\n"))
	}
	t.Logf("Prism has returned each of %d documented responses", validator.Documented())
}

// openAPI is the document, from this directory.
const openAPI = "../../openapi.yaml"

// TestPrismProxy walks the journey of a user through Prism, which compares each request and each response with openapi.yaml and replaces a
// response that violates it by an error.
func TestPrismProxy(t *testing.T) {
	t.Parallel()
	s := harness.Start(t, binary, contract, harness.SQLite)
	dir := filepath.Join(t.TempDir(), "oazapfts") // its requests are all valid, also those that fail
	if err := os.CopyFS(dir, os.DirFS("generators/oazapfts")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(absolute(t, "node_modules"), filepath.Join(dir, "node_modules")); err != nil {
		t.Fatal(err)
	}
	if out, err := command(t, dir, "node_modules/.bin/oazapfts", "--argumentStyle=object", absolute(t, openAPI), "generated.ts"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	address := startPrism(t, "proxy", "--errors", openAPI, s.URL)
	out, err := commandWith(t, dir, []string{"AUTH_URL=" + address, "AUTH_INVITE=" + s.Invite(t, 100), "INBOX=" + inbox(t, s)},
		"node", "--import=tsx", "main.ts")
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestPrismProxyFindsViolations checks that TestPrismProxy can fail.
func TestPrismProxyFindsViolations(t *testing.T) {
	t.Parallel()
	const valid = `{"number":"v1","build":"fc56bb1 [2021-05-07_11:12:09]"}`
	cases := map[string]struct { // by request ID
		response string // of GET /v1/version
		status   int    // of Prism
		wants    string // in the response of Prism
	}{
		"valid-request": {valid, http.StatusOK, "fc56bb1"},
		"a-field-less":  {`{"number":"v1"}`, http.StatusInternalServerError, "must have required property 'build'"},
		"another-type":  {strings.Replace(valid, `"v1"`, "1", 1), http.StatusInternalServerError, "must be string"},
		"short":         {valid, http.StatusUnprocessableEntity, "must NOT have fewer than 8 characters"},
	}
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := r.Header.Get("request-id")
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("request-id", id)
		fmt.Fprint(w, cases[id].response)
	}))
	defer service.Close()
	address := startPrism(t, "proxy", "--errors", openAPI, service.URL)
	for id, c := range cases {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address+"/v1/version", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("request-id", id)
		response, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(response.Body)
		response.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		if response.StatusCode != c.status || !strings.Contains(string(body), c.wants) {
			t.Errorf("%s: status %d, want %d and %q\n%s", id, response.StatusCode, c.status, c.wants, body)
		}
	}
}

// startPrism starts Prism, returns its URL, and stops it when the test ends.
func startPrism(t *testing.T, command string, arguments ...string) string {
	t.Helper()
	prism := exec.CommandContext(t.Context(), "node", append([]string{"node_modules/@stoplight/prism-cli/dist/index.js",
		command, "--host=127.0.0.1", "--port=0"}, arguments...)...)
	prism.Cancel = func() error { return prism.Process.Signal(syscall.SIGTERM) }
	prism.WaitDelay = 10 * time.Second
	stdout, err := prism.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := prism.Start(); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	t.Cleanup(func() {
		_ = prism.Wait() // stopped by the test's context
		if t.Failed() {
			t.Log(log.String())
		}
	})
	lines := bufio.NewReader(io.TeeReader(stdout, &log))
	for {
		line, err := lines.ReadString('\n')
		if _, address, found := strings.Cut(line, "Prism is listening on "); found {
			go func() { _, _ = io.Copy(io.Discard, lines) }() // so that Prism does not block
			return strings.TrimSpace(address)
		}
		if err != nil {
			t.Fatalf("Prism does not start: %v\n%s", err, log.String())
		}
	}
}

func firstSuccess(op *openapi3.Operation) string {
	var statuses []string
	for status := range op.Responses.Map() {
		statuses = append(statuses, status)
	}
	return slices.Min(statuses)
}

func mediaTypes(response *openapi3.Response) []string {
	if len(response.Content) == 0 {
		return []string{"*/*"}
	}
	var types []string
	for mediaType := range response.Content {
		types = append(types, mediaType)
	}
	return types
}

// mockRequest builds a request from the examples in openapi.yaml.
func mockRequest(t *testing.T, address, path, method string, op *openapi3.Operation) *http.Request {
	t.Helper()
	query, header := url.Values{}, http.Header{"Authorization": {"Bearer x"}}
	for _, ref := range op.Parameters {
		value := fmt.Sprint(ref.Value.Example)
		switch ref.Value.In {
		case openapi3.ParameterInPath:
			path = strings.Replace(path, "{"+ref.Value.Name+"}", url.PathEscape(value), 1)
		case openapi3.ParameterInQuery:
			query.Set(ref.Value.Name, value)
		case openapi3.ParameterInHeader:
			header.Set(ref.Value.Name, value)
		}
	}
	var body io.Reader
	if op.RequestBody != nil {
		example, err := json.Marshal(op.RequestBody.Value.Content["application/json"].Schema.Value.Example)
		if err != nil {
			t.Fatal(err)
		}
		body = bytes.NewReader(example)
		header.Set("Content-Type", "application/json")
	}
	r, err := http.NewRequestWithContext(t.Context(), method, address+path+"?"+query.Encode(), body)
	if err != nil {
		t.Fatal(err)
	}
	r.Header = header
	return r
}

// checkResponse sends a request to Prism, and validates the response against the contract.
func checkResponse(t *testing.T, validator *harness.Contract, r *http.Request, want string) {
	t.Helper()
	response, err := http.DefaultTransport.RoundTrip(r) // follows no redirect
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	what := fmt.Sprintf("%s %s (Prefer %q, Accept %q)", r.Method, r.URL.Path, r.Header.Get("Prefer"), r.Header.Get("Accept"))
	if got := fmt.Sprint(response.StatusCode); got != want {
		t.Errorf("%s: status %s, want %s\n%s", what, got, want, body)
		return
	}
	if err := validator.Check(r, response.StatusCode, response.Header, body); err != nil {
		t.Errorf("%s: %v\n%s", what, err, body)
	}
	if accept := r.Header.Get("Accept"); accept != "" && accept != "*/*" && !strings.HasPrefix(response.Header.Get("Content-Type"), accept) {
		t.Errorf("%s: the content type is %s", what, response.Header.Get("Content-Type"))
	}
}
