package contract

import (
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/financelime/authorization/test/harness"
)

// TestAccountPage expects the page to load only its own files, with a policy that allows nothing else, and to show what the settings say. The
// well-known URL leads to it, also below a path.
func TestAccountPage(t *testing.T) {
	t.Parallel()
	const appURL = "https://app.example.test/start"
	s := harness.Start(t, binary, contract, harness.SQLite, "AUTH_PUBLIC_URL=https://example.test/users/auth", "AUTH_APP_URL="+appURL,
		"AUTH_PASSWORD_MIN_LENGTH=20", "AUTH_INVITE_CODE_REQUIRED=false", "AUTH_DELETION_GRACE=36h")
	response, page := send(t, s, http.MethodGet, "/account", nil, "")
	wantStatus(t, "/account", response.StatusCode, 200)
	for name, parts := range map[string][]string{
		"Content-Security-Policy": {
			"default-src 'none'", "script-src 'self'", "style-src 'self'", "img-src blob:", "connect-src 'self'", "base-uri 'none'", "form-action 'none'",
			"frame-ancestors 'none'", "require-trusted-types-for 'script'",
		},
		"Permissions-Policy":     {"publickey-credentials-get=(self)", "publickey-credentials-create=(self)"},
		"Cache-Control":          {"no-store"},
		"Referrer-Policy":        {"no-referrer"},
		"X-Content-Type-Options": {"nosniff"},
	} {
		for _, part := range parts {
			if got := response.Header.Get(name); !strings.Contains(got, part) || strings.Contains(got, "unsafe") {
				t.Errorf("%s is %q, want %s", name, got, part)
			}
		}
	}
	if response.Header.Get("Set-Cookie") != "" {
		t.Error("the page sets a cookie")
	}
	for _, part := range []string{`data-min-length="20"`, `data-t="inviteCodeOptional"`, `data-grace="129600"`, `href="` + appURL + `"`} {
		if !strings.Contains(page, part) {
			t.Errorf("the page has no %s", part)
		}
	}
	if strings.Count(page, "://") != 1 {
		t.Errorf("the page refers to other hosts than the app's:\n%s", page)
	}

	files := 0
	for queue := regexp.MustCompile(`"(account/[a-z0-9.-]+)"`).FindAllStringSubmatch(page, -1); len(queue) > 0; queue = queue[1:] {
		response, body := send(t, s, http.MethodGet, "/"+queue[0][1], nil, "")
		wantStatus(t, queue[0][1], response.StatusCode, 200)
		want := map[bool]string{true: "text/css; charset=utf-8", false: "text/javascript; charset=utf-8"}[strings.HasSuffix(queue[0][1], ".css")]
		if got := response.Header.Get("Content-Type"); got != want {
			t.Errorf("%s is %s", queue[0][1], got)
		}
		files++
		if strings.HasSuffix(queue[0][1], "/account.js") {
			for _, module := range regexp.MustCompile(`["']\./([a-z0-9.-]+)["']`).FindAllStringSubmatch(body, -1) {
				queue = append(queue, []string{"", "account/" + module[1]})
			}
		}
	}
	if files < 5 {
		t.Errorf("the page loads %d files", files)
	}

	changePassword, _ := send(t, s, http.MethodGet, "/.well-known/change-password?return=https://evil.example/", nil, "")
	if location := changePassword.Header.Get("Location"); changePassword.StatusCode != 303 || location != "/users/auth/account#password" {
		t.Errorf("the well-known URL: %d, Location %q", changePassword.StatusCode, location)
	}
	changePassword, body := send(t, s, http.MethodGet, "/.well-known/change-password", http.Header{"Accept": {"application/json"}}, "")
	if body != `{"url":"https://example.test/users/auth/account#password"}`+"\n" {
		t.Errorf("the well-known URL as JSON: %d %s", changePassword.StatusCode, body)
	}
	// By this, password managers find out whether the status of the well-known URL means anything.
	other, _ := send(t, s, http.MethodGet, "/.well-known/resource-that-should-not-exist-whose-status-code-should-not-be-200", nil, "")
	wantStatus(t, "the well-known URL of nothing", other.StatusCode, 404)
}

// TestAccountAssets expects no other file of the service, whatever the name.
func TestAccountAssets(t *testing.T) {
	t.Parallel()
	s := harness.Start(t, binary, contract, harness.SQLite)
	for name, status := range map[string]int{
		"account.go": 404, "account.html.tmpl": 404, "account.js.map": 404, "account": 404, ".": 404, "..": 404, "...": 404, ".js": 404,
		"docs.js": 404, "swagger-ui.css": 404, "account.js.": 404,
		"account.js%20": 400, "account.js%00": 400, "ACCOUNT.JS": 400, "%2e%2e%2fdocs%2fdocs.js": 400, "..%5caccount.go": 400, "a_b.js": 400,
		"account.js;v=1": 400, strings.Repeat("a", 65): 400, "../docs/docs.js": 404, "./account.js": 404, "a/../account.js": 404,
	} {
		response, body := send(t, s, http.MethodGet, "/account/"+name, nil, "")
		if response.StatusCode != status || strings.Contains(body, "import") {
			t.Errorf("%q: %d, want %d", name, response.StatusCode, status)
		}
	}
}
