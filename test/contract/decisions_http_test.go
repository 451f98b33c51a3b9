package contract

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/financelime/authorization/test/harness"
)

// operation is one operation of the contract with a concrete path.
type operation struct{ method, path string }

// isLink reports whether it is a mailed link, whose responses are pages.
func (o operation) isLink() bool {
	return strings.HasPrefix(o.path, "/u/") || strings.HasPrefix(o.path, "/l/")
}

// someSession is the ID of a session that does not exist.
const someSession = "019aaf6e-9c2b-7c41-8b1e-2f60a4a9d1c7"

// unknownPageLink is a link of /l/ that does not exist, without its rid.
var unknownPageLink = "/l/" + strings.Repeat("A", 43)

func operations() []operation {
	return []operation{
		{http.MethodPost, "/v1/user/signup"}, {http.MethodPost, "/v1/user/password"}, {http.MethodGet, "/u/" + strings.Repeat("A", 43)},
		{http.MethodPost, "/v1/oauth/create"}, {http.MethodPut, "/v1/oauth/refresh"}, {http.MethodGet, "/v1/session/list"},
		{http.MethodDelete, "/v1/session/remove"}, {http.MethodDelete, "/v1/session/" + someSession}, {http.MethodGet, "/v1/version"},
		{http.MethodGet, "/.well-known/jwks.json"}, {http.MethodGet, "/openapi.json"}, {http.MethodGet, "/openapi.yaml"},
		{http.MethodGet, "/v1/oauth/verify"}, {http.MethodGet, "/.well-known/openid-configuration"}, {http.MethodGet, "/docs"},
		{http.MethodGet, "/docs/docs.js"}, {http.MethodGet, "/account"}, {http.MethodGet, "/account/account.js"},
		{http.MethodGet, "/.well-known/change-password"},
		{http.MethodGet, "/v1/user"}, {http.MethodPut, "/v1/user/password"}, {http.MethodPost, "/v1/session/remove_others"},
		{http.MethodPost, "/v1/user/email"}, {http.MethodDelete, "/v1/user/email"},
		{http.MethodPost, "/v1/oauth/step_up"}, {http.MethodPost, "/v1/oauth/second_factor"},
		{http.MethodGet, unknownPageLink}, {http.MethodPost, unknownPageLink},
		{http.MethodDelete, "/v1/user"}, {http.MethodGet, "/v1/user/export"},
		{http.MethodGet, "/v1/user/passkey/list"}, {http.MethodPost, "/v1/user/passkey/options"}, {http.MethodPost, "/v1/user/passkey/add"},
		{http.MethodPut, "/v1/user/passkey/" + someSession}, {http.MethodDelete, "/v1/user/passkey/" + someSession},
		{http.MethodPost, "/v1/oauth/passkey/options"}, {http.MethodPost, "/v1/oauth/passkey"},
		{http.MethodPost, "/v1/user/totp"}, {http.MethodPut, "/v1/user/totp"}, {http.MethodDelete, "/v1/user/totp"},
		{http.MethodPost, "/v1/user/second_factor"}, {http.MethodDelete, "/v1/user/second_factor"}, {http.MethodPost, "/v1/user/recovery_codes"},
	}
}

// methodsOf returns the methods of a path in alphabetical order.
func methodsOf(path string) []string {
	var methods []string
	for _, op := range operations() {
		if op.path == path {
			methods = append(methods, op.method)
		}
	}
	slices.Sort(methods)
	return methods
}

func otherMethods(t *testing.T, s *harness.Service) {
	for _, op := range operations() {
		allowed := methodsOf(op.path)
		for _, method := range []string{
			http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete,
			http.MethodOptions, http.MethodTrace,
		} {
			if slices.Contains(allowed, method) {
				continue
			}
			header := jsonHeader()
			header.Set("X-Http-Method-Override", op.method)
			response, body := send(t, s, method, op.path, header, "")
			if response.StatusCode != 405 || response.Header.Get("Allow") != strings.Join(allowed, ", ") {
				t.Errorf("%s %s: %d, Allow %q", method, op.path, response.StatusCode, response.Header.Get("Allow"))
			}
			if method != http.MethodHead && !op.isLink() {
				wantFailure(t, method+" "+op.path, response, body, 405, "405 Method Not Allowed")
			}
		}
	}
}

func unknownPaths(t *testing.T, s *harness.Service) {
	for _, path := range []string{
		"/", "/v1", "/v1/", "/v1/version/", "//v1/version", "/V1/version", "/v1/%76ersion", "/v1/oauth/../version", "/u/", "/u", "/l/", "/l",
		"/healthz", "/readyz", "/metrics", "/mail", "/mail.json", "/debug/pprof/", "/v1/session/", "/favicon.ico",
		"/v1/session/list/", "/v1/session/a/b", "/docs/docs.js/", "/docs/a/b",
		"/account/account.js/", "/account/a/b", "/.well-known/change-password/", "/.well-known/",
	} {
		response, body := send(t, s, http.MethodGet, path, http.Header{"Request-Id": {rid()}}, "")
		wantFailure(t, path, response, body, 404, "404 Not Found")
	}
}

func largeBodies(t *testing.T, s *harness.Service) {
	for _, op := range operations() {
		response, _ := send(t, s, op.method, op.path, jsonHeader(), `{"email":"`+strings.Repeat("a", 16<<10)+`"}`)
		if response.StatusCode != 413 {
			t.Errorf("%s %s: %d", op.method, op.path, response.StatusCode)
		}
	}
	exactly := `{"refreshToken":"a.b.c"}`
	exactly += strings.Repeat(" ", 16<<10-len(exactly))
	response, _ := send(t, s, http.MethodPut, "/v1/oauth/refresh", jsonHeader(), exactly)
	wantStatus(t, "exactly 16 KiB", response.StatusCode, 400)
	response, _ = send(t, s, http.MethodPut, "/v1/oauth/refresh", jsonHeader(), exactly+" ")
	wantStatus(t, "one byte more", response.StatusCode, 413)
	chunked, err := http.NewRequestWithContext(t.Context(), http.MethodPut, s.URL+"/v1/oauth/refresh", &unknownLength{strings.NewReader(exactly + " ")})
	if err != nil {
		t.Fatal(err)
	}
	chunked.Header = jsonHeader()
	response, _ = do(t, s, chunked)
	wantStatus(t, "one byte more in chunks", response.StatusCode, 413)
}

// unknownLength hides a body's length, so that it is sent with chunked encoding.
type unknownLength struct{ r *strings.Reader }

func (u *unknownLength) Read(p []byte) (int, error) { return u.r.Read(p) }
