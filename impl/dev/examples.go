package dev

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/google/uuid"

	"github.com/financelime/authorization"
	"github.com/financelime/authorization/impl/address"
	"github.com/financelime/authorization/impl/link"
)

// examples are the examples of openapi.yaml that only work if the database contains something.
type examples struct {
	userID     uuid.UUID
	userEmail  string // normalized, as all addresses here
	password   string
	clientID   string
	platform   string
	remoteAddr string

	newEmail   string // of the sign-up
	inviteCode string

	sessionID     uuid.UUID
	accessTokens  []string // several examples of the document mean the same session
	refreshTokens []string

	confirmationKey string // of the example sign-up, whose link has either form
	linkKey         string
}

// readExamples reads the examples from openapi.yaml. It fails if one is missing, because a test or a tool relies on each of them.
func readExamples() (examples, error) {
	doc, err := openapi3.NewLoader().LoadFromData(authorization.Spec())
	if err != nil {
		return examples{}, fmt.Errorf("read openapi.yaml: %w", err)
	}
	r := reader{operations: operationsByID(doc), doc: doc}
	login, signUp := r.body("create_access_token"), r.body("signup")
	device, _ := login["device"].(map[string]any)
	ex := examples{
		userID:          r.id(r.header("verify_access_token", 204, "x-auth-user-id")),
		userEmail:       r.email(login["email"]),
		password:        r.text(login["password"]),
		clientID:        r.text(login["clientID"]),
		platform:        r.text(device["platform"]),
		remoteAddr:      r.text(r.schema("Session")["remoteAddr"]),
		newEmail:        r.email(signUp["email"]),
		inviteCode:      r.text(signUp["inviteCode"]),
		sessionID:       r.id(r.parameter("revoke_session", "sessionID")),
		accessTokens:    r.everywhere("accessToken"),
		refreshTokens:   r.everywhere("refreshToken"),
		confirmationKey: r.text(r.parameter("confirm_user_email", "confirmationKey")),
		linkKey:         r.text(r.parameter("open_link", "linkKey")),
	}
	for _, key := range []string{ex.confirmationKey, ex.linkKey} {
		if _, ok := link.Hash(key); !ok {
			r.failf("%q, the example of a link, is not a key", key)
		}
	}
	if ex.confirmationKey == ex.linkKey {
		r.failf("the examples of both forms of a link have the same key")
	}
	if ex.newEmail == ex.userEmail {
		r.failf("the examples of the sign-up and of the login have the same address")
	}
	if len(ex.accessTokens) == 0 || len(ex.refreshTokens) == 0 {
		r.failf("there is no example of a token")
	}
	if err := errors.Join(r.failures...); err != nil {
		return examples{}, fmt.Errorf("examples of openapi.yaml: %w", err)
	}
	return ex, nil
}

// reader finds examples in the document and collects what is missing.
type reader struct {
	doc        *openapi3.T
	operations map[string]*openapi3.Operation
	failures   []error
}

func operationsByID(doc *openapi3.T) map[string]*openapi3.Operation {
	all := make(map[string]*openapi3.Operation)
	for _, item := range doc.Paths.Map() {
		for _, op := range item.Operations() {
			all[op.OperationID] = op
		}
	}
	return all
}

func (r *reader) failf(format string, args ...any) {
	r.failures = append(r.failures, fmt.Errorf(format, args...))
}

// operation returns an operation by its ID; an empty one if it is missing.
func (r *reader) operation(id string) *openapi3.Operation {
	if op := r.operations[id]; op != nil {
		return op
	}
	r.failf("there is no operation %s", id)
	return openapi3.NewOperation()
}

// body returns the example of an operation's request body.
func (r *reader) body(id string) map[string]any {
	if ref := r.operation(id).RequestBody; ref != nil {
		if media := ref.Value.Content.Get("application/json"); media != nil {
			if object, is := firstExample(media.Example, media.Examples, media.Schema).(map[string]any); is {
				return object
			}
		}
	}
	r.failf("the body of %s has no example", id)
	return nil
}

func (r *reader) schema(name string) map[string]any {
	if ref := r.doc.Components.Schemas[name]; ref != nil {
		if object, is := ref.Value.Example.(map[string]any); is {
			return object
		}
	}
	r.failf("the schema %s has no example", name)
	return nil
}

func (r *reader) parameter(id, name string) any {
	for _, p := range r.operation(id).Parameters {
		if p.Value.Name == name {
			return firstExample(p.Value.Example, p.Value.Examples, p.Value.Schema)
		}
	}
	r.failf("%s has no parameter %s", id, name)
	return nil
}

func (r *reader) header(id string, status int, name string) any {
	if response := r.operation(id).Responses.Status(status); response != nil {
		if header := response.Value.Headers[name]; header != nil {
			return firstExample(header.Value.Example, header.Value.Examples, header.Value.Schema)
		}
	}
	r.failf("%s has no header %s", id, name)
	return nil
}

// firstExample returns the example of a parameter, a header or a body: the unnamed one, or the first of the named ones, or that of its schema.
func firstExample(unnamed any, named openapi3.Examples, schema *openapi3.SchemaRef) any {
	if unnamed != nil {
		return unnamed
	}
	for _, name := range slices.Sorted(maps.Keys(named)) {
		return named[name].Value.Value
	}
	if schema != nil {
		return schema.Value.Example
	}
	return nil
}

// everywhere returns the different examples of a property in all schemas.
func (r *reader) everywhere(property string) []string {
	var found []string
	for _, ref := range r.doc.Components.Schemas {
		if p := ref.Value.Properties[property]; p != nil {
			if text, is := p.Value.Example.(string); is {
				found = append(found, text)
			}
		}
		if object, is := ref.Value.Example.(map[string]any); is {
			if text, is := object[property].(string); is {
				found = append(found, text)
			}
		}
	}
	slices.Sort(found)
	return slices.Compact(found)
}

func (r *reader) text(value any) string {
	text, is := value.(string)
	if !is || text == "" {
		r.failf("%v is not a text", value)
	}
	return text
}

func (r *reader) id(value any) uuid.UUID {
	id, err := uuid.Parse(r.text(value))
	if err != nil {
		r.failf("%v is not a UUID", value)
	}
	return id
}

func (r *reader) email(value any) string {
	normal, err := address.Normalize(r.text(value))
	if err != nil {
		r.failf("%v is not an address", value)
	}
	return normal
}
