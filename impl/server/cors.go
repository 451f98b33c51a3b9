package server

import (
	"net/http"
	"slices"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/labstack/echo/v4"
)

// preflightAge is for how long browsers may remember a preflight, in seconds: what Chromium allows at the most.
const preflightAge = "7200"

// cors lets the pages of listed origins call the service (WHATWG Fetch, "HTTP-CORS protocol"). The tokens are in headers
// and bodies, and no cookie is used, so credentials are never allowed.
type cors struct {
	origins         []string
	allowed, expose string // headers of requests and of answers
}

// newCORS takes the headers from the contract.
func newCORS(origins []string, doc *openapi3.T) cors {
	requests := []string{"content-type"}
	for name := range doc.Components.SecuritySchemes {
		requests = append(requests, strings.ToLower(doc.Components.SecuritySchemes[name].Value.Name))
	}
	for _, p := range doc.Components.Parameters {
		if p.Value.In == openapi3.ParameterInHeader {
			requests = append(requests, strings.ToLower(p.Value.Name))
		}
	}
	var answers []string
	for _, item := range doc.Paths.Map() {
		for _, op := range item.Operations() {
			for _, response := range op.Responses.Map() {
				for name := range response.Value.Headers {
					answers = append(answers, strings.ToLower(name))
				}
			}
		}
	}
	return cors{origins: origins, allowed: list(requests), expose: list(answers)}
}

func list(names []string) string {
	slices.Sort(names)
	return strings.Join(slices.Compact(names), ", ")
}

// allows tells whether a request comes from a page of a listed origin.
func (c cors) allows(r *http.Request) bool {
	origin := r.Header.Values(echo.HeaderOrigin)
	return len(origin) == 1 && slices.Contains(c.origins, origin[0])
}

// setHeaders lets the page read the answer.
func (c cors) setHeaders(h http.Header, r *http.Request) {
	if len(c.origins) == 0 {
		return
	}
	h.Add(echo.HeaderVary, echo.HeaderOrigin)
	if c.allows(r) {
		h.Set(echo.HeaderAccessControlAllowOrigin, r.Header.Get(echo.HeaderOrigin))
		h.Set(echo.HeaderAccessControlExposeHeaders, c.expose)
	}
}

// preflight answers a browser's question before a request to a path with these methods, or tells that it is none.
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
