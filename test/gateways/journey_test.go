//go:build gateways

package gateways

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/financelime/authorization/api"
	"github.com/financelime/authorization/api/client"
	"github.com/financelime/authorization/impl/limit"
	"github.com/financelime/authorization/impl/server"
	"github.com/financelime/authorization/test/harness"
)

// TestContractThroughGateway checks that each gateway passes the service's own API unchanged: the client receives every response that
// openapi.yaml documents.
func TestContractThroughGateway(t *testing.T) {
	t.Parallel()
	for _, r := range recipes() {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			s := newFixture(t, r)
			p := newPerson(t, s)
			journey(p)
			checkErrors(p)
			checkDocuments(p)
			if !r.ownErrors {
				checkUnknownPaths(p)
			}
			checkServerErrors(t, s)
			if unseen := slices.DeleteFunc(s.contract.Unseen(), func(response string) bool {
				return r.ownErrors && strings.HasSuffix(response, " 405") || r.followsRedirects && strings.HasPrefix(response, "get_change_password ")
			}); len(unseen) > 0 {
				t.Errorf("of %d documented responses, these were not received: %v", s.contract.Documented(), unseen)
			}
			if n := s.upstream.count(); n != 0 {
				t.Errorf("the upstream received %d requests", n)
			}
		})
	}
}

// journey calls the operations in the order in which a user needs them.
func journey(p *person) {
	code := p.s.service.Invite(p.t, 1)
	p.want("sign up with an unknown code", p.signUp("no-such-code"), 404)
	p.want("sign up", p.signUp(code), 204)
	p.want("sign up again", p.signUp(code), 409)
	link := p.mail().Link(p.t)
	p.want("open the link", p.open(link), 200)
	p.want("open it again", p.open(link), 404)
	p.password = p.mail().Password(p.t)
	p.want("log in with a wrong password", p.tryLogin("wrong").StatusCode(), 404)

	first := p.login()
	refreshed := p.calls().Refresh(first.RefreshToken)
	p.want("refresh", refreshed.StatusCode(), 200)
	p.session = *refreshed.JSON200
	list := p.sessions()
	if len(list) != 1 || list[0].RemoteAddr != clientAddr.String() {
		p.t.Errorf("want one session from %s, despite forged headers: %+v", clientAddr, list)
	}

	p.verify()
	p.changePassword()
	p.revoke(first.SessionID)
	p.want("refresh of an ended session", p.calls().Refresh(p.session.RefreshToken).StatusCode(), 404)
	p.login()
	p.want("revoke by path", p.revokeByPath(p.session.SessionID), 204)
	if list := p.sessions(); len(list) != 0 {
		p.t.Errorf("want no session: %+v", list)
	}

	stranger := newPerson(p.t, p.s)
	p.want("reset of an unknown address", stranger.resetPassword(), 404)
	p.want("reset", p.resetPassword(), 204)
	p.want("open the reset link", p.open(p.mail().Link(p.t)), 200)
	p.password = p.mail().Password(p.t)
	p.login()
	p.choosePassword()
	p.changeAddress()
	p.useFactors()
	p.leave()
}

// newAddress returns an address that is not part of another one, and does not contain one: mails are found by it.
func (p *person) newAddress() string { return strings.Replace(p.email, "@", "-new@", 1) }

// changeAddress asks for an address that another user takes first.
func (p *person) changeAddress() {
	faster, taken := newPerson(p.t, p.s).join(), strings.Replace(p.email, "@", "-taken@", 1)
	for _, who := range []*person{faster, p} {
		p.want("request an address", who.calls().RequestEmail(who.session.AccessToken, taken).StatusCode(), 204)
		p.s.service.WaitMails(p.t, taken, 1)
	}
	links := p.s.service.WaitMails(p.t, taken, 2)
	p.want("the page of the address", p.open(links[1].Link(p.t)), 200)
	p.want("confirm the address", p.calls().UseLink(links[1].Link(p.t), client.UseLinkRequest{}).StatusCode(), 200)
	p.want("confirm an address that is taken meanwhile", p.calls().UseLink(links[0].Link(p.t), client.UseLinkRequest{}).StatusCode(), 409)
}

