package server

import (
	"net/http"
	"regexp"

	"github.com/google/uuid"
	"github.com/labstack/echo/v4"
)

const requestIDHeader = "request-id"

// setHeaders sets the headers of every response. An operation may overwrite them.
func setHeaders(h http.Header, requestID string, https bool) {
	h.Set(requestIDHeader, requestID)
	h.Set(echo.HeaderCacheControl, "no-store")
	h.Set(echo.HeaderXContentTypeOptions, "nosniff")
	h.Set(echo.HeaderReferrerPolicy, "no-referrer")
	h.Set(echo.HeaderContentSecurityPolicy, "default-src 'none'; frame-ancestors 'none'")
	if https {
		h.Set(echo.HeaderStrictTransportSecurity, "max-age=63072000") // two years; ASVS 3.4.1 requires one
	}
}

// requestIDForm is the pattern of request IDs in openapi.yaml.
var requestIDForm = regexp.MustCompile(`^[A-Za-z0-9._:/+=@-]{8,128}$`)

// requestID returns the request ID that the client sent, or a new one if it is missing or malformed. The validator rejects the request
// if the operation requires a request ID.
func requestID(r *http.Request, op *operation) string {
	values := r.Header.Values(requestIDHeader)
	if op != nil && op.ridInQuery {
		values = r.URL.Query()["rid"]
	}
	if len(values) == 1 && requestIDForm.MatchString(values[0]) {
		return values[0]
	}
	return uuid.NewString()
}
