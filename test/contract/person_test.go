package contract

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/financelime/authorization/api/client"
	"github.com/financelime/authorization/test/harness"
)

// person is a user with an address who uses the service through the generated client.
type person struct {
	t        testing.TB
	s        *harness.Service
	email    string
	language string
	password string
	mails    int // how many of their mails they have read
	notices  int // the same of mails without a link or a password
	session  client.AccessTokenResponse
}

func newPerson(t testing.TB, s *harness.Service) *person {
	return &person{t: t, s: s, email: "p" + strings.ReplaceAll(uuid.NewString(), "-", "") + "@example.com", language: "en"}
}

func rid() string { return uuid.NewString() }

// api calls the operations of the service.
func (p *person) api() harness.API { return harness.API{T: p.t, Client: p.s.API} }

func (p *person) signUp(code string) *client.SignupResponse {
	p.t.Helper()
	return p.api().SignUp(client.SignUpRequest{Email: p.email, InviteCode: code, Language: p.language})
}

func (p *person) must(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
}

// want fails the test unless a status is the expected one.
func (p *person) want(what string, got, want int) {
	p.t.Helper()
	wantStatus(p.t, what, got, want)
}

func wantStatus(t testing.TB, what string, got, want int) {
	t.Helper()
	if got != want {
		t.Fatalf("%s: status %d, want %d", what, got, want)
	}
}

// mail waits for the person's next mail.
func (p *person) mail() harness.Mail {
	p.t.Helper()
	p.mails++
	return p.s.WaitMails(p.t, p.email, p.mails)[0]
}

// open opens a mailed link as a browser does, and returns the response.
func (p *person) open(link *url.URL) *http.Response {
	p.t.Helper()
	response, _ := send(p.t, p.s, http.MethodGet, link.RequestURI(), nil, "")
	return response
}

// join signs up, confirms, and reads the mailed password.
func (p *person) join(code string) *person {
	p.t.Helper()
	p.want("sign up", p.signUp(code).StatusCode(), 204)
	p.want("open the link", p.open(p.mail().Link(p.t)).StatusCode, 200)
	p.password = p.mail().Password(p.t)
	return p
}

// device is what the person's client sends about its device.
func device(platform string) client.Device { return client.Device{Platform: &platform} }

func (p *person) tryLogin(password string) *client.CreateAccessTokenResponse {
	p.t.Helper()
	return p.api().Login(client.CreateAccessTokenRequest{
		Email: p.email, Password: password, ClientID: "test_v1", Device: device("Linux x86_64"),
	})
}

// login begins a session and stores its tokens.
func (p *person) login() client.AccessTokenResponse {
	p.t.Helper()
	r := p.tryLogin(p.password)
	p.want("log in", r.StatusCode(), 200)
	p.session = *r.JSON200
	return p.session
}

func (p *person) tryRefresh(token string) *client.RefreshAccessTokenResponse {
	p.t.Helper()
	return p.api().Refresh(token)
}

func (p *person) refresh() client.AccessTokenResponse {
	p.t.Helper()
	r := p.tryRefresh(p.session.RefreshToken)
	p.want("refresh", r.StatusCode(), 200)
	p.session = *r.JSON200
	return p.session
}

func bearer(token string) client.RequestEditorFn {
	return authorization("Bearer " + token)
}

func (p *person) sessions() []client.Session {
	p.t.Helper()
	r := p.api().Sessions(p.session.AccessToken)
	p.want("list sessions", r.StatusCode(), 200)
	return *r.JSON200
}

func (p *person) revoke(sessionID string) {
	p.t.Helper()
	p.want("revoke", p.api().Revoke(p.session.AccessToken, sessionID).StatusCode(), 204)
}

func (p *person) resetPassword() *client.UserPasswordResetResponse {
	p.t.Helper()
	return p.api().ResetPassword(p.email)
}

// send sends one raw request, which a generated client would not.
func send(t testing.TB, s *harness.Service, method, path string, header http.Header, body string) (*http.Response, string) {
	t.Helper()
	return harness.Send(t, s.HTTP, method, s.URL+path, header, body)
}

func do(t testing.TB, s *harness.Service, request *http.Request) (*http.Response, string) {
	t.Helper()
	return harness.Do(t, s.HTTP, request)
}

// jsonHeader returns the header of a valid request with a body.
func jsonHeader() http.Header {
	return http.Header{"Request-Id": {rid()}, "Content-Type": {"application/json"}}
}

func authorization(value string) client.RequestEditorFn {
	return func(_ context.Context, r *http.Request) error {
		r.Header.Set("authorization", value)
		return nil
	}
}

// mailedPassword resets the password, opens the link, and returns the password that was mailed then.
func (p *person) mailedPassword() string {
	p.t.Helper()
	p.want("reset", p.resetPassword().StatusCode(), 204)
	p.want("open the link", p.open(p.mail().Link(p.t)).StatusCode, 200)
	return p.mail().Password(p.t)
}
