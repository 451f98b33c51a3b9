package server

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/financelime/authorization"
	"github.com/financelime/authorization/api"
)

// nothing is an implementation each of whose operations panics.
type nothing struct{ api.StrictServerInterface }

// surface is the HTTP surface before no implementation, and the document that it was made from.
func surface(t *testing.T, cfg Config) (http.Handler, *openapi3.T) {
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
	h, err := New(cfg, nothing{})
	if err != nil {
		t.Fatal(err)
	}
	doc, err := openapi3.NewLoader().LoadFromData(authorization.Spec())
	if err != nil {
		t.Fatal(err)
	}
	return h, doc
}

func serve(h http.Handler, method, target string, header http.Header, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	for name, values := range header {
		r.Header[http.CanonicalHeaderKey(name)] = values
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// targets are paths of every operation, with the method.
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

// Every answer of every operation, failures too, carries the headers that keep it from being stored, sniffed, framed or fetched in clear.
func TestHeadersOfEveryAnswer(t *testing.T) {
	t.Parallel()
	for _, https := range []bool{true, false} {
		h, doc := surface(t, Config{HTTPS: https})
		answers := map[string]*httptest.ResponseRecorder{
			"unknown path":   serve(h, http.MethodGet, "/nowhere", nil, ""),
			"unknown method": serve(h, "BREW", "/v1/version", nil, ""),
		}
		for name, path := range targets(doc) {
			method, _, _ := strings.Cut(name, " ")
			good := http.Header{"Request-Id": {"12345678"}, "Authorization": {"good"}, "Content-Type": {"application/json"}}
			answers[name+" broken"] = serve(h, method, path+"?rid=12345678", good, "{}")
			answers[name+" without anything"] = serve(h, method, path, nil, "")
			answers[name+" too large"] = serve(h, method, path, good, strings.Repeat(" ", maxBody+1))
			answers[name+" wrong method"] = serve(h, http.MethodPatch, path, good, "")
		}
		for name, w := range answers {
			if w.Code < 400 {
				t.Fatalf("%s: %d, but nothing is implemented", name, w.Code)
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

// Twelve origins, of which one is listed: only its pages may call, and nobody else's origin comes back.
func TestCORS(t *testing.T) {
	t.Parallel()
	const listed = "https://app.example.com"
	h, doc := surface(t, Config{CORSOrigins: []string{listed}})
	origins := []string{
		listed, "https://APP.example.com", "http://app.example.com", "https://app.example.com:443", "https://app.example.com.evil.test",
		"https://evil.test/https://app.example.com", "https://sub.app.example.com", "https://app.example.co", "null", "*", "https://app.example.com/",
		"https://app.example.com https://evil.test",
	}
	for name, path := range targets(doc) {
		method, _, _ := strings.Cut(name, " ")
		for _, origin := range origins {
			w := serve(h, http.MethodOptions, path, http.Header{"Origin": {origin}, "Access-Control-Request-Method": {method}}, "")
			asked := serve(h, method, path, http.Header{"Origin": {origin}}, "")
			wantStatus, wantOrigin := http.StatusMethodNotAllowed, ""
			if origin == listed {
				wantStatus, wantOrigin = http.StatusNoContent, listed
			}
			if w.Code != wantStatus {
				t.Errorf("preflight of %s from %s: %d, want %d", name, origin, w.Code, wantStatus)
			}
			for _, answer := range []*httptest.ResponseRecorder{w, asked} {
				if got := answer.Header().Get("Access-Control-Allow-Origin"); got != wantOrigin {
					t.Errorf("%s from %s: Access-Control-Allow-Origin %q, want %q", name, origin, got, wantOrigin)
				}
				if !slices.Contains(answer.Header().Values("Vary"), "Origin") {
					t.Errorf("%s from %s: Vary is %q", name, origin, answer.Header().Values("Vary"))
				}
				if got := answer.Header().Get("Access-Control-Allow-Credentials"); got != "" {
					t.Errorf("%s from %s: Access-Control-Allow-Credentials %q", name, origin, got)
				}
			}
		}
	}
	w := serve(h, http.MethodOptions, "/v1/oauth/refresh", http.Header{"Origin": {listed}, "Access-Control-Request-Method": {"PUT"}}, "")
	if got := w.Header().Get("Access-Control-Allow-Methods"); got != "PUT" {
		t.Errorf("methods: %q", got)
	}
	if got := w.Header().Get("Access-Control-Allow-Headers"); got != "authorization, content-type, if-none-match, request-id" {
		t.Errorf("headers: %q", got)
	}
	asked := serve(h, http.MethodPut, "/v1/oauth/refresh", http.Header{"Origin": {listed}}, "")
	for _, name := range []string{"request-id", "retry-after", "ratelimit"} {
		if !strings.Contains(asked.Header().Get("Access-Control-Expose-Headers"), name) {
			t.Errorf("%s can not be read: %q", name, asked.Header().Get("Access-Control-Expose-Headers"))
		}
	}
	for name, header := range map[string]http.Header{
		"a method that the path has not": {"Origin": {listed}, "Access-Control-Request-Method": {"DELETE"}},
		"no method":                      {"Origin": {listed}},
		"two origins":                    {"Origin": {listed, listed}, "Access-Control-Request-Method": {"PUT"}},
	} {
		if w := serve(h, http.MethodOptions, "/v1/oauth/refresh", header, ""); w.Code != http.StatusMethodNotAllowed {
			t.Errorf("preflight with %s: %d", name, w.Code)
		}
	}
}

// WebViews and desktop shells have origins of their own schemes (RFC 6454 section 6.2).
func TestCORSOfShells(t *testing.T) {
	t.Parallel()
	listed := []string{"capacitor://localhost", "ionic://localhost", "tauri://localhost", "app://.", "http://tauri.localhost"}
	h, _ := surface(t, Config{CORSOrigins: listed})
	for _, origin := range append([]string{"capacitor://evil", "capacitor://localhost:1", "app://", "null", "CAPACITOR://localhost"}, listed...) {
		w := serve(h, http.MethodOptions, "/v1/oauth/refresh", http.Header{"Origin": {origin}, "Access-Control-Request-Method": {"PUT"}}, "")
		want, allowed := http.StatusMethodNotAllowed, ""
		if slices.Contains(listed, origin) {
			want, allowed = http.StatusNoContent, origin
		}
		if got := w.Header().Get("Access-Control-Allow-Origin"); w.Code != want || got != allowed {
			t.Errorf("%s: %d, Access-Control-Allow-Origin %q", origin, w.Code, got)
		}
	}
}

// What is longer than any request of the contract is refused, exactly from the bound on.
func TestFirstLineAndHeadersAreBounded(t *testing.T) {
	t.Parallel()
	h, _ := surface(t, Config{})
	headers := func(n int) http.Header {
		return http.Header{"Request-Id": {"12345678"}, "X-Filler": slices.Repeat([]string{"x"}, n-1)}
	}
	url := func(n int) string { return "/v1/version?" + strings.Repeat("x", n-len("/v1/version?")) }
	// 500 is how nothing answers what was let through.
	for name, test := range map[string]struct {
		got, want int
	}{
		"the longest URL":   {serve(h, http.MethodGet, url(maxURL), headers(1), "").Code, 500},
		"a longer URL":      {serve(h, http.MethodGet, url(maxURL+1), headers(1), "").Code, 400},
		"the most headers":  {serve(h, http.MethodGet, "/v1/version", headers(maxHeaders), "").Code, 500},
		"one header more":   {serve(h, http.MethodGet, "/v1/version", headers(maxHeaders+1), "").Code, 400},
		"a longer link":     {serve(h, http.MethodGet, "/u/"+strings.Repeat("A", 43)+"?rid=12345678&x="+strings.Repeat("x", maxURL), nil, "").Code, 404},
		"a compressed body": {serve(h, http.MethodPut, "/v1/oauth/refresh", http.Header{"Request-Id": {"12345678"}, "Content-Type": {"application/json"}, "Content-Encoding": {"gzip"}}, `{"refreshToken":"x"}`).Code, 400},
		"a plain body":      {serve(h, http.MethodPut, "/v1/oauth/refresh", http.Header{"Request-Id": {"12345678"}, "Content-Type": {"application/json"}, "Content-Encoding": {"identity"}}, `{"refreshToken":"x"}`).Code, 500},
	} {
		if test.got != test.want {
			t.Errorf("%s: %d, want %d", name, test.got, test.want)
		}
	}
}

// Headers that ask for another method, host or path than the request's own change nothing.
func TestOverridesAreIgnored(t *testing.T) {
	t.Parallel()
	h, _ := surface(t, Config{})
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

// A request is one line of the log, whatever is in it.
func TestOneLineForARequest(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	h, _ := surface(t, Config{Log: slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelInfo}))})
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
