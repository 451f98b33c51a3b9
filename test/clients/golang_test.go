//go:build clients

package clients

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/financelime/authorization/api/client"
	"github.com/financelime/authorization/test/clients/authclient"
	"github.com/financelime/authorization/test/harness"
)

// user has an address, a password and a client that is not logged in.
type user struct {
	t               *testing.T
	s               *harness.Service
	api             *client.ClientWithResponses
	email, password string
	mails           int
}

func newUser(t *testing.T, s *harness.Service) *user {
	t.Helper()
	api, err := authclient.Connect(s.URL, authclient.Retry{Next: s.HTTP, MaxAttempts: 3})
	if err != nil {
		t.Fatal(err)
	}
	return &user{t: t, s: s, api: api, email: "v" + uuid.NewString() + "@example.com"}
}

func (u *user) must(err error) {
	u.t.Helper()
	if err != nil {
		u.t.Fatal(err)
	}
}

func (u *user) signUp(code string) error {
	return authclient.SignUp(u.t.Context(), u.api, client.SignUpRequest{Email: u.email, InviteCode: code, Language: "en"})
}

// nextPassword opens the mailed link and reads the password from the next mail.
func (u *user) nextPassword() {
	u.t.Helper()
	u.mails += 2
	link := u.s.WaitMails(u.t, u.email, u.mails-1)[0].Link(u.t)
	r, err := u.api.ConfirmUserEmailWithResponse(u.t.Context(), strings.TrimPrefix(link.Path, "/u/"),
		&client.ConfirmUserEmailParams{Rid: link.Query().Get("rid")},
		func(_ context.Context, r *http.Request) error {
			r.Header.Set("Accept", "application/json")
			return nil
		})
	u.must(err)
	if r.JSON200 == nil {
		u.t.Fatalf("open the link: %d %s", r.StatusCode(), r.Body)
	}
	u.password = u.s.WaitMails(u.t, u.email, u.mails)[0].Password(u.t)
}

func (u *user) tryLogin(password string) (client.AccessTokenResponse, error) {
	return authclient.Login(u.t.Context(), u.api,
		client.CreateAccessTokenRequest{Email: u.email, Password: password, ClientID: "go_v1"})
}

func (u *user) login() client.AccessTokenResponse {
	u.t.Helper()
	tokens, err := u.tryLogin(u.password)
	u.must(err)
	return tokens
}

// session returns a client that is logged in.
func (u *user) session(tokens client.AccessTokenResponse, next client.HttpRequestDoer) (*authclient.Session, *client.ClientWithResponses) {
	u.t.Helper()
	refresher, err := authclient.Connect(u.s.URL, next)
	u.must(err)
	session := authclient.NewSession(tokens, refresher, next)
	api, err := authclient.Connect(u.s.URL, session)
	u.must(err)
	return session, api
}

