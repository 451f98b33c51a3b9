package server

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
)

// Of twelve origins, one is listed. Only its pages may call the service, and no response contains another origin.
func TestCORS(t *testing.T) {
	t.Parallel()
	const listed = "https://app.example.com"
	h, doc := newHandler(t, Config{CORSOrigins: []string{listed}})
	origins := []string{
		listed, "https://APP.example.com", "http://app.example.com", "https://app.example.com:443", "https://app.example.com.evil.test",
		"https://evil.test/https://app.example.com", "https://sub.app.example.com", "https://app.example.co", "null", "*", "https://app.example.com/",
		"https://app.example.com https://evil.test",
	}
	for name, path := range targets(doc) {
		method, _, _ := strings.Cut(name, " ")
		for _, origin := range origins {
			w := serve(h, http.MethodOptions, path, http.Header{"Origin": {origin}, "Access-Control-Request-Method": {method}}, "")
			actual := serve(h, method, path, http.Header{"Origin": {origin}}, "")
			wantStatus, wantOrigin := http.StatusMethodNotAllowed, ""
			if origin == listed {
				wantStatus, wantOrigin = http.StatusNoContent, listed
			}
			if w.Code != wantStatus {
				t.Errorf("preflight of %s from %s: %d, want %d", name, origin, w.Code, wantStatus)
			}
			for _, response := range []*httptest.ResponseRecorder{w, actual} {
				if got := response.Header().Get("Access-Control-Allow-Origin"); got != wantOrigin {
					t.Errorf("%s from %s: Access-Control-Allow-Origin %q, want %q", name, origin, got, wantOrigin)
				}
				if !slices.Contains(response.Header().Values("Vary"), "Origin") {
					t.Errorf("%s from %s: Vary is %q", name, origin, response.Header().Values("Vary"))
				}
				if got := response.Header().Get("Access-Control-Allow-Credentials"); got != "" {
					t.Errorf("%s from %s: Access-Control-Allow-Credentials %q", name, origin, got)
				}
			}
		}
	}
	w := serve(h, http.MethodOptions, "/v1/oauth/refresh", http.Header{"Origin": {listed}, "Access-Control-Request-Method": {"PUT"}}, "")
	if got := w.Header().Get("Access-Control-Allow-Methods"); got != "PUT" {
		t.Errorf("methods: %q", got)
	}
	if got := w.Header().Get("Access-Control-Allow-Headers"); got != "authorization, baggage, content-type, if-none-match, request-id, traceparent, tracestate" {
		t.Errorf("headers: %q", got)
	}
	actual := serve(h, http.MethodPut, "/v1/oauth/refresh", http.Header{"Origin": {listed}}, "")
	for _, name := range []string{"date", "request-id", "retry-after", "ratelimit"} {
		if !strings.Contains(actual.Header().Get("Access-Control-Expose-Headers"), name) {
			t.Errorf("%s is not exposed: %q", name, actual.Header().Get("Access-Control-Expose-Headers"))
		}
	}
	for name, header := range map[string]http.Header{
		"a method that the path does not support": {"Origin": {listed}, "Access-Control-Request-Method": {"DELETE"}},
		"no method":   {"Origin": {listed}},
		"two origins": {"Origin": {listed, listed}, "Access-Control-Request-Method": {"PUT"}},
	} {
		if w := serve(h, http.MethodOptions, "/v1/oauth/refresh", header, ""); w.Code != http.StatusMethodNotAllowed {
			t.Errorf("preflight with %s: %d", name, w.Code)
		}
	}
}

// WebViews and desktop applications have origins with schemes of their own (RFC 6454 section 6.2).
func TestCORSOfApplications(t *testing.T) {
	t.Parallel()
	listed := []string{"capacitor://localhost", "ionic://localhost", "tauri://localhost", "app://.", "http://tauri.localhost"}
	h, _ := newHandler(t, Config{CORSOrigins: listed})
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
