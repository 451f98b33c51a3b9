package harness

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/financelime/authorization"
)

// Contract validates every response against openapi.yaml and records which documented responses it has seen.
type Contract struct {
	doc *openapi3.T

	mu   sync.Mutex
	seen map[string]bool // "operationId status"
}

// NewContract parses openapi.yaml.
func NewContract() (*Contract, error) {
	doc, err := openapi3.NewLoader().LoadFromData(authorization.Spec())
	if err != nil {
		return nil, fmt.Errorf("read openapi.yaml: %w", err)
	}
	if err := doc.Validate(context.Background()); err != nil {
		return nil, fmt.Errorf("openapi.yaml is not valid: %w", err)
	}
	return &Contract{doc: doc, seen: make(map[string]bool)}, nil
}

// Unseen lists the documented responses that were not received yet, as "operationId status".
func (c *Contract) Unseen() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var unseen []string
	for _, item := range c.doc.Paths.Map() {
		for _, op := range item.Operations() {
			for status := range op.Responses.Map() {
				if key := op.OperationID + " " + status; !c.seen[key] {
					unseen = append(unseen, key)
				}
			}
		}
	}
	slices.Sort(unseen)
	return unseen
}

// Documented returns the number of documented pairs of operation and status.
func (c *Contract) Documented() int {
	n := 0
	for _, item := range c.doc.Paths.Map() {
		for _, op := range item.Operations() {
			n += op.Responses.Len()
		}
	}
	return n
}

// Client returns an HTTP client that validates every response. It follows no redirects: the contract has none.
func (c *Contract) Client(t testing.TB) *http.Client {
	t.Helper()
	transport := &http.Transport{MaxIdleConnsPerHost: 256}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{
		Transport:     &validator{contract: c, next: transport, t: t},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// validator is a transport that validates every response.
type validator struct {
	contract *Contract
	next     http.RoundTripper
	t        testing.TB
}

// RoundTrip validates the response and returns it.
func (v *validator) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := v.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(response.Body)
	if err := response.Body.Close(); err != nil {
		v.t.Logf("close the body: %v", err)
	}
	if err != nil {
		return nil, fmt.Errorf("read the body: %w", err)
	}
	response.Body = io.NopCloser(bytes.NewReader(body))
	if err := v.contract.Check(r, response.StatusCode, response.Header, body); err != nil {
		v.t.Errorf("%s %s returned %d, which violates the contract: %v\n%s", r.Method, r.URL.Path, response.StatusCode, err, body)
	}
	return response, nil
}

// Check validates one response: its status must be documented for the operation, and so must its media type, its
// body with every property, and its headers.
func (c *Contract) Check(r *http.Request, status int, header http.Header, body []byte) error {
	item := c.find(r.URL.EscapedPath())
	if item == nil {
		return c.checkUnknownPath(status, header, body)
	}
	ops := []*openapi3.Operation{item.GetOperation(r.Method)}
	if ops[0] == nil {
		if status != http.StatusMethodNotAllowed {
			return fmt.Errorf("the path has no %s: the response must be 405", r.Method)
		}
		ops = slices.Collect(maps.Values(item.Operations())) // each documents the path's 405
	}
	for _, op := range ops {
		if err := c.checkOperation(op, r.Method, status, header, body); err != nil {
			return err
		}
	}
	return nil
}

func (c *Contract) checkOperation(op *openapi3.Operation, method string, status int, header http.Header, body []byte) error {
	response := op.Responses.Status(status)
	if response == nil {
		return fmt.Errorf("%s does not document it", op.OperationID)
	}
	if err := checkHeaders(response.Value, header); err != nil {
		return err
	}
	if method != http.MethodHead {
		if err := checkBody(response.Value, header, body); err != nil {
			return err
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seen[fmt.Sprintf("%s %d", op.OperationID, status)] = true
	return nil
}

// checkUnknownPath expects 404 with the common failure body for a path that the document does not have.
func (c *Contract) checkUnknownPath(status int, header http.Header, body []byte) error {
	if status != http.StatusNotFound {
		return fmt.Errorf("the contract does not have this path: the response must be 404")
	}
	if header.Get("request-id") == "" {
		return fmt.Errorf("the header request-id is missing")
	}
	return visit(c.doc.Components.Schemas["CommonFailure"].Value, body)
}

// find matches a path literally, then with parameters: the order of OpenAPI 3.0.3.
func (c *Contract) find(path string) *openapi3.PathItem {
	if item := c.doc.Paths.Value(path); item != nil && !strings.Contains(path, "{") {
		return item
	}
	have := strings.Split(path, "/")
	for _, template := range slices.Sorted(maps.Keys(c.doc.Paths.Map())) {
		want := strings.Split(template, "/")
		if len(want) != len(have) || !strings.Contains(template, "{") {
			continue
		}
		same := func(want, have string) bool { return want == have || strings.HasPrefix(want, "{") && have != "" }
		if slices.EqualFunc(want, have, same) {
			return c.doc.Paths.Value(template)
		}
	}
	return nil
}

func checkHeaders(documented *openapi3.Response, header http.Header) error {
	for name, ref := range documented.Headers {
		values := header.Values(name)
		if len(values) == 0 && ref.Value.Required {
			return fmt.Errorf("the documented header %s is missing", name)
		}
		for _, value := range values {
			var v any = value
			if ref.Value.Schema.Value.Type.Is("integer") {
				if err := json.Unmarshal([]byte(value), &v); err != nil {
					return fmt.Errorf("header %s: %w", name, err)
				}
			}
			if err := ref.Value.Schema.Value.VisitJSON(v); err != nil {
				return fmt.Errorf("header %s: %w", name, err)
			}
		}
	}
	return nil
}

func checkBody(documented *openapi3.Response, header http.Header, body []byte) error {
	if len(documented.Content) == 0 {
		if len(body) > 0 {
			return errors.New("no body is documented")
		}
		return nil
	}
	mediaType, _, err := mime.ParseMediaType(header.Get("Content-Type"))
	if err != nil {
		return fmt.Errorf("content type %q: %w", header.Get("Content-Type"), err)
	}
	media := documented.Content[mediaType]
	if media == nil {
		return fmt.Errorf("the media type %s is not documented", mediaType)
	}
	if mediaType == "application/json" {
		return visit(media.Schema.Value, body)
	}
	if len(body) == 0 {
		return fmt.Errorf("the body is empty")
	}
	return nil
}

// visit validates a JSON body against its schema and rejects properties that the schema does not name.
func visit(schema *openapi3.Schema, body []byte) error {
	var value any
	if err := json.Unmarshal(body, &value); err != nil {
		return fmt.Errorf("the body is not JSON: %w", err)
	}
	if err := schema.VisitJSON(value, openapi3.VisitAsResponse(), openapi3.EnableFormatValidation()); err != nil {
		return err
	}
	return onlyNamed(schema, value, "")
}

func onlyNamed(schema *openapi3.Schema, value any, at string) error {
	switch v := value.(type) {
	case []any:
		for i, item := range v {
			if err := onlyNamed(schema.Items.Value, item, fmt.Sprintf("%s/%d", at, i)); err != nil {
				return err
			}
		}
	case map[string]any:
		if free := schema.AdditionalProperties.Has; free != nil && *free {
			return nil
		}
		for name, property := range v {
			named := schema.Properties[name]
			if named == nil {
				return fmt.Errorf("the property %s/%s is not documented", at, name)
			}
			if err := onlyNamed(named.Value, property, at+"/"+name); err != nil {
				return err
			}
		}
	}
	return nil
}