// leave exports the data and deletes the user.
func (p *person) leave() {
	p.want("export", p.calls().ExportUser(p.session.AccessToken).StatusCode(), 200)
	p.s.service.AgeAuthentications(p.t, 11*time.Minute)
	p.want("export after a while", p.calls().ExportUser(p.session.AccessToken).StatusCode(), 403)
	p.want("delete the user after a while", p.calls().DeleteUser(p.session.AccessToken).StatusCode(), 403)
	p.want("step up", p.calls().StepUp(p.session.AccessToken, p.password).StatusCode(), 200)
	p.want("delete the user", p.calls().DeleteUser(p.session.AccessToken).StatusCode(), 204)
	p.want("log in after that", p.tryLogin(p.password).StatusCode(), 404)
}

// choosePassword uses a link that opens a page, with JSON and with the form of the page.
func (p *person) choosePassword() {
	const chosen = "nine quiet rivers after dusk"
	p.want("reset to choose", p.calls().ResetToChoose(p.email).StatusCode(), 204)
	link := p.mail().Link(p.t)
	p.want("the page", p.open(link), 200)
	short := "short"
	p.want("no password", p.calls().UseLink(link, client.UseLinkRequest{}).StatusCode(), 400)
	p.want("a short password", p.calls().UseLink(link, client.UseLinkRequest{NewPassword: &short}).StatusCode(), 422)
	form := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}, "Accept": {"text/html"}, "Origin": {"null"}}
	response, page := p.send(http.MethodPost, link.RequestURI(), form, "newPassword="+url.QueryEscape(chosen))
	if response.StatusCode != 200 || !strings.Contains(page, "<h1>") {
		p.t.Errorf("the form of the page: %d %s", response.StatusCode, page)
	}
	p.want("the form again", p.calls().UseLink(link, client.UseLinkRequest{NewPassword: &short}).StatusCode(), 404)
	p.want("open the used link", p.open(link), 404)
	p.password = chosen
	p.login()
}

// changePassword calls the operations of the user's own account.
func (p *person) changePassword() {
	const chosen = "seven green boats at noon"
	token := p.session.AccessToken
	p.want("change the password to a short one", p.calls().ChangePassword(token, p.password, "short").StatusCode(), 422)
	p.want("change the password with a wrong one", p.calls().ChangePassword(token, "wrong", chosen).StatusCode(), 403)
	changed := p.calls().ChangePassword(token, p.password, chosen)
	p.want("change the password", changed.StatusCode(), 200)
	p.password, p.session = chosen, *changed.JSON200
	p.want("step up with a wrong password", p.calls().StepUp(p.session.AccessToken, "wrong").StatusCode(), 403)
	p.want("step up", p.calls().StepUp(p.session.AccessToken, chosen).StatusCode(), 200)
	p.want("end the other sessions", p.calls().RevokeOthers(p.session.AccessToken).StatusCode(), 204)
	p.want("request the own address", p.calls().RequestEmail(p.session.AccessToken, p.email).StatusCode(), 409)
	p.want("request another address", p.calls().RequestEmail(p.session.AccessToken, p.newAddress()).StatusCode(), 204)
	p.want("cancel the request", p.calls().CancelEmail(p.session.AccessToken).StatusCode(), 204)
	p.s.service.AgeAuthentications(p.t, 11*time.Minute)
	p.want("request another address after a while", p.calls().RequestEmail(p.session.AccessToken, p.newAddress()).StatusCode(), 403)
	if user := p.calls().User(p.session.AccessToken); user.StatusCode() != 200 || user.JSON200.Email != p.email {
		p.t.Errorf("the account: %d %s", user.StatusCode(), user.Body)
	}
}

