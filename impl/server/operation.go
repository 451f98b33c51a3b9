package server

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/routers"
)

// routeKey identifies a route by its method and its path in Echo's syntax.
type routeKey struct{ method, path string }

// operation is one operation of openapi.yaml, prepared for the validation of requests.
type operation struct {
	id    string
	route *routers.Route // an input of kin-openapi's validation

	headers openapi3.Parameters // validated before the access token
	others  openapi3.Parameters // path and query parameters, validated after the access token
	body    *openapi3.RequestBody
	secured bool // needs an access token

	// malformed is the status of a malformed request: 400, or 404 if the operation does not document 400. For a mailed link it is 404: a
	// malformed link does not exist. Only a malformed body of such a request is 400.
	malformed int
	// pages is set if failures are pages in the format that the Accept header prefers.
	pages bool
	// opensPage is set if a mailed link opens a page on which the user acts.
	opensPage bool
	// ridInQuery is set if the request ID is the query parameter rid and not a header.
	ridInQuery bool
}

// readOperations returns the operations of a document by route.
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
		return fmt.Errorf("operationId is missing")
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
		return fmt.Errorf("security is missing")
	}
	for _, requirement := range *spec.Security {
		// Two descriptions of one header, for different generators.
		_, bearer := requirement["bearer"]
		_, header := requirement["authorization"]
		if bearer == header || len(requirement) != 1 {
			return fmt.Errorf("the service does not have this security scheme: %v", requirement)
		}
		op.secured = true
	}
	if failure := spec.Responses.Status(http.StatusInternalServerError); failure != nil {
		op.pages = failure.Value.Content["text/html"] != nil
	}
	op.opensPage = strings.HasPrefix(op.route.Path, "/l/")
	if spec.Responses.Status(http.StatusBadRequest) != nil && !op.pages {
		op.malformed = http.StatusBadRequest
	}
	return nil
}

// echoPath converts a path to Echo's syntax: /v1/session/{sessionID} to /v1/session/:sessionID.
func echoPath(path string) string {
	return regexp.MustCompile(`\{([^}]+)\}`).ReplaceAllString(path, ":$1")
}
