package hostile

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/uuid"
)

// linkOverrides are changes of a request that made other products mail links to the host of an attacker.
var linkOverrides = map[string]func(*request){
	"Host":                   headerOf("Host", "evil.example"),
	"Host with a port":       headerOf("Host", "evil.example:666"),
	"X-Forwarded-Host":       headerOf("X-Forwarded-Host", "evil.example"),
	"X-Forwarded-Proto":      headerOf("X-Forwarded-Proto", "evil"),
	"X-Forwarded-Port":       headerOf("X-Forwarded-Port", "666"),
	"X-Forwarded-Prefix":     headerOf("X-Forwarded-Prefix", "/evil"),
	"X-Forwarded-Server":     headerOf("X-Forwarded-Server", "evil.example"),
	"X-Host":                 headerOf("X-Host", "evil.example"),
	"X-Original-URL":         headerOf("X-Original-Url", "https://evil.example/"),
	"X-Rewrite-URL":          headerOf("X-Rewrite-Url", "https://evil.example/"),
	"Forwarded":              headerOf("Forwarded", "host=evil.example;proto=evil"),
	"Origin":                 headerOf("Origin", "https://evil.example"),
	"Referer":                headerOf("Referer", "https://evil.example/"),
	"the absolute form":      func(r *request) { r.target = "http://evil.example" + r.target },
	"the absolute form, TLS": func(r *request) { r.target = "https://evil.example" + r.target },
	"a query":                func(r *request) { r.target += "?redirect=https://evil.example&host=evil.example" },
}

// headerOf returns a change that sets a header.
func headerOf(name, value string) func(*request) {
	return func(r *request) { r.header[name] = []string{value} }
}

// Links in mails start with AUTH_PUBLIC_URL, whatever host the request has. One product had this vulnerability four times
// (CVE-2023-49097, CVE-2025-64101, GHSA-93m4-mfpg-c3xf, GHSA-pfrf-9r5f-73f5).
func TestLinksUsePublicURL(t *testing.T) {
	t.Parallel()
	for _, env := range environments(t) {
		for how, change := range sorted(linkOverrides) {
			email, rid := newAddress(), uuid.NewString()
			for i, path := range []string{"/v1/user/signup", "/v1/user/password"} { // the second request mails the link again
				body := `{"email":` + quoted(t, email) + `}`
				if i == 0 {
					body = `{"email":` + quoted(t, email) + `,"inviteCode":` + quoted(t, env.accepted["inviteCode"]) + `,"language":"en"}`
				}
				header := http.Header{"Content-Type": {"application/json"}, "Request-Id": {rid}}
				r := request{method: http.MethodPost, target: path, header: header, body: body}
				change(&r)
				env.want(how, env.mustSend(r), 204)
			}
			mails := env.s.WaitMails(t, email, 2)
			for _, m := range mails {
				if link := m.Link(t).String(); !strings.HasPrefix(link, "https://auth.example.test/u/") || !strings.HasSuffix(link, "?rid="+rid) {
					t.Errorf("%s: the link is %s", how, link)
				}
				if strings.Contains(m.Text+m.HTML+m.Subject+m.From, "evil") {
					t.Errorf("%s: the mail is %s", how, m.Text)
				}
			}
			if mails[0].Link(t).Path != mails[1].Link(t).Path {
				t.Errorf("%s: the links differ", how)
			}
		}
	}
}
