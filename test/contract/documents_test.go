package contract

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/financelime/authorization/api/client"
	"github.com/financelime/authorization/test/harness"
)

// TestCachedDocuments expects Cache-Control and ETag on cacheable documents, and 304 for If-None-Match.
func TestCachedDocuments(t *testing.T) {
	t.Parallel()
	s := harness.Start(t, binary, contract, harness.SQLite)
	for path, cacheControl := range map[string]string{
		"/.well-known/jwks.json":            "public, max-age=300",
		"/.well-known/openid-configuration": "public, max-age=300",
		"/openapi.yaml":                     "public, no-cache",
		"/openapi.json":                     "public, no-cache",
		"/docs/swagger-ui.css":              "public, no-cache",
		"/docs/swagger-ui-bundle.js":        "public, no-cache",
		"/docs/docs.js":                     "public, no-cache",
		"/docs/docs.css":                    "public, no-cache",
		"/account/account.css":              "public, no-cache",
		"/account/account.js":               "public, no-cache",
	} {
		first, _ := send(t, s, http.MethodGet, path, nil, "")
		wantStatus(t, path, first.StatusCode, 200)
		etag := first.Header.Get("ETag")
		if got := first.Header.Get("Cache-Control"); got != cacheControl || len(etag) < 20 {
			t.Errorf("%s: Cache-Control %q, ETag %q", path, got, etag)
		}
		for _, have := range []string{etag, "W/" + etag, `"other", ` + etag, "*"} {
			again, body := send(t, s, http.MethodGet, path, http.Header{"If-None-Match": {have}}, "")
			if again.StatusCode != 304 || body != "" || again.Header.Get("ETag") != etag {
				t.Errorf("%s with If-None-Match %s: %d, ETag %q", path, have, again.StatusCode, again.Header.Get("ETag"))
			}
		}
		other, _ := send(t, s, http.MethodGet, path, http.Header{"If-None-Match": {`"other"`}}, "")
		wantStatus(t, path+" for somebody with another copy", other.StatusCode, 200)
		long, _ := send(t, s, http.MethodGet, path, http.Header{"If-None-Match": {strings.Repeat("x", 1025)}}, "")
		wantStatus(t, path+" with a huge If-None-Match", long.StatusCode, 400)
	}
}

// TestDiscovery follows the issuer to the keys that verify its tokens.
func TestDiscovery(t *testing.T) {
	t.Parallel()
	s := harness.Start(t, binary, contract, harness.SQLite, "AUTH_TOKEN_ISSUER=https://issuer.example.test")
	_, body := send(t, s, http.MethodGet, "/.well-known/openid-configuration", nil, "")
	var discovered map[string]string
	if err := json.Unmarshal([]byte(body), &discovered); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"issuer": "https://issuer.example.test", "jwks_uri": "https://auth.example.test/.well-known/jwks.json",
	}
	for name, value := range want {
		if discovered[name] != value {
			t.Errorf("%s is %q, want %q", name, discovered[name], value)
		}
	}
}

// TestDocsPage expects the page to load only its own parts, and that these exist.
func TestDocsPage(t *testing.T) {
	t.Parallel()
	s := harness.Start(t, binary, contract, harness.SQLite)
	response, page := send(t, s, http.MethodGet, "/docs", nil, "")
	wantStatus(t, "/docs", response.StatusCode, 200)
	if strings.Contains(page, "://") || !strings.Contains(response.Header.Get("Content-Security-Policy"), "script-src 'self'") {
		t.Errorf("the page refers to another host, or its policy is %q", response.Header.Get("Content-Security-Policy"))
	}
	for _, part := range []string{"docs/swagger-ui.css", "docs/docs.css", "docs/swagger-ui-bundle.js", "docs/docs.js"} {
		if !strings.Contains(page, `"`+part+`"`) {
			t.Errorf("the page does not load %s", part)
		}
		response, _ := send(t, s, http.MethodGet, "/"+part, nil, "")
		wantStatus(t, part, response.StatusCode, 200)
	}
	response, body := send(t, s, http.MethodGet, "/docs/page.html", nil, "")
	wantFailure(t, "a part that is none", response, body, 404, "404 Not Found")
}

// TestVerify expects the response to name the account and session of a token, and 401 immediately after the session has ended.
func TestVerify(t *testing.T) {
	t.Parallel()
	harness.EachEngine(t, func(t *testing.T, engine string) {
		s := harness.Start(t, binary, contract, engine)
		p := newPerson(t, s).join(s.Invite(t, 1))
		session := p.login()
		verify := func(token string) *client.VerifyAccessTokenResponse {
			t.Helper()
			r, err := s.API.VerifyAccessTokenWithResponse(t.Context(), &client.VerifyAccessTokenParams{}, bearer(token))
			if err != nil {
				t.Fatal(err)
			}
			return r
		}
		good := verify(session.AccessToken)
		p.want("a good token", good.StatusCode(), 204)
		header := good.HTTPResponse.Header
		if header.Get("x-auth-session-id") != session.SessionID || header.Get("x-auth-client-id") != "test_v1" || len(header.Get("x-auth-user-id")) != 36 {
			t.Errorf("the token is said to be of %v", header)
		}
		bad := verify(session.RefreshToken)
		p.want("a refresh token", bad.StatusCode(), 401)

		other := p.login()
		p.revoke(session.SessionID)
		ended := verify(session.AccessToken)
		p.want("a token of an ended session", ended.StatusCode(), 401)
		if ended.HTTPResponse.Header.Get("WWW-Authenticate") != `Bearer error="invalid_token"` {
			t.Errorf("the challenge is %q", ended.HTTPResponse.Header.Get("WWW-Authenticate"))
		}
		p.want("a token of another session", verify(other.AccessToken).StatusCode(), 204)
		s.Exec(t, "UPDATE account SET disabled_at = created_at")
		p.want("a token of a disabled account", verify(other.AccessToken).StatusCode(), 401)
		none, _ := send(t, s, http.MethodGet, "/v1/oauth/verify", nil, "")
		wantStatus(t, "no token", none.StatusCode, 401)
	})
}
