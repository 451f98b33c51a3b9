package server

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/financelime/authorization"
	"github.com/financelime/authorization/api"
)

// panicking is an implementation whose operations all panic.
type panicking struct{ api.StrictServerInterface }

// newHandler returns the handler with an implementation that always panics, and openapi.yaml.
func newHandler(t *testing.T, cfg Config) (http.Handler, *openapi3.T) {
	t.Helper()
	cfg.Authenticate = func(ctx context.Context, token string) (context.Context, error) {
		if token != "good" {
			return nil, errors.New("bad")
		}
		return ctx, nil
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	h, err := New(cfg, panicking{})
	if err != nil {
		t.Fatal(err)
	}
	doc, err := openapi3.NewLoader().LoadFromData(authorization.Spec())
	if err != nil {
		t.Fatal(err)
	}
	return h, doc
}

// serve sends a request to a handler and returns its response.
func serve(h http.Handler, method, target string, header http.Header, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	for name, values := range header {
		r.Header[http.CanonicalHeaderKey(name)] = values
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// targets returns the path of every operation by "METHOD path".
func targets(doc *openapi3.T) map[string]string {
	all := make(map[string]string)
	for path, item := range doc.Paths.Map() {
		for method := range item.Operations() {
			path := strings.NewReplacer("{sessionID}", "x", "{asset}", "docs.js", "{confirmationKey}", strings.Repeat("A", 43)).Replace(path)
			all[method+" "+path] = path
		}
	}
	return all
}

// Every response of every operation, also a failure, has the headers against caching, content sniffing, framing and unencrypted requests.
func TestHeadersOfEveryResponse(t *testing.T) {
	t.Parallel()
	for _, https := range []bool{true, false} {
		h, doc := newHandler(t, Config{HTTPS: https})
		responses := map[string]*httptest.ResponseRecorder{
			"unknown path":   serve(h, http.MethodGet, "/nowhere", nil, ""),
			"unknown method": serve(h, "BREW", "/v1/version", nil, ""),
		}
		for name, path := range targets(doc) {
			method, _, _ := strings.Cut(name, " ")
			good := http.Header{"Request-Id": {"12345678"}, "Authorization": {"good"}, "Content-Type": {"application/json"}}
			responses[name+" broken"] = serve(h, method, path+"?rid=12345678", good, "{}")
			responses[name+" without anything"] = serve(h, method, path, nil, "")
			responses[name+" too large"] = serve(h, method, path, good, strings.Repeat(" ", maxBody+1))
			responses[name+" wrong method"] = serve(h, http.MethodPatch, path, good, "")
		}
		for name, w := range responses {
			if w.Code < 400 {
				t.Fatalf("%s: %d, but every operation panics", name, w.Code)
			}
			want := map[string]string{
				"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer",
				"Strict-Transport-Security": "",
			}
			if https {
				want["Strict-Transport-Security"] = "max-age=63072000"
			}
			for header, value := range want {
				if got := w.Header().Get(header); got != value {
					t.Errorf("%s (%d): %s is %q, want %q", name, w.Code, header, got, value)
				}
			}
			if csp := w.Header().Get("Content-Security-Policy"); !strings.HasPrefix(csp, "default-src 'none'") || !strings.Contains(csp, "frame-ancestors 'none'") {
				t.Errorf("%s (%d): Content-Security-Policy is %q", name, w.Code, csp)
			}
			if got := w.Header().Get("Access-Control-Allow-Origin"); got != "" {
				t.Errorf("%s (%d): Access-Control-Allow-Origin %q without a setting", name, w.Code, got)
			}
		}
	}
}

// Headers that override the method, the host or the path of a request have no effect.
func TestOverridesAreIgnored(t *testing.T) {
	t.Parallel()
	h, _ := newHandler(t, Config{})
	for _, name := range []string{"X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"} {
		w := serve(h, http.MethodPost, "/v1/oauth/refresh", http.Header{"Request-Id": {"12345678"}, name: {"PUT"}}, "")
		if w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != "PUT" {
			t.Errorf("%s: %d, Allow %q", name, w.Code, w.Header().Get("Allow"))
		}
	}
	for _, name := range []string{"X-Original-URL", "X-Rewrite-URL", "X-Forwarded-Prefix"} {
		if w := serve(h, http.MethodGet, "/nowhere", http.Header{name: {"/v1/version"}}, ""); w.Code != http.StatusNotFound {
			t.Errorf("%s: %d", name, w.Code)
		}
	}
	for _, target := range []string{"//v1/version", "/v1//version", "/v1/./version", "/x/../v1/version", "/v1/version/", "/V1/version", "/v1/version;x=1"} {
		w := serve(h, http.MethodGet, target, http.Header{"Request-Id": {"12345678"}}, "")
		if w.Code != http.StatusNotFound || w.Header().Get("Location") != "" {
			t.Errorf("%s: %d, Location %q", target, w.Code, w.Header().Get("Location"))
		}
	}
}

// A request writes exactly one line to the log, whatever it contains.
func TestOneLineForARequest(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	h, _ := newHandler(t, Config{Log: slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelInfo}))})
	evil := "x\r\n{\"msg\":\"request\"}\x1b[2J\u2028\x00"
	header := http.Header{"Request-Id": {evil}, "Accept": {evil}, "Accept-Language": {evil}, "User-Agent": {evil}, "X-Forwarded-For": {evil}}
	for _, target := range []string{"/v1/version", "/nowhere", "/u/x?rid=%0a%0d%00"} {
		log.Reset()
		serve(h, http.MethodGet, target, header, "")
		if lines := strings.Count(log.String(), "\n"); lines != 1 || strings.Count(log.String(), `"msg":"request"`) != 1 {
			t.Errorf("%s: %d lines: %s", target, lines, log.String())
		}
	}
}
