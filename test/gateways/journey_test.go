//go:build gateways

package gateways

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
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
)

// The service's own API goes through each gateway unchanged: every answer that openapi.yaml documents arrives as documented.
func TestContractThroughGateway(t *testing.T) {
	t.Parallel()
	for _, r := range recipes() {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, r)
			p := newPerson(t, s)
			walk(p)
			refusals(p)
			documents(p)
			if !r.ownRefusals {
				otherPaths(p)
			}
			failures(t, s)
			if unseen := slices.DeleteFunc(s.contract.Unseen(), func(answer string) bool {
				return r.ownRefusals && strings.HasSuffix(answer, " 405")
			}); len(unseen) > 0 {
				t.Errorf("of %d documented answers these did not come through: %v", s.contract.Documented(), unseen)
			}
			if n := s.upstream.count(); n != 0 {
				t.Errorf("%d requests went astray to the upstream", n)
			}
		})
	}
}

// walk is the whole way of a person.
func walk(p *person) {
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
	refreshed := p.tryRefresh(first.RefreshToken)
	p.want("refresh", refreshed.StatusCode(), 200)
	p.session = *refreshed.JSON200
	list := p.sessions()
	if len(list) != 1 || list[0].RemoteAddr != clientAddr.String() {
		p.t.Errorf("one session from %s, whatever the client pretends, but: %+v", clientAddr, list)
	}

	p.verify()
	p.end(first.SessionID)
	p.want("refresh of an ended session", p.tryRefresh(p.session.RefreshToken).StatusCode(), 404)
	p.login()
	p.want("end by path", p.endByPath(p.session.SessionID), 204)
	if list := p.sessions(); len(list) != 0 {
		p.t.Errorf("no session is left, but: %+v", list)
	}

	stranger := newPerson(p.t, p.s)
	p.want("reset of an unknown address", stranger.resetPassword(), 404)
	p.want("reset", p.resetPassword(), 204)
	p.want("open the reset link", p.open(p.mail().Link(p.t)), 200)
	p.password = p.mail().Password(p.t)
	p.login()
}

// verify asks, as a gateway would, through the gateway.
func (p *person) verify() {
	r, err := p.api.VerifyAccessTokenWithResponse(p.t.Context(), &client.VerifyAccessTokenParams{}, bearer(p.session.AccessToken))
	p.must(err)
	if r.StatusCode() != 204 || r.HTTPResponse.Header.Get("x-auth-session-id") != p.session.SessionID {
		p.t.Errorf("verify: %d %v", r.StatusCode(), r.HTTPResponse.Header)
	}
}

// end ends a session by DELETE with a body, as the contract has it. A gateway that strips the body leaves the other form.
func (p *person) end(sessionID string) {
	r, err := p.api.RevokeRefreshTokenWithResponse(p.t.Context(), &client.RevokeRefreshTokenParams{RequestID: rid()},
		client.RevokeRefreshTokenRequest{SessionID: sessionID}, bearer(p.session.AccessToken))
	p.must(err)
	p.want("end with a body", r.StatusCode(), 204)
}

// request is a well-formed request of each operation.
type request struct{ method, path, body string }

func requests() []request {
	return []request{
		{http.MethodPost, "/v1/user/signup", `{"email":"a@example.com","inviteCode":"c","language":"en"}`},
		{http.MethodPost, "/v1/user/password", `{"email":"a@example.com"}`},
		{http.MethodGet, "/u/" + strings.Repeat("A", 43) + "?rid=" + rid(), ""},
		{http.MethodPost, "/v1/oauth/create", `{"email":"a@example.com","password":"p","clientID":"c","device":{}}`},
		{http.MethodPut, "/v1/oauth/refresh", `{"refreshToken":"a.b.c"}`},
		{http.MethodGet, "/v1/oauth/verify", ""},
		{http.MethodGet, "/v1/session/list", ""},
		{http.MethodDelete, "/v1/session/remove", `{"sessionID":"` + uuid.NewString() + `"}`},
		{http.MethodDelete, "/v1/session/" + uuid.NewString(), ""},
		{http.MethodGet, "/v1/version", ""},
		{http.MethodGet, "/.well-known/jwks.json", ""},
		{http.MethodGet, "/.well-known/openid-configuration", ""},
		{http.MethodGet, "/openapi.json", ""},
		{http.MethodGet, "/openapi.yaml", ""},
		{http.MethodGet, "/docs", ""},
		{http.MethodGet, "/docs/docs.js", ""},
	}
}

