package harness

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// Unrouted reports whether net/http wrote the response itself, before any handler was called. Handlers set request-id in every response.
func Unrouted(header http.Header) bool { return header.Get("request-id") == "" }

// CheckUnrouted validates a response that net/http wrote itself: it rejects the request, ends the connection, and has only the
// headers and the line of text that net/http writes. A handler that forgot request-id does not pass.
func CheckUnrouted(status int, header http.Header, body string, closed bool) error {
	if !closed {
		return errors.New("net/http must close the connection")
	}
	want := http.Header{"Connection": {"close"}, "Content-Type": {"text/plain; charset=utf-8"}}
	start := fmt.Sprintf("%d %s", status, http.StatusText(status))
	switch status {
	case http.StatusBadRequest, http.StatusRequestHeaderFieldsTooLarge, http.StatusHTTPVersionNotSupported:
	case http.StatusNotImplemented:
		start = "Unsupported transfer encoding"
	case http.StatusExpectationFailed: // the one that passes through a http.ResponseWriter
		want, start = http.Header{"Connection": {"close"}, "Content-Length": {"0"}, "Date": header.Values("Date")}, ""
	default:
		return fmt.Errorf("net/http does not reject a request with %d: request-id is missing", status)
	}
	for name, values := range header {
		if !slices.Equal(values, want[name]) {
			return fmt.Errorf("net/http does not write %s: %q with %d", name, values, status)
		}
	}
	if !strings.HasPrefix(body, start) || start == "" && body != "" || strings.Contains(body, "\n") {
		return fmt.Errorf("net/http does not write this body with %d: %q", status, body)
	}
	return nil
}
