package server

import (
	"net/http"
	"slices"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/labstack/echo/v4"
)

// methods returns the methods of RFC 9110 and RFC 5789.
func methods() []string {
	return []string{
		http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch,
		http.MethodDelete, http.MethodOptions, http.MethodTrace, http.MethodConnect,
	}
}

// loggableMethod returns the method, or "other" for an unknown one: clients must not write any text into the log.
func loggableMethod(method string) string {
	if slices.Contains(methods(), method) {
		return method
	}
	return "other"
}

// rejectOtherMethods adds routes for the methods that openapi.yaml does not define for a path. Their response is 405, or 204 for a
// CORS preflight. Without these routes, Echo would respond to OPTIONS itself, and route DELETE /v1/session/list to the session "list".
func rejectOtherMethods(e *echo.Echo, doc *openapi3.T, cors cors) {
	for path, item := range doc.Paths.Map() {
		var allowed []string
		for method := range item.Operations() {
			allowed = append(allowed, method)
		}
		slices.Sort(allowed)
		allow := strings.Join(allowed, ", ")
		reject := func(c echo.Context) error {
			if cors.preflight(c, allowed) {
				return c.NoContent(http.StatusNoContent)
			}
			c.Response().Header().Set(echo.HeaderAllow, allow)
			return &httpError{status: http.StatusMethodNotAllowed}
		}
		for _, method := range methods() {
			if !slices.Contains(allowed, method) {
				e.Add(method, echoPath(path), reject)
			}
		}
	}
}