// verify calls the operation that gateways use, through the gateway.
func (p *person) verify() {
	r, err := p.api.VerifyAccessTokenWithResponse(p.t.Context(), &client.VerifyAccessTokenParams{}, harness.Bearer(p.session.AccessToken))
	p.must(err)
	if r.StatusCode() != 204 || r.HTTPResponse.Header.Get("x-auth-session-id") != p.session.SessionID {
		p.t.Errorf("verify: %d %v", r.StatusCode(), r.HTTPResponse.Header)
	}
}

// revoke ends a session by DELETE with a body. Behind a gateway that removes the body, clients use revokeByPath.
func (p *person) revoke(sessionID string) {
	p.want("revoke with a body", p.calls().Revoke(p.session.AccessToken, sessionID).StatusCode(), 204)
}

// request is a valid request of an operation.
type request struct{ method, path, body string }

// The first requests are those of operations with a limit, then follow the others that need the database.
const limitedRequests, databaseRequests = 12, 32

// credential is what a browser returns of a passkey, as far as openapi.yaml demands it.
const credential = `{"id":"AA","rawId":"AA","type":"public-key","response":{"clientDataJSON":"e30"}}`

// passkeyPath is the path of a passkey that nobody has.
const passkeyPath = "/v1/user/passkey/019aaf6e-0000-7000-8000-000000000000"

func requests() []request {
	return []request{
		{http.MethodPost, "/v1/user/signup", `{"email":"a@example.com","inviteCode":"c","language":"en"}`},
		{http.MethodPost, "/v1/user/password", `{"email":"a@example.com"}`},
		{http.MethodGet, "/u/" + strings.Repeat("A", 43) + "?rid=" + rid(), ""},
		{http.MethodGet, "/l/" + strings.Repeat("A", 43) + "?rid=" + rid(), ""},
		{http.MethodPost, "/l/" + strings.Repeat("A", 43) + "?rid=" + rid(), `{"newPassword":"seven green boats at noon"}`},
		{http.MethodPost, "/v1/oauth/create", `{"email":"a@example.com","password":"p","clientID":"c","device":{}}`},
		{http.MethodPut, "/v1/user/password", `{"currentPassword":"p","newPassword":"seven green boats at noon"}`},
		{http.MethodPost, "/v1/user/email", `{"newEmail":"a@example.com"}`},
		{http.MethodPost, "/v1/oauth/step_up", `{"password":"p"}`},
		{http.MethodPost, "/v1/oauth/second_factor", `{"ticket":"a.b.c","code":"287082"}`},
		{http.MethodPost, "/v1/oauth/passkey", `{"ceremony":"a.b.c","credential":` + credential + `,"clientID":"c","device":{}}`},
		{http.MethodGet, "/v1/user/export", ""},
		{http.MethodDelete, "/v1/user/email", ""},
		{http.MethodGet, "/v1/user", ""},
		{http.MethodDelete, "/v1/user", ""},
		{http.MethodPut, "/v1/oauth/refresh", `{"refreshToken":"a.b.c"}`},
		{http.MethodGet, "/v1/oauth/verify", ""},
		{http.MethodGet, "/v1/session/list", ""},
		{http.MethodDelete, "/v1/session/remove", `{"sessionID":"` + uuid.NewString() + `"}`},
		{http.MethodPost, "/v1/session/remove_others", ""},
		{http.MethodDelete, "/v1/session/" + uuid.NewString(), ""},
		{http.MethodPost, "/v1/user/totp", ""},
		{http.MethodPut, "/v1/user/totp", `{"code":"287082"}`},
		{http.MethodDelete, "/v1/user/totp", ""},
		{http.MethodPost, "/v1/user/second_factor", ""},
		{http.MethodDelete, "/v1/user/second_factor", ""},
		{http.MethodPost, "/v1/user/recovery_codes", ""},
		{http.MethodGet, "/v1/user/passkey/list", ""},
		{http.MethodPost, "/v1/user/passkey/options", ""},
		{http.MethodPost, "/v1/user/passkey/add", `{"ceremony":"a.b.c","name":"Phone","credential":` + credential + `}`},
		{http.MethodPut, passkeyPath, `{"name":"Phone"}`},
		{http.MethodDelete, passkeyPath, ""},
		{http.MethodPost, "/v1/oauth/passkey/options", ""},
		{http.MethodGet, "/v1/version", ""},
		{http.MethodGet, "/.well-known/jwks.json", ""},
		{http.MethodGet, "/.well-known/openid-configuration", ""},
		{http.MethodGet, "/openapi.json", ""},
		{http.MethodGet, "/openapi.yaml", ""},
		{http.MethodGet, "/docs", ""},
		{http.MethodGet, "/docs/docs.js", ""},
		{http.MethodGet, "/account", ""},
		{http.MethodGet, "/account/account.js", ""},
		{http.MethodGet, changePasswordPath, ""},
	}
}

