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

// visitor is somebody with a password, and a client that is not logged in.
type visitor struct {
	t               *testing.T
	s               *harness.Service
	api             *client.ClientWithResponses
	email, password string
	mails           int
}

func newVisitor(t *testing.T, s *harness.Service) *visitor {
	t.Helper()
	api, err := authclient.Connect(s.URL, authclient.Patient{Next: s.HTTP, Tries: 3})
	if err != nil {
		t.Fatal(err)
	}
	return &visitor{t: t, s: s, api: api, email: "v" + uuid.NewString() + "@example.com"}
}

func (v *visitor) must(err error) {
	v.t.Helper()
	if err != nil {
		v.t.Fatal(err)
	}
}

func (v *visitor) signUp(code string) error {
	return authclient.SignUp(v.t.Context(), v.api, client.SignUpRequest{Email: client.Email(v.email), InviteCode: code, Language: "en"})
}

// nextPassword opens the mailed link and reads the password that is mailed then.
func (v *visitor) nextPassword() {
	v.t.Helper()
	v.mails += 2
	link := v.s.WaitMails(v.t, v.email, v.mails-1)[0].Link(v.t)
	r, err := v.api.ConfirmUserEmailWithResponse(v.t.Context(), strings.TrimPrefix(link.Path, "/u/"),
		&client.ConfirmUserEmailParams{Rid: link.Query().Get("rid")},
		func(_ context.Context, r *http.Request) error {
			r.Header.Set("Accept", "application/json")
			return nil
		})
	v.must(err)
	if r.JSON200 == nil {
		v.t.Fatalf("open the link: %d %s", r.StatusCode(), r.Body)
	}
	v.password = v.s.WaitMails(v.t, v.email, v.mails)[0].Password(v.t)
}

func (v *visitor) tryLogin(password string) (client.AccessTokenResponse, error) {
	return authclient.Login(v.t.Context(), v.api,
		client.CreateAccessTokenRequest{Email: client.Email(v.email), Password: password, ClientID: "go_v1"})
}

func (v *visitor) login() client.AccessTokenResponse {
	v.t.Helper()
	tokens, err := v.tryLogin(v.password)
	v.must(err)
	return tokens
}

// session is a client of the visitor that is logged in.
func (v *visitor) session(tokens client.AccessTokenResponse, next client.HttpRequestDoer) (*authclient.Session, *client.ClientWithResponses) {
	v.t.Helper()
	refresher, err := authclient.Connect(v.s.URL, next)
	v.must(err)
	session := authclient.NewSession(tokens, refresher, next)
	api, err := authclient.Connect(v.s.URL, session)
	v.must(err)
	return session, api
}

