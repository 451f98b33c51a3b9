//go:build clients

package clients

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/financelime/authorization"
	"github.com/financelime/authorization/test/harness"
)

// Prism makes a service of openapi.yaml alone: it answers every operation with every status and media type that is documented,
// and each answer keeps to the contract. So a frontend can be built without us.
func TestPrism(t *testing.T) {
	t.Parallel()
	address := startPrism(t)
	doc, err := openapi3.NewLoader().LoadFromData(authorization.Spec())
	if err != nil {
		t.Fatal(err)
	}
	judge, err := harness.NewContract()
	if err != nil {
		t.Fatal(err)
	}
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			t.Run(op.OperationID, func(t *testing.T) {
				ask(t, judge, mockRequest(t, address, path, method, op), firstSuccess(op)) // as a client does that knows nothing of Prism
				for status, response := range op.Responses.Map() {
					for _, mediaType := range mediaTypes(response.Value) {
						r := mockRequest(t, address, path, method, op)
						r.Header.Set("Prefer", "code="+status)
						r.Header.Set("Accept", mediaType)
						ask(t, judge, r, status)
					}
				}
			})
		}
	}
	if unseen := judge.Unseen(); len(unseen) > 0 {
		t.Errorf("Prism has not answered:\n%s", strings.Join(unseen, "\n"))
	}
	t.Logf("Prism has given each of %d documented answers", judge.Documented())
}

// startPrism starts the mock server, and ends it with the test.
func startPrism(t *testing.T) string {
	t.Helper()
	prism := exec.CommandContext(t.Context(), "node", "node_modules/@stoplight/prism-cli/dist/index.js",
		"mock", "--host=127.0.0.1", "--port=0", "../../openapi.yaml")
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
		_ = prism.Wait() // ended by the test's context
		if t.Failed() {
			t.Log(log.String())
		}
	})
	lines := bufio.NewReader(io.TeeReader(stdout, &log))
	for {
		line, err := lines.ReadString('\n')
		if _, address, found := strings.Cut(line, "Prism is listening on "); found {
			go func() { _, _ = io.Copy(io.Discard, lines) }() // or it would wait for a reader
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

// mockRequest makes a request of the examples in openapi.yaml.
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

// ask sends a request to Prism, and holds the answer against the contract.
func ask(t *testing.T, judge *harness.Contract, r *http.Request, want string) {
	t.Helper()
	response, err := http.DefaultClient.Do(r)
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
	if err := judge.Check(r, response.StatusCode, response.Header, body); err != nil {
		t.Errorf("%s: %v\n%s", what, err, body)
	}
	if accept := r.Header.Get("Accept"); accept != "" && accept != "*/*" && !strings.HasPrefix(response.Header.Get("Content-Type"), accept) {
		t.Errorf("%s: the answer is %s", what, response.Header.Get("Content-Type"))
	}
}