func wantError(t *testing.T, what string, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

// TestGoJourney calls the operations in the order in which a user needs them, with the example of docs/clients.md.
func TestGoJourney(t *testing.T) {
	t.Parallel()
	s := harness.Start(t, binary, contract, harness.SQLite)
	ctx, code := t.Context(), s.Invite(t, 1)
	u := newUser(t, s)
	wantError(t, "sign up without an invitation", u.signUp("no-such-code"), authclient.ErrInviteNotFound)
	u.must(u.signUp(code))
	wantError(t, "sign up twice", u.signUp(code), authclient.ErrAlreadySignedUp)
	wantError(t, "sign up with a used code", newUser(t, s).signUp(code), authclient.ErrInviteHasEnded)
	u.nextPassword()

	_, err := u.tryLogin("wrong")
	wantError(t, "a wrong password", err, authclient.ErrUserNotFound)
	_, err = u.tryLogin("")
	wantError(t, "no password", err, authclient.ErrBadParameters)
	first := u.login()
	session, api := u.session(first, s.HTTP)
	renewed, err := session.Refresh(ctx, first)
	u.must(err)
	if renewed.SessionID != first.SessionID || renewed.RefreshToken == first.RefreshToken {
		t.Errorf("a refresh keeps the session and changes the token: %+v, %+v", first, renewed)
	}
	other := u.login()
	list, err := authclient.Sessions(ctx, api)
	u.must(err)
	if len(list) != 2 || list[0].SessionID != other.SessionID || !list[1].Current || list[1].ClientID != "go_v1" {
		t.Errorf("the sessions: %+v", list)
	}

	byBody, err := api.RevokeRefreshTokenWithResponse(ctx, nil, client.RevokeRefreshTokenRequest{SessionID: other.SessionID})
	u.must(err)
	if byBody.StatusCode() != http.StatusNoContent {
		t.Errorf("end a session by body: %d", byBody.StatusCode())
	}
	u.must(authclient.LogOut(ctx, api, first.SessionID))
	_, err = session.Refresh(ctx, renewed)
	wantError(t, "refresh of an ended session", err, authclient.ErrLoggedOut)
	_, err = authclient.Sessions(ctx, api)
	wantError(t, "a call without a session", err, authclient.ErrLoggedOut)
	_, err = authclient.Sessions(ctx, u.api)
	wantError(t, "a call without tokens", err, authclient.ErrLoggedOut)

	u.must(authclient.ResetPassword(ctx, u.api, u.email))
	wantError(t, "reset of an unknown address", authclient.ResetPassword(ctx, u.api, "nobody@example.com"), authclient.ErrUserNotFound)
	old := u.password
	u.nextPassword()
	u.login()
	_, err = u.tryLogin(old)
	wantError(t, "the old password", err, authclient.ErrUserNotFound)
}

// counter counts the refreshes that are sent.
type counter struct {
	next      client.HttpRequestDoer
	refreshes atomic.Int32
}

func (c *counter) Do(r *http.Request) (*http.Response, error) {
	if strings.HasSuffix(r.URL.Path, "/refresh") {
		c.refreshes.Add(1)
	}
	return c.next.Do(r)
}

// TestGoSingleFlight checks that many calls with an expired access token send one refresh.
func TestGoSingleFlight(t *testing.T) {
	t.Parallel()
	s := harness.Start(t, binary, contract, harness.SQLite, "AUTH_ACCESS_TOKEN_TTL=1s")
	u := newUser(t, s)
	u.must(u.signUp(s.Invite(t, 1)))
	u.nextPassword()
	tokens, sent := u.login(), &counter{next: s.HTTP}
	session, api := u.session(tokens, sent)
	waitUntilExpired(t, u, tokens)

	var calls sync.WaitGroup
	for i := range 20 {
		calls.Go(func() {
			var err error
			if i%2 == 0 {
				_, err = authclient.Sessions(t.Context(), api)
			} else {
				var r *client.RevokeRefreshTokenResponse // has a body, which must be sent twice
				r, err = api.RevokeRefreshTokenWithResponse(t.Context(), nil, client.RevokeRefreshTokenRequest{SessionID: "unknown"})
				if err == nil && r.StatusCode() != http.StatusNoContent {
					err = fmt.Errorf("status %d: %s", r.StatusCode(), r.Body)
				}
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	calls.Wait()
	if n := sent.refreshes.Load(); n != 1 {
		t.Errorf("%d refreshes were sent, want 1", n)
	}
	if now, err := session.Tokens(); err != nil || now.RefreshToken == tokens.RefreshToken {
		t.Errorf("the tokens are unchanged, %v", err)
	}
}

func waitUntilExpired(t *testing.T, u *user, tokens client.AccessTokenResponse) {
	t.Helper()
	bearer := func(_ context.Context, r *http.Request) error {
		r.Header.Set("authorization", tokens.AccessToken)
		return nil
	}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) { // between two checks
		r, err := u.api.VerifyAccessTokenWithResponse(t.Context(), nil, bearer)
		u.must(err)
		if r.StatusCode() == http.StatusUnauthorized {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("the access token does not expire")
		}
	}
}

// TestGoRetry checks that requests, including their bodies, are retried after 503, and that a response of another server is an error with
// the request ID.
func TestGoRetry(t *testing.T) {
	t.Parallel()
	var requests atomic.Int32
	busy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if body, err := io.ReadAll(r.Body); err != nil || !json.Valid(body) {
			t.Errorf("request %d has the body %q, %v", requests.Load(), body, err)
		}
		w.Header().Set("request-id", r.Header.Get("request-id"))
		w.Header().Set("retry-after", "0")
		switch requests.Add(1) {
		case 3:
			w.WriteHeader(http.StatusNoContent)
		case 7:
			w.WriteHeader(http.StatusBadGateway)
		default:
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	defer busy.Close()
	api, err := authclient.Connect(busy.URL, authclient.Retry{Next: busy.Client(), MaxAttempts: 3})
	if err != nil {
		t.Fatal(err)
	}
	reset := func() error { return authclient.ResetPassword(t.Context(), api, "a@example.com") }
	wantError(t, "at the third attempt", reset(), nil)
	wantError(t, "after three attempts", reset(), authclient.ErrUnavailable)
	if err := reset(); err == nil || !strings.Contains(err.Error(), "unexpected status 502 (request ") {
		t.Errorf("a gateway's response: %v", err)
	}
	if n := requests.Load(); n != 7 {
		t.Errorf("%d requests, want 7", n)
	}
}

// TestGoTypes checks that the Go client has the types of the contract: every documented failure has a type, whose message is an enumeration
// if the contract has one, and only the OpenAPI document is an `any`.
func TestGoTypes(t *testing.T) {
	t.Parallel()
	operations := reflect.TypeFor[client.ClientWithResponsesInterface]()
	responses, codes := 0, 0
	for method := range operations.Methods() {
		response := method.Type.Out(0).Elem()
		for field := range response.Fields() {
			if !strings.HasPrefix(field.Name, "JSON") {
				continue
			}
			responses++
			at := response.Name() + "." + field.Name
			body := field.Type.Elem()
			checkVague(t, body, at)
			if body.Kind() != reflect.Struct {
				continue
			}
			message, found := body.FieldByName("Message")
			if !found || strings.HasSuffix(field.Name, "200") || body.Name() == "CommonFailure" {
				continue
			}
			codes++
			if _, isEnum := message.Type.MethodByName("Valid"); !isEnum {
				t.Errorf("%s.Message is a %s, not an enumeration", at, message.Type)
			}
		}
	}
	if responses < 80 || codes < 20 {
		t.Errorf("found only %d responses and %d enumerations", responses, codes)
	}
}

func checkVague(t *testing.T, typ reflect.Type, at string) {
	t.Helper()
	switch typ.Kind() {
	case reflect.Interface:
		t.Errorf("%s is an %s", at, typ)
	case reflect.Pointer, reflect.Slice:
		checkVague(t, typ.Elem(), at)
	case reflect.Struct:
		if typ == reflect.TypeFor[client.OpenAPIDocument]() || typ == reflect.TypeFor[time.Time]() {
			return
		}
		for field := range typ.Fields() {
			checkVague(t, field.Type, at+"."+field.Name)
		}
	case reflect.Map:
		t.Errorf("%s is a %s", at, typ)
	default:
	}
}
