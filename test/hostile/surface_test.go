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

// operation is what openapi.yaml says of one operation, in the form in which it can be attacked.
type operation struct {
	id, method, template string
	secured              bool
	parameters           []*openapi3.Parameter
	body                 *openapi3.Schema // nil if it takes none
}

// operations are all of the document, by operationId.
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

// values are the values of parameters and fields by their names. What has none there has the document's example.
type values map[string]string

// request is one request, as it goes over the wire byte by byte.
type request struct {
	method, target string
	header         http.Header // written as it is
	body           string
	head           string // if set, everything before the body, written instead of method, target and header
	halfClose      bool   // the sender says that nothing follows
}

// request makes a well-formed request of an operation.
func (op operation) request(t *testing.T, v values) request {
	t.Helper()
	r := request{method: op.method, target: op.target(v), header: http.Header{}}
	for _, p := range op.parameters {
		if p.In == openapi3.ParameterInHeader && p.Required {
			r.header.Set(p.Name, v.of(p.Name, p.Example, p.Schema.Value))
		}
	}
	if op.secured {
		r.header.Set("Authorization", "Bearer "+v["authorization"])
	}
	if op.body != nil {
		r.header.Set("Content-Type", "application/json")
		r.body = op.json(t, v, nil)
	}
	return r
}

// target is an operation's path and query.
func (op operation) target(v values) string {
	return op.targetWith(func(p *openapi3.Parameter) string { return url.PathEscape(v.of(p.Name, p.Example, p.Schema.Value)) })
}

// targetWith is an operation's path and query with raw values of its parameters.
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

// fields are the names of a body's fields, in their order on the wire.
func (op operation) fields() []string {
	if op.body == nil {
		return nil
	}
	return slices.Sorted(maps.Keys(op.body.Properties))
}

// leaves are the paths of a body's fields down to those that are no objects: "email", "device.platform".
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

// json is an operation's body with the given values, where raw, by path, stands for a field's JSON.
func (op operation) json(t *testing.T, v values, raw map[string]string) string {
	t.Helper()
	return object(t, op.body, v, raw, "")
}

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

func quoted(t *testing.T, value any) string {
	t.Helper()
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