func (r request) secured() bool {
	return strings.HasPrefix(r.path, "/v1/session/") || r.path == "/v1/oauth/verify"
}

// header is that of a well-formed request.
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

// refusals are those of the service's surface, for every operation. Each request arrives under its name and comes back with it.
func refusals(p *person) {
	for _, r := range requests() {
		what := r.method + " " + r.path
		page := strings.HasPrefix(r.path, "/u/")

		large := r.header(p.session.AccessToken)
		large.Set("Content-Type", "application/json")
		response, _ := p.send(r.method, r.path, large, strings.Repeat(" ", 17<<10))
		p.want(what+" with 17 KiB", response.StatusCode, 413)
		if id := response.Header.Get("request-id"); !page && (id != large.Get("request-id") || !p.s.serviceLogs(id)) {
			p.t.Errorf("%s: request-id %q came back as %q, or did not arrive", what, large.Get("request-id"), id)
		}
		if !p.s.ownRefusals {
			response, _ = p.send(http.MethodPatch, r.path, r.header(""), "")
			if response.StatusCode != 405 || response.Header.Get("Allow") != r.method {
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

// documents are what may be cached, and then asked for again.
func documents(p *person) {
	for _, path := range []string{"/.well-known/jwks.json", "/.well-known/openid-configuration", "/openapi.json", "/openapi.yaml", "/docs/docs.js"} {
		direct, want := send(p.t, http.DefaultClient, p.s.service.URL, http.MethodGet, path, nil, "")
		response, body := p.send(http.MethodGet, path, nil, "")
		p.want(path, response.StatusCode, 200)
		if body != want {
			p.t.Errorf("%s: %d bytes came through, %d were sent", path, len(body), len(want))
		}
		for _, name := range []string{"ETag", "Cache-Control", "Content-Type", "X-Content-Type-Options"} {
			if got := response.Header.Get(name); got == "" || got != direct.Header.Get(name) {
				p.t.Errorf("%s: %s is %q, and %q without the gateway", path, name, got, direct.Header.Get(name))
			}
		}
		again, _ := p.send(http.MethodGet, path, http.Header{"If-None-Match": {response.Header.Get("ETag")}}, "")
		p.want(path+" again", again.StatusCode, 304)
	}
	direct, want := send(p.t, http.DefaultClient, p.s.service.URL, http.MethodGet, "/docs", nil, "")
	response, page := p.send(http.MethodGet, "/docs", nil, "")
	if csp := response.Header.Get("Content-Security-Policy"); page != want || csp == "" || csp != direct.Header.Get("Content-Security-Policy") {
		p.t.Errorf("/docs came through changed: %d bytes instead of %d, CSP %q", len(page), len(want), csp)
	}
	response, _ = p.send(http.MethodGet, "/v1/version", http.Header{"Request-Id": {rid()}}, "")
	p.want("version", response.StatusCode, 200)
	response, _ = p.send(http.MethodGet, "/docs/no-such-part", nil, "")
	p.want("a part that is not there", response.StatusCode, 404)
	for accept, contentType := range map[string]string{"text/plain": "text/plain", "application/json": "application/json", "text/html": "text/html"} {
		response, _ := p.send(http.MethodGet, "/u/x?rid="+rid(), http.Header{"Accept": {accept}}, "")
		if got := response.Header.Get("Content-Type"); response.StatusCode != 404 || !strings.HasPrefix(got, contentType) {
			p.t.Errorf("the link page for %s: %d %s", accept, response.StatusCode, got)
		}
	}
}

// otherPaths are not the contract's, however they are written: the service's 404 comes through.
func otherPaths(p *person) {
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

// failures: 500, 429 and 503 of every operation, from a service that can do nothing else.
func failures(t *testing.T, s *scene) {
	t.Helper()
	var state atomic.Value // of the service: the handler that it is
	authenticate := func(ctx context.Context, _ string) (context.Context, error) { return ctx, nil }
	log := slog.New(slog.DiscardHandler)
	broken, err := server.New(server.Config{Authenticate: authenticate, Log: log}, struct{ api.StrictServerInterface }{})
	if err != nil {
		t.Fatal(err)
	}
	failing := func(err error) http.Handler {
		handler, newErr := server.New(server.Config{Authenticate: authenticate, Log: log}, failing{err: err})
		if newErr != nil {
			t.Fatal(newErr)
		}
		return handler
	}
	state.Store(broken)
	stub := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if got := r.Header.Values("X-Forwarded-For"); strings.HasPrefix(r.Header.Get("request-id"), "gw-") && !slices.Equal(got, []string{clientAddr.String()}) {
			t.Errorf("%s %s: the service got X-Forwarded-For %q, want the client's address alone", r.Method, r.URL.Path, got)
		}
		state.Load().(http.Handler).ServeHTTP(w, r)
	}))
	t.Cleanup(stub.Close)
	g := s.start(t, place{service: stub.Listener.Addr().String(), keys: s.service.URL, upstream: s.upstream.addr})
	p := &person{t: t, s: &scene{gateway: g}, http: s.contract.ClientFrom(t, clientAddr)}
	for _, r := range requests() {
		header := r.header("x")
		maps.Copy(header, spoofed())
		response, _ := p.send(r.method, r.path, header, r.body)
		p.want(r.method+" "+r.path+" of a broken service", response.StatusCode, 500)
	}
	state.Store(failing(&limit.ExceededError{Limit: limit.LinkSource, Rate: limit.Rate{Count: 20, Per: time.Hour}, Wait: 7 * time.Second}))
	for _, r := range requests()[:4] { // the others have no limit
		response, _ := p.send(r.method, r.path, r.header("x"), r.body)
		if response.StatusCode != 429 || response.Header.Get("RateLimit") != `"link-source";r=0;t=7` {
			t.Errorf("%s %s beyond a limit: %d, RateLimit %q", r.method, r.path, response.StatusCode, response.Header.Get("RateLimit"))
		}
	}
	state.Store(failing(later{errors.New("away")}))
	for _, r := range requests()[:9] { // the others need no database
		response, _ := p.send(r.method, r.path, r.header("x"), r.body)
		if response.StatusCode != 503 || response.Header.Get("Retry-After") != "7" {
			t.Errorf("%s %s of a service without its database: %d, Retry-After %q", r.method, r.path, response.StatusCode, response.Header.Get("Retry-After"))
		}
	}
}

// failing is an implementation that fails with the same error whatever is asked.
type failing struct {
	api.StrictServerInterface

	err error
}

type later struct{ error }

func (later) RetryAfter() time.Duration { return 7 * time.Second }

func (f failing) Signup(context.Context, api.SignupRequestObject) (api.SignupResponseObject, error) {
	return nil, f.err
}

func (f failing) UserPasswordReset(context.Context, api.UserPasswordResetRequestObject) (api.UserPasswordResetResponseObject, error) {
	return nil, f.err
}

func (f failing) ConfirmUserEmail(context.Context, api.ConfirmUserEmailRequestObject) (api.ConfirmUserEmailResponseObject, error) {
	return nil, f.err
}

func (f failing) CreateAccessToken(context.Context, api.CreateAccessTokenRequestObject) (api.CreateAccessTokenResponseObject, error) {
	return nil, f.err
}

func (f failing) RefreshAccessToken(context.Context, api.RefreshAccessTokenRequestObject) (api.RefreshAccessTokenResponseObject, error) {
	return nil, f.err
}

func (f failing) VerifyAccessToken(context.Context, api.VerifyAccessTokenRequestObject) (api.VerifyAccessTokenResponseObject, error) {
	return nil, f.err
}

func (f failing) GetListActiveSessions(context.Context, api.GetListActiveSessionsRequestObject) (api.GetListActiveSessionsResponseObject, error) {
	return nil, f.err
}

func (f failing) RevokeRefreshToken(context.Context, api.RevokeRefreshTokenRequestObject) (api.RevokeRefreshTokenResponseObject, error) {
	return nil, f.err
}

func (f failing) RevokeSession(context.Context, api.RevokeSessionRequestObject) (api.RevokeSessionResponseObject, error) {
	return nil, f.err
}
