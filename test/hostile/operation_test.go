package hostile

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/financelime/authorization"
)

// operation is one operation of openapi.yaml, prepared for attacks.
type operation struct {
	id, method, template string
	secured              bool
	parameters           []*openapi3.Parameter
	body                 *openapi3.Schema // nil if it has no request body
}

// operations returns all operations of openapi.yaml, sorted by operationId.
func operations(t *testing.T) []operation {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromData(authorization.Spec())
	if err != nil {
		t.Fatal(err)
	}
	var all []operation
	for template, item := range doc.Paths.Map() {
		for method, spec := range item.Operations() {
			op := operation{id: spec.OperationID, method: method, template: template, secured: len(*spec.Security) > 0}
			for _, p := range slices.Concat(item.Parameters, spec.Parameters) {
				op.parameters = append(op.parameters, p.Value)
			}
			if spec.RequestBody != nil {
				op.body = spec.RequestBody.Value.Content["application/json"].Schema.Value
			}
			all = append(all, op)
		}
	}
	slices.SortFunc(all, func(a, b operation) int { return strings.Compare(a.id, b.id) })
	return all
}

// values are the values of parameters and fields by name. A parameter or field without a value has the example of the document.
type values map[string]string

// request is one request, sent exactly as it is here.
type request struct {
	method, target string
	header         http.Header // sent without changes
	body           string
	head           string // if set, sent before the body instead of method, target and header
	halfClose      bool   // close the sending side after the request
}

// request returns a well-formed request to an operation.
func (op operation) request(t *testing.T, v values) request {
	t.Helper()
	r := request{method: op.method, target: op.target(v), header: http.Header{}}
	for _, p := range op.parameters {
		if p.In == openapi3.ParameterInHeader && p.Required {
			r.header.Set(p.Name, v.of(p.Name, p.Example, p.Schema.Value))
		}
	}
	if op.secured {
		token := v["authorization"]
		if op.id == "revoke_other_sessions" { // any valid request has an effect, except on a user without other sessions
			token = v["onlySession"]
		}
		r.header.Set("Authorization", "Bearer "+token)
	}
	if op.body != nil {
		r.header.Set("Content-Type", "application/json")
		r.body = op.json(t, v, nil)
	}
	return r
}

// target returns the path and query of an operation.
func (op operation) target(v values) string {
	return op.targetWith(func(p *openapi3.Parameter) string { return url.PathEscape(v.of(p.Name, p.Example, p.Schema.Value)) })
}

// targetWith returns the path and query of an operation with raw values of its parameters.
func (op operation) targetWith(raw func(*openapi3.Parameter) string) string {
	target, separator := op.template, "?"
	for _, p := range op.parameters {
		switch p.In {
		case openapi3.ParameterInPath:
			target = strings.Replace(target, "{"+p.Name+"}", raw(p), 1)
		case openapi3.ParameterInQuery:
			target += separator + p.Name + "=" + raw(p)
			separator = "&"
		}
	}
	return target
}

// of returns the value of a parameter or field, or its example.
func (v values) of(name string, example any, schema *openapi3.Schema) string {
	if given, ok := v[name]; ok {
		return given
	}
	if example == nil {
		example = schema.Example
	}
	text, _ := example.(string)
	return text
}

// fields returns the names of the fields of the body, in the order in which they are sent.
func (op operation) fields() []string {
	if op.body == nil {
		return nil
	}
	return slices.Sorted(maps.Keys(op.body.Properties))
}

// leaves returns the paths of all fields of a schema: "email", "device", "device.platform".
func leaves(schema *openapi3.Schema, above string) []string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(schema.Properties)) {
		property := schema.Properties[name].Value
		if property.Type.Is("object") {
			all = append(all, leaves(property, above+name+".")...)
		}
		all = append(all, above+name)
	}
	return all
}

// json returns the body of an operation with the given values. raw replaces the JSON of fields, by path.
func (op operation) json(t *testing.T, v values, raw map[string]string) string {
	t.Helper()
	return object(t, op.body, v, raw, "")
}

// object returns the JSON of an object with the given values. The path of the object is above.
func object(t *testing.T, schema *openapi3.Schema, v values, raw map[string]string, above string) string {
	t.Helper()
	var members []string
	for _, name := range slices.Sorted(maps.Keys(schema.Properties)) {
		property := schema.Properties[name].Value
		value, given := raw[above+name]
		switch {
		case given:
		case property.Type.Is("object"):
			value = object(t, property, v, raw, above+name+".")
		case property.Type.Is("string"):
			value = quoted(t, v.of(name, nil, property))
		default:
			value = quoted(t, property.Example)
		}
		members = append(members, quoted(t, name)+":"+value)
	}
	return "{" + strings.Join(members, ",") + "}"
}

// quoted returns a value as JSON.
func quoted(t *testing.T, value any) string {
	t.Helper()
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
