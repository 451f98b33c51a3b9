package server

import (
	"context"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/labstack/echo/v4"

	"github.com/financelime/authorization/api"
	"github.com/financelime/authorization/impl/link"
	"github.com/financelime/authorization/impl/page"
)

// A request that exceeds a limit is rejected. A request that exactly meets it is not.
func TestFirstLineAndHeadersAreBounded(t *testing.T) {
	t.Parallel()
	h, _ := newHandler(t, Config{})
	headers := func(n int) http.Header {
		return http.Header{"Request-Id": {"12345678"}, "X-Filler": slices.Repeat([]string{"x"}, n-1)}
	}
	url := func(n int) string { return "/v1/version?" + strings.Repeat("x", n-len("/v1/version?")) }
	// The response to a valid request is 500, because every operation panics.
	for name, test := range map[string]struct {
		got, want int
	}{
		"the longest URL":   {serve(h, http.MethodGet, url(maxURL), headers(1), "").Code, 500},
		"a longer URL":      {serve(h, http.MethodGet, url(maxURL+1), headers(1), "").Code, 400},
		"the most headers":  {serve(h, http.MethodGet, "/v1/version", headers(maxHeaders), "").Code, 500},
		"one header more":   {serve(h, http.MethodGet, "/v1/version", headers(maxHeaders+1), "").Code, 400},
		"a longer link":     {serve(h, http.MethodGet, "/u/"+strings.Repeat("A", 43)+"?rid=12345678&x="+strings.Repeat("x", maxURL), nil, "").Code, 404},
		"a compressed body": {serve(h, http.MethodPut, "/v1/oauth/refresh", http.Header{"Request-Id": {"12345678"}, "Content-Type": {"application/json"}, "Content-Encoding": {"gzip"}}, `{"refreshToken":"x"}`).Code, 400},
		"two encodings":     {serve(h, http.MethodPut, "/v1/oauth/refresh", http.Header{"Request-Id": {"12345678"}, "Content-Type": {"application/json"}, "Content-Encoding": {"identity", "gzip"}}, `{"refreshToken":"x"}`).Code, 400},
		"a plain body":      {serve(h, http.MethodPut, "/v1/oauth/refresh", http.Header{"Request-Id": {"12345678"}, "Content-Type": {"application/json"}, "Content-Encoding": {"identity"}}, `{"refreshToken":"x"}`).Code, 500},
	} {
		if test.got != test.want {
			t.Errorf("%s: %d, want %d", name, test.got, test.want)
		}
	}
}

// Two lines of a header that is a list are one list (RFC 9110 section 5.3).
func TestRepeatedAcceptHeaders(t *testing.T) {
	t.Parallel()
	h, _ := newHandler(t, Config{})
	for want, header := range map[string]http.Header{
		"application/json":          {"Accept": {"text/html;q=0.5", "application/json"}},
		"text/plain; charset=utf-8": {"Accept": {"image/png", "text/plain"}, "Accept-Language": {"en;q=0.5", "ru"}},
	} {
		w := serve(h, http.MethodGet, "/u/x?rid=12345678", header, "")
		if got := w.Header().Get("Content-Type"); got != want {
			t.Errorf("%v: %s, want %s", header, got, want)
		}
		if got := w.Header().Get("Content-Language"); header["Accept-Language"] != nil && got != "ru" {
			t.Errorf("%v: the language is %q", header, got)
		}
	}
}

// pathRecorder is an implementation that records the path parameters.
type pathRecorder struct {
	api.StrictServerInterface
	key, session string
}

func (k *pathRecorder) ConfirmUserEmail(_ context.Context, r api.ConfirmUserEmailRequestObject) (api.ConfirmUserEmailResponseObject, error) {
	k.key = r.ConfirmationKey
	confirmed, err := page.NewRenderer("", "").Confirmed(page.Text, "en", link.SignUp)
	return confirmation{confirmed}, err
}

// confirmation is a page as the response of ConfirmUserEmail.
type confirmation struct{ page.Page }

func (o confirmation) VisitConfirmUserEmailResponse(w http.ResponseWriter) error { return o.Send(w) }

func (k *pathRecorder) RevokeSession(_ context.Context, r api.RevokeSessionRequestObject) (api.RevokeSessionResponseObject, error) {
	k.session = r.SessionID
	return api.RevokeSession204Response{}, nil
}

// A path parameter may be percent-encoded. It is decoded once, before it is validated.
func TestEncodedPathParameters(t *testing.T) {
	t.Parallel()
	key := "m" + strings.Repeat("A", 42)
	for _, c := range []struct {
		method, target string
		status         int
		key, session   string
	}{
		{http.MethodGet, "/u/" + key, 200, key, ""},
		{http.MethodGet, "/u/%6D" + key[1:], 200, key, ""},
		{http.MethodGet, "/u/%6d" + key[1:], 200, key, ""},
		{http.MethodGet, "/u/" + strings.Repeat("%41", 43), 200, strings.Repeat("A", 43), ""},
		{http.MethodGet, "/u/" + strings.Repeat("A", 42) + "%2D", 200, strings.Repeat("A", 42) + "-", ""},
		{http.MethodGet, "/u/%256D" + key[1:], 404, "", ""}, // decoded only once
		{http.MethodGet, "/u/" + key[1:] + "%2F", 404, "", ""},
		{http.MethodGet, "/u/%2F" + key[1:], 404, "", ""},
		{http.MethodGet, "/u%2F" + key, 404, "", ""},
		{http.MethodGet, "/u/" + key[1:] + "%0A", 404, "", ""},
		{http.MethodGet, "/u/" + key[1:] + "%FF", 404, "", ""},
		{http.MethodGet, "/u/" + key + "%20", 404, "", ""},
		{http.MethodGet, "/u/%2e%2e/v1/version", 404, "", ""},
		{http.MethodDelete, "/v1/session/%61bc", 204, "", "abc"},
		{http.MethodDelete, "/v1/session/a%2Fb", 400, "", ""}, // an encoded slash separates no segments, and no session ID contains one
		{http.MethodDelete, "/v1/session/a/b", 404, "", ""},
		{http.MethodDelete, "/v1/session%2Fabc", 404, "", ""},
	} {
		implementation := new(pathRecorder)
		h, err := New(Config{
			Log:          slog.New(slog.DiscardHandler),
			Authenticate: func(ctx context.Context, _ string) (context.Context, error) { return ctx, nil },
		}, implementation)
		if err != nil {
			t.Fatal(err)
		}
		target := c.target
		if strings.HasPrefix(target, "/u") {
			target += "?rid=12345678"
		}
		w := serve(h, c.method, target, http.Header{"Request-Id": {"12345678"}, echo.HeaderAuthorization: {"x"}}, "")
		if w.Code != c.status || implementation.key != c.key || implementation.session != c.session {
			t.Errorf("%s %s: %d, key %q, session %q: %s", c.method, c.target, w.Code, implementation.key, implementation.session, w.Body)
		}
	}
}