// isLink reports whether a path is that of a mailed link, whose responses are pages.
func isLink(path string) bool {
	return strings.HasPrefix(path, "/u/") || strings.HasPrefix(path, "/l/")
}

// changePasswordPath is the path of the only operation that redirects.
const changePasswordPath = "/.well-known/change-password"

// passed returns the requests of the operations that the gateway passes.
func (r *recipe) passed() []request {
	return slices.DeleteFunc(requests(), func(q request) bool { return r.followsRedirects && q.path == changePasswordPath })
}

// allowed returns the methods of a path, as in the header Allow.
func allowed(path string) string {
	var methods []string
	for _, r := range requests() {
		if r.path == path || isLink(path) && path[:3] == r.path[:3] {
			methods = append(methods, r.method)
		}
	}
	if len(methods) == 0 { // a session with an ID of its own
		return http.MethodDelete
	}
	slices.Sort(methods)
	return strings.Join(methods, ", ")
}

func (r request) secured() bool {
	return strings.HasPrefix(r.path, "/v1/session/") || r.path == "/v1/oauth/verify" || r.path == "/v1/oauth/step_up" || r.path == "/v1/user" || r.path == "/v1/user/export" ||
		r.path == "/v1/user/email" || r.path == "/v1/user/totp" || r.path == "/v1/user/second_factor" || r.path == "/v1/user/recovery_codes" ||
		strings.HasPrefix(r.path, "/v1/user/passkey/") ||
		r.method == http.MethodPut && r.path == "/v1/user/password"
}

// header returns the header of a valid request.
func (r request) header(token string) http.Header {
	h := http.Header{"Request-Id": {rid()}}
	if r.body != "" {
		h.Set("Content-Type", "application/json")
	}
	if r.secured() {
		h.Set("Authorization", "Bearer "+token)
	}
	return h
}

// checkErrors checks the errors of the service's HTTP layer for every operation, and that the request ID reaches the service and returns.
func checkErrors(p *person) {
	for _, r := range p.s.passed() {
		what := r.method + " " + r.path
		page := isLink(r.path)

		large := r.header(p.session.AccessToken)
		large.Set("Content-Type", "application/json")
		response, _ := p.send(r.method, r.path, large, strings.Repeat(" ", 17<<10))
		p.want(what+" with 17 KiB", response.StatusCode, 413)
		if id := response.Header.Get("request-id"); !page && (id != large.Get("request-id") || !p.s.serviceLogs(id)) {
			p.t.Errorf("%s: request-id %q was returned as %q, or did not reach the service", what, large.Get("request-id"), id)
		}
		if !p.s.ownErrors {
			response, _ = p.send(http.MethodPatch, r.path, r.header(""), "")
			if response.StatusCode != 405 || response.Header.Get("Allow") != allowed(r.path) {
				p.t.Errorf("PATCH %s: %d, Allow %q", r.path, response.StatusCode, response.Header.Get("Allow"))
			}
		}
		if r.secured() {
			response, _ = p.send(r.method, r.path, r.header("x"), r.body)
			if response.StatusCode != 401 || !strings.HasPrefix(response.Header.Get("WWW-Authenticate"), "Bearer") {
				p.t.Errorf("%s with a bad token: %d, WWW-Authenticate %q", what, response.StatusCode, response.Header.Get("WWW-Authenticate"))
			}
		}
		if !page {
			malformed := r.header(p.session.AccessToken)
			malformed.Set("request-id", "bad id")
			response, _ = p.send(r.method, r.path, malformed, r.body)
			p.want(what+" with a malformed request-id", response.StatusCode, 400)
		}
	}
}

