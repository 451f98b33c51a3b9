//go:build replicas

package replicas

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/financelime/authorization/api/client"
	"github.com/financelime/authorization/test/harness"
)

// user is a user whose requests go to each of some services in turn. Responses are not validated against openapi.yaml, because an older
// service has an older contract.
type user struct {
	t        testing.TB
	services []*harness.Service
	front    string // if set, all requests go to this URL instead
	requests int
	email    string
	mails    int
}

func newUser(t testing.TB, services ...*harness.Service) *user {
	return &user{t: t, services: services, email: "t" + strings.ReplaceAll(uuid.NewString(), "-", "") + "@example.com"}
}

// next returns the URL of the service for the next request.
func (u *user) next() string {
	if u.front != "" {
		return u.front
	}
	u.requests++
	return u.services[u.requests%len(u.services)].URL
}

// api returns the operations of the service for the next request.
func (u *user) api() harness.API {
	u.t.Helper()
	api, err := client.NewClientWithResponses(u.next())
	if err != nil {
		u.t.Fatal(err)
	}
	return harness.API{T: u.t, Client: api}
}

// want fails the test unless a response has the expected status.
func (u *user) want(what string, response interface{ StatusCode() int }, status int) {
	u.t.Helper()
	if response.StatusCode() != status {
		u.t.Fatalf("%s: status %d, want %d", what, response.StatusCode(), status)
	}
}

func (u *user) mail() harness.Mail {
	u.t.Helper()
	u.mails++
	return u.services[0].WaitMails(u.t, u.email, u.mails)[0]
}

func (u *user) open(link *url.URL) {
	u.t.Helper()
	response, err := http.Get(u.next() + link.RequestURI())
	if err != nil {
		u.t.Fatal(err)
	}
	_ = response.Body.Close()
	if response.StatusCode != http.StatusOK {
		u.t.Fatalf("open the link: status %d", response.StatusCode)
	}
}

func (u *user) login(password string) client.AccessTokenResponse {
	u.t.Helper()
	r := u.api().Login(client.CreateAccessTokenRequest{Email: u.email, Password: password, ClientID: "test"})
	u.want("log in", r, 200)
	return *r.JSON200
}

// journey calls the operations in the order in which a user needs them.
func (u *user) journey() {
	u.t.Helper()
	u.want("sign up", u.api().SignUp(client.SignUpRequest{Email: u.email, Language: "en"}), 204)
	u.open(u.mail().Link(u.t))
	password := u.mail().Password(u.t)
	session, other := u.login(password), u.login(password)
	for range 4 {
		r := u.api().Refresh(session.RefreshToken)
		u.want("refresh", r, 200)
		session = *r.JSON200
	}
	list := u.api().Sessions(session.AccessToken)
	u.want("list", list, 200)
	if len(*list.JSON200) != 2 {
		u.t.Errorf("%d sessions, want 2", len(*list.JSON200))
	}
	u.want("revoke", u.api().Revoke(session.AccessToken, other.SessionID), 204)
	u.want("refresh of the ended session", u.api().Refresh(other.RefreshToken), 404)
	u.want("reset", u.api().ResetPassword(u.email), 204)
	u.open(u.mail().Link(u.t))
	u.login(u.mail().Password(u.t))
	u.want("refresh after the reset", u.api().Refresh(session.RefreshToken), 404)
}
