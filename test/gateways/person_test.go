//go:build gateways

package gateways

import (
	"context"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/financelime/authorization/api/client"
	"github.com/financelime/authorization/test/harness"
)

func rid() string { return "gw-" + uuid.NewString() }

// spoofed is what a client says that only a gateway may say. Every value can be told by the word, or by the network.
func spoofed() http.Header {
	const value = "spoofed.example.test"
	h := http.Header{}
	for _, name := range []string{
		"x-auth-user-id", "x-auth-session-id", "x-auth-client-id", "X_Auth_User_Id", "x_auth_session_id",
		"X-Forwarded-For", "X_Forwarded_For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Port", "X-Forwarded-Prefix",
		"X-Forwarded-Server", "X-Forwarded-Uri", "X-Forwarded-Method", "X-Real-IP", "X-Original-URL", "X-Original-URI", "X-Rewrite-URL",
	} {
		h[name] = []string{value}
	}
	h["Forwarded"] = []string{"for=203.0.113.66;host=" + value}
	// Well-formed, as what is malformed may be ignored for that reason alone.
	h["X-Forwarded-For"] = []string{"203.0.113.66, 203.0.113.67", "203.0.113.68"}
	h["X-Real-IP"] = []string{"203.0.113.69"}
	return h
}

// person is somebody with an address who goes through the gateway, at clientAddr, and pretends to come from elsewhere.
type person struct {
	t        testing.TB
	s        *scene
	api      *client.ClientWithResponses
	http     *http.Client // judged by the contract
	email    string
	password string
	mails    int
	session  client.AccessTokenResponse
}

func newPerson(t testing.TB, s *scene) *person {
	p := &person{t: t, s: s, http: s.contract.ClientFrom(t, clientAddr), email: "p" + strings.ReplaceAll(uuid.NewString(), "-", "") + "@example.com"}
	api, err := client.NewClientWithResponses("http://"+s.addr, client.WithHTTPClient(p.http), client.WithRequestEditorFn(pretend))
	p.must(err)
	p.api = api
	return p
}

func pretend(_ context.Context, r *http.Request) error {
	maps.Copy(r.Header, spoofed())
	return nil
}

func (p *person) must(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
}

func (p *person) want(what string, got, want int) {
	p.t.Helper()
	if got != want {
		p.t.Fatalf("%s: status %d, want %d", what, got, want)
	}
}

func (p *person) signUp(code string) int {
	p.t.Helper()
	r, err := p.api.SignupWithResponse(p.t.Context(), &client.SignupParams{RequestID: rid()},
		client.SignUpRequest{Email: client.Email(p.email), InviteCode: code, Language: "en"})
	p.must(err)
	return r.StatusCode()
}

// mail waits for the person's next mail.
func (p *person) mail() harness.Mail {
	p.t.Helper()
	p.mails++
	return p.s.service.WaitMails(p.t, p.email, p.mails)[0]
}

func (p *person) open(link *url.URL) int {
	p.t.Helper()
	response, _ := p.send(http.MethodGet, link.RequestURI(), nil, "")
	return response.StatusCode
}

// join goes all the way from the sign-up to a session.
func (p *person) join() *person {
	p.t.Helper()
	p.want("sign up", p.signUp(p.s.service.Invite(p.t, 1)), 204)
	p.want("open the link", p.open(p.mail().Link(p.t)), 200)
	p.password = p.mail().Password(p.t)
	p.login()
	return p
}

func (p *person) tryLogin(password string) *client.CreateAccessTokenResponse {
	p.t.Helper()
	r, err := p.api.CreateAccessTokenWithResponse(p.t.Context(), &client.CreateAccessTokenParams{RequestID: rid()},
		client.CreateAccessTokenRequest{Email: client.Email(p.email), Password: password, ClientID: `test "v1"; <a>, \b`, Device: client.Device{}})
	p.must(err)
	return r
}

func (p *person) login() client.AccessTokenResponse {
	p.t.Helper()
	r := p.tryLogin(p.password)
	p.want("log in", r.StatusCode(), 200)
	p.session = *r.JSON200
	return p.session
}

func (p *person) tryRefresh(token string) *client.RefreshAccessTokenResponse {
	p.t.Helper()
	r, err := p.api.RefreshAccessTokenWithResponse(p.t.Context(), &client.RefreshAccessTokenParams{RequestID: rid()},
		client.RefreshAccessTokenRequest{RefreshToken: token})
	p.must(err)
	return r
}

func (p *person) sessions() []client.Session {
	p.t.Helper()
	r, err := p.api.GetListActiveSessionsWithResponse(p.t.Context(), &client.GetListActiveSessionsParams{RequestID: rid()}, bearer(p.session.AccessToken))
	p.must(err)
	p.want("list sessions", r.StatusCode(), 200)
	return *r.JSON200
}

func (p *person) endByPath(sessionID string) int {
	p.t.Helper()
	r, err := p.api.RevokeSessionWithResponse(p.t.Context(), sessionID, &client.RevokeSessionParams{}, bearer(p.session.AccessToken))
	p.must(err)
	return r.StatusCode()
}

func (p *person) resetPassword() int {
	p.t.Helper()
	r, err := p.api.UserPasswordResetWithResponse(p.t.Context(), &client.UserPasswordResetParams{RequestID: rid()},
		client.RequestUserPasswordResetRequest{Email: client.Email(p.email)})
	p.must(err)
	return r.StatusCode()
}

func bearer(token string) client.RequestEditorFn {
	return func(_ context.Context, r *http.Request) error {
		r.Header.Set("authorization", "Bearer "+token)
		return nil
	}
}

// send makes one raw request to the service behind the gateway; its answer is judged by the contract.
func (p *person) send(method, path string, header http.Header, body string) (*http.Response, string) {
	p.t.Helper()
	return send(p.t, p.http, "http://"+p.s.addr, method, path, header, body)
}

func send(t testing.TB, via *http.Client, base, method, path string, header http.Header, body string) (*http.Response, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, base+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for name, values := range header {
		request.Header[http.CanonicalHeaderKey(name)] = values
	}
	response, err := via.Do(request)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response, string(content)
}
