//go:build gateways

package gateways

import (
	"context"
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

// spoofed returns forged headers that only a gateway may set. Every value contains the word "spoofed" or an address of 203.0.113.0/24.
func spoofed() http.Header {
	const value = "spoofed.example.test"
	h := http.Header{}
	for _, name := range []string{
		"x-auth-user-id", "x-auth-session-id", "x-auth-client-id", "x-auth-acr", "x-auth-time", "X_Auth_User_Id", "x_auth_session_id", "x_auth_acr", "X_Auth_Time",
		"X-Forwarded-For", "X_Forwarded_For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Port", "X-Forwarded-Prefix",
		"X-Forwarded-Server", "X-Forwarded-Uri", "X-Forwarded-Method", "X-Real-IP", "X-Original-URL", "X-Original-URI", "X-Rewrite-URL",
	} {
		h[name] = []string{value}
	}
	h["Forwarded"] = []string{"for=203.0.113.66;host=" + value}
	// These are well-formed, because a gateway may ignore malformed values for that reason alone.
	h["X-Forwarded-For"] = []string{"203.0.113.66, 203.0.113.67", "203.0.113.68"}
	h["X-Real-IP"] = []string{"203.0.113.69"}
	return h
}

// person is a user who sends requests through the gateway from clientAddr, with forged headers.
type person struct {
	t        testing.TB
	s        *fixture
	api      *client.ClientWithResponses
	http     *http.Client // validates responses against the contract
	email    string
	password string
	mails    int
	session  client.AccessTokenResponse
}

func newPerson(t testing.TB, s *fixture) *person {
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

// calls returns the operations through the gateway.
func (p *person) calls() harness.API { return harness.API{T: p.t, Client: p.api} }

func (p *person) signUp(code string) int {
	p.t.Helper()
	return p.calls().SignUp(client.SignUpRequest{Email: p.email, InviteCode: code, Language: "en"}).StatusCode()
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

// join signs up, confirms the address and logs in.
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
	return p.calls().Login(client.CreateAccessTokenRequest{Email: p.email, Password: password, ClientID: `test "v1"; <a>, \b`})
}

func (p *person) login() client.AccessTokenResponse {
	p.t.Helper()
	r := p.tryLogin(p.password)
	p.want("log in", r.StatusCode(), 200)
	p.session = *r.JSON200
	return p.session
}

func (p *person) sessions() []client.Session {
	p.t.Helper()
	r := p.calls().Sessions(p.session.AccessToken)
	p.want("list sessions", r.StatusCode(), 200)
	return *r.JSON200
}

func (p *person) revokeByPath(sessionID string) int {
	p.t.Helper()
	r, err := p.api.RevokeSessionWithResponse(p.t.Context(), sessionID, &client.RevokeSessionParams{}, harness.Bearer(p.session.AccessToken))
	p.must(err)
	return r.StatusCode()
}

func (p *person) resetPassword() int {
	p.t.Helper()
	return p.calls().ResetPassword(p.email).StatusCode()
}

// send sends one raw request to the service through the gateway. The response is validated against the contract.
func (p *person) send(method, path string, header http.Header, body string) (*http.Response, string) {
	p.t.Helper()
	return harness.Send(p.t, p.http, method, "http://"+p.s.addr+path, header, body)
}