func wantError(t *testing.T, what string, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

// The whole way of a user, with the example of docs/clients.md.
func TestGoJourney(t *testing.T) {
	t.Parallel()
	s := harness.Start(t, binary, contract, harness.SQLite)
	ctx, code := t.Context(), s.Invite(t, 1)
	v := newVisitor(t, s)
	wantError(t, "sign up without an invitation", v.signUp("no-such-code"), authclient.ErrInviteNotFound)
	v.must(v.signUp(code))
	wantError(t, "sign up twice", v.signUp(code), authclient.ErrAlreadySignedUp)
	wantError(t, "sign up with a used code", newVisitor(t, s).signUp(code), authclient.ErrInviteHasEnded)
	v.nextPassword()

	_, err := v.tryLogin("wrong")
	wantError(t, "a wrong password", err, authclient.ErrUserNotFound)
	_, err = v.tryLogin("")
	wantError(t, "no password", err, authclient.ErrBadParameters)
	first := v.login()
	session, api := v.session(first, s.HTTP)
	fresh, err := session.Refresh(ctx, first)
	v.must(err)
	if fresh.SessionID != first.SessionID || fresh.RefreshToken == first.RefreshToken {
		t.Errorf("a refresh keeps the session and changes the token: %+v, %+v", first, fresh)
	}
	other := v.login()
	list, err := authclient.Sessions(ctx, api)
	v.must(err)
	if len(list) != 2 || list[0].SessionID != other.SessionID || !list[1].Current || list[1].ClientID != "go_v1" {
		t.Errorf("the sessions: %+v", list)
	}

	byBody, err := api.RevokeRefreshTokenWithResponse(ctx, nil, client.RevokeRefreshTokenRequest{SessionID: other.SessionID})
	v.must(err)
	if byBody.StatusCode() != http.StatusNoContent {
		t.Errorf("end a session by body: %d", byBody.StatusCode())
	}
	v.must(authclient.LogOut(ctx, api, first.SessionID))
	_, err = session.Refresh(ctx, fresh)
	wantError(t, "refresh of an ended session", err, authclient.ErrLoggedOut)
	_, err = authclient.Sessions(ctx, api)
	wantError(t, "a call without a session", err, authclient.ErrLoggedOut)
	_, err = authclient.Sessions(ctx, v.api)
	wantError(t, "a call of nobody", err, authclient.ErrLoggedOut)

	v.must(authclient.ResetPassword(ctx, v.api, v.email))
	wantError(t, "reset of a stranger", authclient.ResetPassword(ctx, v.api, "nobody@example.com"), authclient.ErrUserNotFound)
	old := v.password
	v.nextPassword()
	v.login()
	_, err = v.tryLogin(old)
	wantError(t, "the old password", err, authclient.ErrUserNotFound)
}

// counter counts the refreshes that go out.
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

// Many calls with an expired access token cost one refresh.
func TestGoSingleFlight(t *testing.T) {
	t.Parallel()
	s := harness.Start(t, binary, contract, harness.SQLite, "AUTH_ACCESS_TOKEN_TTL=1s")
	v := newVisitor(t, s)
	v.must(v.signUp(s.Invite(t, 1)))
	v.nextPassword()
	tokens, sent := v.login(), &counter{next: s.HTTP}
	session, api := v.session(tokens, sent)
	waitUntilExpired(t, v, tokens)

	var calls sync.WaitGroup
	for i := range 20 {
		calls.Go(func() {
			var err error
			if i%2 == 0 {
				_, err = authclient.Sessions(t.Context(), api)
			} else {
				var r *client.RevokeRefreshTokenResponse // with a body, which is sent twice
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
		t.Errorf("the tokens are still the old ones, %v", err)
	}
}

func waitUntilExpired(t *testing.T, v *visitor, tokens client.AccessTokenResponse) {
	t.Helper()
	bearer := func(_ context.Context, r *http.Request) error {
		r.Header.Set("authorization", tokens.AccessToken)
		return nil
	}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) { // between two looks
		r, err := v.api.VerifyAccessTokenWithResponse(t.Context(), nil, bearer)
		v.must(err)
		if r.StatusCode() == http.StatusUnauthorized {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("the access token does not expire")
		}
	}
}

// 503 is waited out, a body included; what is no answer of the service is an error that names the request.
func TestGoPatience(t *testing.T) {
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
	api, err := authclient.Connect(busy.URL, authclient.Patient{Next: busy.Client(), Tries: 3})
	if err != nil {
		t.Fatal(err)
	}
	reset := func() error { return authclient.ResetPassword(t.Context(), api, "a@example.com") }
	wantError(t, "at the third try", reset(), nil)
	wantError(t, "after three tries", reset(), authclient.ErrUnavailable)
	if err := reset(); err == nil || !strings.Contains(err.Error(), "unexpected status 502 (request ") {
		t.Errorf("a gateway's answer: %v", err)
	}
	if n := requests.Load(); n != 7 {
		t.Errorf("%d requests, want 7", n)
	}
}

// The Go client's types say what the contract says: every documented failure has a type, whose message is an enumeration where
// the contract has one, and nothing is an `any` but the OpenAPI document.
func TestGoTypes(t *testing.T) {
	t.Parallel()
	operations := reflect.TypeFor[client.ClientWithResponsesInterface]()
	answers, codes := 0, 0
	for method := range operations.Methods() {
		answer := method.Type.Out(0).Elem()
		for field := range answer.Fields() {
			if !strings.HasPrefix(field.Name, "JSON") {
				continue
			}
			answers++
			at := answer.Name() + "." + field.Name
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
	if answers < 80 || codes < 20 {
		t.Errorf("only %d answers and %d enumerations were looked at", answers, codes)
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