// checkDocuments checks the cacheable documents and conditional requests.
func checkDocuments(p *person) {
	for _, path := range []string{"/.well-known/jwks.json", "/.well-known/openid-configuration", "/openapi.json", "/openapi.yaml", "/docs/docs.js", "/account/account.js"} {
		direct, want := harness.Send(p.t, http.DefaultClient, http.MethodGet, p.s.service.URL+path, nil, "")
		response, body := p.send(http.MethodGet, path, nil, "")
		p.want(path, response.StatusCode, 200)
		if body != want {
			p.t.Errorf("%s: received %d bytes, want %d", path, len(body), len(want))
		}
		for _, name := range []string{"ETag", "Cache-Control", "Content-Type", "X-Content-Type-Options"} {
			if got := response.Header.Get(name); got == "" || got != direct.Header.Get(name) {
				p.t.Errorf("%s: %s is %q, but %q without the gateway", path, name, got, direct.Header.Get(name))
			}
		}
		again, _ := p.send(http.MethodGet, path, http.Header{"If-None-Match": {response.Header.Get("ETag")}}, "")
		p.want(path+" again", again.StatusCode, 304)
	}
	for _, path := range []string{"/docs", "/account"} {
		direct, want := harness.Send(p.t, http.DefaultClient, http.MethodGet, p.s.service.URL+path, nil, "")
		response, page := p.send(http.MethodGet, path, nil, "")
		if csp := response.Header.Get("Content-Security-Policy"); page != want || csp == "" || csp != direct.Header.Get("Content-Security-Policy") {
			p.t.Errorf("%s was changed: %d bytes instead of %d, CSP %q", path, len(page), len(want), csp)
		}
	}
	if !p.s.followsRedirects {
		program, _ := p.send(http.MethodGet, changePasswordPath, http.Header{"Accept": {"application/json"}}, "")
		p.want("the URL to change the password", program.StatusCode, 200)
		response, _ := p.send(http.MethodGet, changePasswordPath, nil, "")
		if location := response.Header.Get("Location"); response.StatusCode != 303 || !strings.HasSuffix(location, "/account#password") {
			p.t.Errorf("the page to change the password: %d, Location %q", response.StatusCode, location)
		}
	}
	response, _ := p.send(http.MethodGet, "/v1/version", http.Header{"Request-Id": {rid()}}, "")
	p.want("version", response.StatusCode, 200)
	for _, path := range []string{"/docs/no-such-part", "/account/no-such-part"} {
		response, _ = p.send(http.MethodGet, path, nil, "")
		p.want(path, response.StatusCode, 404)
	}
	for accept, contentType := range map[string]string{"text/plain": "text/plain", "application/json": "application/json", "text/html": "text/html"} {
		response, _ := p.send(http.MethodGet, "/u/x?rid="+rid(), http.Header{"Accept": {accept}}, "")
		if got := response.Header.Get("Content-Type"); response.StatusCode != 404 || !strings.HasPrefix(got, contentType) {
			p.t.Errorf("the link page for %s: %d %s", accept, response.StatusCode, got)
		}
	}
}

