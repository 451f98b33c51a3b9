package server

import (
	"net/http"
	"slices"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/labstack/echo/v4"
)

// preflightAge is the number of seconds for which browsers may cache a preflight response: the maximum of Chromium.
const preflightAge = "7200"

// cors allows the pages of listed origins to call the service (WHATWG Fetch, "HTTP-CORS protocol"). It never allows credentials:
// tokens are sent in headers and bodies, not in cookies.
type cors struct {
	origins         []string
	allowsOrigin    func(string) bool // besides origins; may be nil
	allowed, expose string            // request headers and response headers
}

// newCORS allows and exposes the headers that the document defines, and those that have no place in it: the media type of a body, what
// tracing libraries add to each request (W3C Trace Context, W3C Baggage), and the time of a response, to which expiresIn relates.
func newCORS(origins []string, allowsOrigin func(string) bool, doc *openapi3.T) cors {
	requests := []string{"authorization", "baggage", "content-type", "traceparent", "tracestate"}
	for _, p := range doc.Components.Parameters {
		if p.Value.In == openapi3.ParameterInHeader {
			requests = append(requests, strings.ToLower(p.Value.Name))
		}
	}
	responses := []string{"date"}
	for _, item := range doc.Paths.Map() {
		for _, op := range item.Operations() {
			for _, response := range op.Responses.Map() {
				for name := range response.Value.Headers {
					responses = append(responses, strings.ToLower(name))
				}
			}
		}
	}
	return cors{origins: origins, allowsOrigin: allowsOrigin, allowed: joinSorted(requests), expose: joinSorted(responses)}
}

// joinSorted returns a comma-separated list without duplicates.
func joinSorted(names []string) string {
	slices.Sort(names)
	return strings.Join(slices.Compact(names), ", ")
}

// allows reports whether a request comes from a page of a listed origin.
func (c cors) allows(r *http.Request) bool {
	origin := r.Header.Values(echo.HeaderOrigin)
	return len(origin) == 1 && (slices.Contains(c.origins, origin[0]) || c.allowsOrigin != nil && c.allowsOrigin(origin[0]))
}

// setHeaders allows the page to read the response.
func (c cors) setHeaders(h http.Header, r *http.Request) {
	if len(c.origins) == 0 && c.allowsOrigin == nil {
		return
	}
	h.Add(echo.HeaderVary, echo.HeaderOrigin)
	if c.allows(r) {
		h.Set(echo.HeaderAccessControlAllowOrigin, r.Header.Get(echo.HeaderOrigin))
		h.Set(echo.HeaderAccessControlExposeHeaders, c.expose)
	}
}

// preflight reports whether a request is a permitted preflight request for a path with these methods, and sets the response headers if so.
func (c cors) preflight(e echo.Context, methods []string) bool {
	r := e.Request()
	wanted := r.Header.Get(echo.HeaderAccessControlRequestMethod)
	if r.Method != http.MethodOptions || !c.allows(r) || !slices.Contains(methods, wanted) {
		return false
	}
	h := e.Response().Header()
	h.Set(echo.HeaderAccessControlAllowMethods, strings.Join(methods, ", "))
	h.Set(echo.HeaderAccessControlAllowHeaders, c.allowed)
	h.Set(echo.HeaderAccessControlMaxAge, preflightAge)
	return true
}
