//go:build replicas

package replicas

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

// traveller is somebody whose every request goes to the next of some services. Answers are not held against openapi.yaml
// here: an older service gives those of its own.
type traveller struct {
	t        testing.TB
	services []*harness.Service
	front    string // where all requests go instead, if it is set
	turn     int
	email    string
	mails    int
}

func newTraveller(t testing.TB, services ...*harness.Service) *traveller {
	return &traveller{t: t, services: services, email: "t" + strings.ReplaceAll(uuid.NewString(), "-", "") + "@example.com"}
}

// next is where the next request goes.
func (v *traveller) next() string {
	if v.front != "" {
		return v.front
	}
	return v.services[v.turn%len(v.services)].URL
}

func (v *traveller) api() *client.ClientWithResponses {
	v.t.Helper()
	v.turn++
	api, err := client.NewClientWithResponses(v.next())
	if err != nil {
		v.t.Fatal(err)
	}
	return api
}

func want[R interface{ StatusCode() int }](v *traveller, what string, status int) func(R, error) R {
	return func(r R, err error) R {
		v.t.Helper()
		if err != nil {
			v.t.Fatalf("%s: %v", what, err)
		}
		if r.StatusCode() != status {
			v.t.Fatalf("%s: status %d, want %d", what, r.StatusCode(), status)
		}
		return r
	}
}

func (v *traveller) mail() harness.Mail {
	v.t.Helper()
	v.mails++
	return v.services[0].WaitMails(v.t, v.email, v.mails)[0]
}

func (v *traveller) open(link *url.URL) {
	v.t.Helper()
	v.turn++
	response, err := http.Get(v.next() + link.RequestURI())
	if err != nil {
		v.t.Fatal(err)
	}
	_ = response.Body.Close()
	if response.StatusCode != http.StatusOK {
		v.t.Fatalf("the link: status %d", response.StatusCode)
	}
}

func (v *traveller) login(password string) client.AccessTokenResponse {
	v.t.Helper()
	r := want[*client.CreateAccessTokenResponse](v, "log in", 200)(v.api().CreateAccessTokenWithResponse(v.t.Context(),
		&client.CreateAccessTokenParams{RequestID: uuid.NewString()},
		client.CreateAccessTokenRequest{Email: client.Email(v.email), Password: password, ClientID: "test"}))
	return *r.JSON200
}

// walk goes the whole way.
func (v *traveller) walk() {
	v.t.Helper()
	ctx := v.t.Context()
	rid := uuid.NewString
	want[*client.SignupResponse](v, "sign up", 204)(v.api().SignupWithResponse(ctx, &client.SignupParams{RequestID: rid()},
		client.SignUpRequest{Email: client.Email(v.email), Language: "en"}))
	v.open(v.mail().Link(v.t))
	password := v.mail().Password(v.t)
	session, other := v.login(password), v.login(password)
	for range 4 {
		r := want[*client.RefreshAccessTokenResponse](v, "refresh", 200)(v.api().RefreshAccessTokenWithResponse(ctx,
			&client.RefreshAccessTokenParams{RequestID: rid()}, client.RefreshAccessTokenRequest{RefreshToken: session.RefreshToken}))
		session = *r.JSON200
	}
	bearer := func(_ context.Context, r *http.Request) error {
		r.Header.Set("Authorization", "Bearer "+session.AccessToken)
		return nil
	}
	list := want[*client.GetListActiveSessionsResponse](v, "list", 200)(v.api().GetListActiveSessionsWithResponse(ctx,
		&client.GetListActiveSessionsParams{RequestID: rid()}, bearer))
	if len(*list.JSON200) != 2 {
		v.t.Errorf("%d sessions", len(*list.JSON200))
	}
	want[*client.RevokeRefreshTokenResponse](v, "revoke", 204)(v.api().RevokeRefreshTokenWithResponse(ctx,
		&client.RevokeRefreshTokenParams{RequestID: rid()}, client.RevokeRefreshTokenRequest{SessionID: other.SessionID}, bearer))
	want[*client.RefreshAccessTokenResponse](v, "refresh of the ended session", 404)(v.api().RefreshAccessTokenWithResponse(ctx,
		&client.RefreshAccessTokenParams{RequestID: rid()}, client.RefreshAccessTokenRequest{RefreshToken: other.RefreshToken}))
	want[*client.UserPasswordResetResponse](v, "reset", 204)(v.api().UserPasswordResetWithResponse(ctx,
		&client.UserPasswordResetParams{RequestID: rid()}, client.RequestUserPasswordResetRequest{Email: client.Email(v.email)}))
	v.open(v.mail().Link(v.t))
	v.login(v.mail().Password(v.t))
	want[*client.RefreshAccessTokenResponse](v, "refresh after the reset", 404)(v.api().RefreshAccessTokenWithResponse(ctx,
		&client.RefreshAccessTokenParams{RequestID: rid()}, client.RefreshAccessTokenRequest{RefreshToken: session.RefreshToken}))
}
