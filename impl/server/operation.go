package server

import (
	"fmt"
	"net/http"
	"regexp"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/routers"
)

// routeKey is a method and a path in Echo's spelling.
type routeKey struct{ method, path string }

// operation is what openapi.yaml says of one operation, in the form in which every request needs it.
type operation struct {
	id    string
	route *routers.Route // what kin-openapi's validation wants to know of a routed request

	headers openapi3.Parameters // checked before the access token
	others  openapi3.Parameters // and after it
	body    *openapi3.RequestBody
	secured bool

	// malformed is the status for bad parameters: 400, or 404 where the contract documents no 400.
	malformed int
	// pages says that failures are pages for people, in the form that Accept asks for.
	pages bool
	// ridInQuery says that a request is named by its parameter rid, not by a header.
	ridInQuery bool
}

// readOperations reads the operations of a document, by Echo route.
func readOperations(doc *openapi3.T) (map[routeKey]*operation, error) {
	all := make(map[routeKey]*operation)
	for path, item := range doc.Paths.Map() {
		for method, spec := range item.Operations() {
			op := &operation{
				id:        spec.OperationID,
				route:     &routers.Route{Spec: doc, Path: path, PathItem: item, Method: method, Operation: spec},
				malformed: http.StatusNotFound,
			}
			if err := op.read(spec); err != nil {
				return nil, fmt.Errorf("%s %s: %w", method, path, err)
			}
			all[routeKey{method, echoPath(path)}] = op
		}
	}
	return all, nil
}

func (op *operation) read(spec *openapi3.Operation) error {
	if op.id == "" {
		return fmt.Errorf("no operationId")
	}
	for _, p := range spec.Parameters {
		if p.Value.In == openapi3.ParameterInHeader {
			op.headers = append(op.headers, p)
			continue
		}
		op.others = append(op.others, p)
		op.ridInQuery = op.ridInQuery || p.Value.In == openapi3.ParameterInQuery && p.Value.Name == "rid"
	}
	if spec.RequestBody != nil {
		op.body = spec.RequestBody.Value
	}
	if spec.Security == nil {
		return fmt.Errorf("does not say whether it needs an access token")
	}
	for _, requirement := range *spec.Security {
		if _, ok := requirement["authorization"]; !ok || len(requirement) != 1 {
			return fmt.Errorf("needs a security scheme that the service does not have: %v", requirement)
		}
		op.secured = true
	}
	if spec.Responses.Status(http.StatusBadRequest) != nil {
		op.malformed = http.StatusBadRequest
	}
	if failure := spec.Responses.Status(http.StatusInternalServerError); failure != nil {
		op.pages = failure.Value.Content["text/html"] != nil
	}
	return nil
}

// echoPath turns /v1/session/{sessionID} into /v1/session/:sessionID.
func echoPath(path string) string {
	return regexp.MustCompile(`\{([^}]+)\}`).ReplaceAllString(path, ":$1")
}