// checkUnknownPaths checks that paths outside the contract, and other spellings of its paths, get the service's 404.
func checkUnknownPaths(p *person) {
	for _, path := range []string{
		"/", "/v1/", "/v1/version/", "//v1/version", "/V1/version", "/v1/%76ersion", "/v1//version", "/metrics", "/mail.json", "/v1/%C3%BC",
	} {
		if p.s.decodes && strings.Contains(path, "%76") {
			continue
		}
		response, _ := p.send(http.MethodGet, path, http.Header{"Request-Id": {rid()}}, "")
		p.want(path, response.StatusCode, 404)
	}
	response, _ := p.send(http.MethodHead, "/v1/version", http.Header{"Request-Id": {rid()}}, "")
	p.want("HEAD", response.StatusCode, 405)
	response, _ = p.send(http.MethodOptions, "/v1/version", http.Header{"Request-Id": {rid()}}, "")
	p.want("OPTIONS", response.StatusCode, 405)
}

// checkServerErrors checks that the gateway passes 500, 429 and 503 of every operation, from a service that only fails.
func checkServerErrors(t *testing.T, s *fixture) {
	t.Helper()
	var state atomic.Value // the current http.Handler of the service
	authenticate := func(ctx context.Context, _ string) (context.Context, error) { return ctx, nil }
	log := slog.New(slog.DiscardHandler)
	broken, err := server.New(server.Config{Authenticate: authenticate, Log: log}, struct{ api.StrictServerInterface }{})
	if err != nil {
		t.Fatal(err)
	}
	serviceFailingWith := func(err error) http.Handler {
		handler, newErr := server.New(server.Config{Authenticate: authenticate, Log: log}, failing{err: err})
		if newErr != nil {
			t.Fatal(newErr)
		}
		return handler
	}
	state.Store(broken)
	stub := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if got := r.Header.Values("X-Forwarded-For"); strings.HasPrefix(r.Header.Get("request-id"), "gw-") && !slices.Equal(got, []string{clientAddr.String()}) {
			t.Errorf("%s %s: the service received X-Forwarded-For %q, want only the client's address", r.Method, r.URL.Path, got)
		}
		state.Load().(http.Handler).ServeHTTP(w, r)
	}))
	t.Cleanup(stub.Close)
	g := s.start(t, environment{service: stub.Listener.Addr().String(), keys: s.service.URL, upstream: s.upstream.addr})
	p := &person{t: t, s: &fixture{gateway: g}, http: s.contract.ClientFrom(t, clientAddr)}
	for _, r := range s.passed() {
		header := r.header("x")
		maps.Copy(header, spoofed())
		response, _ := p.send(r.method, r.path, header, r.body)
		p.want(r.method+" "+r.path+" of a broken service", response.StatusCode, 500)
	}
	without, err := server.New(server.Config{Authenticate: authenticate, Log: log}, withoutPasskeys{})
	if err != nil {
		t.Fatal(err)
	}
	state.Store(without)
	for _, r := range requests() {
		if strings.HasSuffix(r.path, "/passkey/options") || r.path == "/v1/user/passkey/add" {
			response, _ := p.send(r.method, r.path, r.header("x"), r.body)
			p.want(r.method+" "+r.path+" of a service without passkeys", response.StatusCode, 404)
		}
	}
	state.Store(serviceFailingWith(&limit.ExceededError{Limit: limit.LinkSource, Rate: limit.Rate{Count: 20, Per: time.Hour}, Wait: 7 * time.Second}))
	for _, r := range requests()[:limitedRequests] {
		response, _ := p.send(r.method, r.path, r.header("x"), r.body)
		if response.StatusCode != 429 || response.Header.Get("RateLimit") != `"link-source";r=0;t=7` {
			t.Errorf("%s %s over a limit: %d, RateLimit %q", r.method, r.path, response.StatusCode, response.Header.Get("RateLimit"))
		}
	}
	state.Store(serviceFailingWith(unavailableError{errors.New("unavailable")}))
	for _, r := range requests()[:databaseRequests] {
		response, _ := p.send(r.method, r.path, r.header("x"), r.body)
		if response.StatusCode != 503 || response.Header.Get("Retry-After") != "7" {
			t.Errorf("%s %s of a service without its database: %d, Retry-After %q", r.method, r.path, response.StatusCode, response.Header.Get("Retry-After"))
		}
	}
}
