//go:build clients

package clients

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/financelime/authorization/api/authclient"
	"github.com/financelime/authorization/api/client"
	"github.com/financelime/authorization/test/clients/quickstart"
	"github.com/financelime/authorization/test/harness"
)

// user has an address, a password and a client.
type user struct {
	t               *testing.T
	s               *harness.Service
	auth            *authclient.Client
	email, password string
	mails           int
}

// newUser returns a user whose requests go to a URL: the service's, or that of a proxy in front of it.
func newUser(t *testing.T, s *harness.Service, at string, options ...authclient.Option) *user {
	t.Helper()
	auth, err := authclient.New(at, append([]authclient.Option{authclient.WithHTTPClient(s.HTTP)}, options...)...)
	if err != nil {
		t.Fatal(err)
	}
	return &user{t: t, s: s, auth: auth, email: "v" + uuid.NewString() + "@example.com"}
}

func (u *user) must(err error) {
	u.t.Helper()
	if err != nil {
		u.t.Fatal(err)
	}
}

func (u *user) signUp(code string) error {
	return u.auth.SignUp(u.t.Context(), authclient.SignUpRequest{Email: u.email, InviteCode: code, Language: "en"})
}

// nextPassword opens the mailed link and reads the password from the next mail.
func (u *user) nextPassword() {
	u.t.Helper()
	u.mails += 2
	link := u.s.WaitMails(u.t, u.email, u.mails-1)[0].Link(u.t)
	r, err := u.s.API.ConfirmUserEmailWithResponse(u.t.Context(), strings.TrimPrefix(link.Path, "/u/"),
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

func (u *user) tryLogin(password string) (*authclient.Session, error) {
	return u.auth.Login(u.t.Context(), authclient.LoginRequest{Email: u.email, Password: password, ClientID: "go_v1"})
}

// login signs the user up, if necessary, and logs them in.
func (u *user) login() *authclient.Session {
	u.t.Helper()
	if u.password == "" {
		u.must(u.signUp(u.s.Invite(u.t, 1)))
		u.nextPassword()
	}
	session, err := u.tryLogin(u.password)
	u.must(err)
	return session
}

func (u *user) tokens(session *authclient.Session) authclient.Tokens {
	u.t.Helper()
	tokens, err := session.Tokens(u.t.Context())
	u.must(err)
	return tokens
}

func wantError(t *testing.T, what string, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

// TestGoJourney calls the operations in the order in which a user needs them.
func TestGoJourney(t *testing.T) {
	t.Parallel()
	s := harness.Start(t, binary, contract, harness.SQLite)
	ctx, code := t.Context(), s.Invite(t, 1)
	u := newUser(t, s, s.URL)
	wantError(t, "sign up without an invitation", u.signUp("no-such-code"), authclient.ErrInviteNotFound)
	u.must(u.signUp(code))
	wantError(t, "sign up twice", u.signUp(code), authclient.ErrUserAlreadyExist)
	wantError(t, "sign up with a used code", newUser(t, s, s.URL).signUp(code), authclient.ErrInviteHasEnded)
	u.nextPassword()

	_, err := u.tryLogin("wrong")
	wantError(t, "a wrong password", err, authclient.ErrUserNotFound)
	_, err = u.tryLogin("")
	failure, ok := errors.AsType[*authclient.Error](err)
	if !ok || failure.Code != authclient.ErrBadParameters || len(failure.Parameters) != 1 || failure.Parameters[0] != "password" {
		t.Errorf("no password: %v", err)
	}
	session := u.login()
	first := u.tokens(session)
	renewed, err := session.Refresh(ctx)
	u.must(err)
	if renewed.SessionID != first.SessionID || renewed.RefreshToken == first.RefreshToken || *renewed.ExpiresIn != 600 {
		t.Errorf("a refresh keeps the session and changes the token: %+v, %+v", first, renewed)
	}
	other := u.tokens(u.login())
	list, err := session.Sessions(ctx)
	u.must(err)
	if len(list) != 2 || list[0].SessionID != other.SessionID || !list[1].Current || list[1].ClientID != "go_v1" {
		t.Errorf("the sessions: %+v", list)
	}

	u.must(session.EndSession(ctx, other.SessionID))
	u.must(session.EndSession(ctx, first.SessionID)) // as from another device
	_, err = session.Refresh(ctx)
	wantError(t, "refresh of an ended session", err, authclient.ErrLoggedOut)
	wantError(t, "refresh of an ended session", err, authclient.ErrUserNotFound)
	_, err = session.Sessions(ctx)
	wantError(t, "a call without a session", err, authclient.ErrLoggedOut)
	r, err := u.auth.API().GetListActiveSessionsWithResponse(ctx, nil)
	u.must(err)
	if r.JSON401 == nil || r.JSON401.Message != client.CommonFailure401MessageN401Unauthorized {
		t.Errorf("a call without tokens: %d %s", r.StatusCode(), r.Body)
	}
	u.must(u.login().LogOut(ctx))

	u.must(u.auth.ResetPassword(ctx, u.email))
	wantError(t, "reset of an unknown address", u.auth.ResetPassword(ctx, "nobody@example.com"), authclient.ErrUserNotFound)
	old := u.password
	u.nextPassword()
	u.login()
	_, err = u.tryLogin(old)
	wantError(t, "the old password", err, authclient.ErrUserNotFound)
}

// TestGoQuickstart runs the code of docs/clients.md.
func TestGoQuickstart(t *testing.T) {
	t.Parallel()
	s := harness.Start(t, binary, contract, harness.SQLite)
	u := newUser(t, s, s.URL)
	u.login()
	orders := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { // verifies tokens as docs/gateway.md says
		verified, err := s.API.VerifyAccessTokenWithResponse(r.Context(), nil, func(_ context.Context, verify *http.Request) error {
			verify.Header.Set("authorization", r.Header.Get("authorization"))
			return nil
		})
		if err != nil || verified.StatusCode() != http.StatusNoContent {
			w.WriteHeader(http.StatusUnauthorized)
		}
	}))
	defer orders.Close()
	shop, err := quickstart.Login(t.Context(), s.URL, orders.URL, u.email, u.password)
	u.must(err)
	response, err := shop.Get(orders.URL)
	u.must(err)
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		t.Errorf("the API returned %s", response.Status)
	}
}

// proxy is a reverse proxy in front of the service that counts refreshes, and can break the next ones.
type proxy struct {
	refreshes atomic.Int32
	strip     atomic.Bool  // removes the header request-id from refreshes
	lose      atomic.Int32 // how many responses to refreshes to lose
}

// start starts the proxy and returns its URL.
func (p *proxy) start(t *testing.T, s *harness.Service) string {
	t.Helper()
	target, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	isRefresh := func(r *http.Request) bool { return strings.HasSuffix(r.URL.Path, "/refresh") }
	server := httptest.NewServer(&httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			if isRefresh(r.In) {
				p.refreshes.Add(1)
				if p.strip.Load() {
					r.Out.Header.Del("request-id")
				}
			}
		},
		ModifyResponse: func(r *http.Response) error {
			if isRefresh(r.Request) && p.lose.Add(-1) >= 0 {
				panic(http.ErrAbortHandler) // the service has responded, the client gets nothing
			}
			return nil
		},
		Transport: s.HTTP.Transport,
	})
	t.Cleanup(server.Close)
	return server.URL
}

// TestGoMangledRefreshes checks that a refresh whose request ID was removed on the way, or whose response was lost, does not log anybody out.
func TestGoMangledRefreshes(t *testing.T) {
	t.Parallel()
	s := harness.Start(t, binary, contract, harness.SQLite)
	var p proxy
	u := newUser(t, s, p.start(t, s), authclient.WithTokenStore(authclient.FileStore{Path: filepath.Join(t.TempDir(), "tokens.json")}),
		authclient.WithSessionEnded(func(err error) { t.Errorf("the session has ended: %v", err) }), authclient.WithHTTPClient(http.DefaultClient))
	session := u.login()
	before := u.tokens(session)

	p.strip.Store(true)
	_, err := session.Refresh(t.Context())
	failure, ok := errors.AsType[*authclient.Error](err)
	if !ok || failure.Code != authclient.ErrBadParameters || len(failure.Parameters) != 1 || failure.Parameters[0] != "request-id" || failure.RequestID == "" {
		t.Errorf("without a request ID: %v", err)
	}
	p.strip.Store(false)
	p.lose.Store(3) // as many as there are attempts
	if _, err := session.Refresh(t.Context()); err == nil || errors.Is(err, authclient.ErrLoggedOut) {
		t.Errorf("without a response: %v", err)
	}
	if n := p.refreshes.Load(); n != 4 {
		t.Errorf("%d refreshes, want one without ID and three without a response", n)
	}
	resumed, err := u.auth.Resume(t.Context())
	u.must(err)
	if tokens := u.tokens(resumed); tokens.RefreshToken != before.RefreshToken {
		t.Error("the stored tokens have changed")
	}
	for _, each := range []*authclient.Session{session, resumed} {
		if _, err := each.Refresh(t.Context()); err != nil {
			t.Errorf("afterwards: %v", err)
		}
		if _, err := each.Sessions(t.Context()); err != nil {
			t.Errorf("afterwards: %v", err)
		}
	}
}

// TestGoForgedRefreshToken checks that a session ends whose refresh token the service does not know.
func TestGoForgedRefreshToken(t *testing.T) {
	t.Parallel()
	s := harness.Start(t, binary, contract, harness.SQLite)
	store, ended := &authclient.MemoryStore{}, 0
	u := newUser(t, s, s.URL, authclient.WithTokenStore(store), authclient.WithSessionEnded(func(error) { ended++ }))
	tokens := u.tokens(u.login())
	tokens.RefreshToken = tokens.RefreshToken[:len(tokens.RefreshToken)-8] + "AAAAAAAA"
	u.must(store.Save(t.Context(), tokens))
	session, err := u.auth.Resume(t.Context())
	u.must(err)
	_, err = session.Refresh(t.Context())
	wantError(t, "a forged token", err, authclient.ErrLoggedOut)
	wantError(t, "a forged token", err, authclient.ErrBadParameters)
	if stored, err := store.Load(t.Context()); stored != nil || err != nil || ended != 1 {
		t.Errorf("the store has %v, %v; %d calls", stored, err, ended)
	}
}

// TestGoSingleFlight checks that many calls with an expired access token send one refresh.
func TestGoSingleFlight(t *testing.T) {
	t.Parallel()
	s := harness.Start(t, binary, contract, harness.SQLite, "AUTH_ACCESS_TOKEN_TTL=3s")
	var p proxy
	u := newUser(t, s, p.start(t, s), authclient.WithTokenStore(&authclient.MemoryStore{}))
	tokens := u.tokens(u.login())
	session, err := u.auth.Resume(t.Context()) // does not know the token's age
	u.must(err)
	waitUntilExpired(t, u, tokens)

	before := p.refreshes.Load()
	var calls sync.WaitGroup
	for i := range 20 {
		calls.Go(func() {
			var err error
			if i%2 == 0 {
				_, err = session.Sessions(t.Context())
			} else {
				var r *client.RevokeRefreshTokenResponse // has a body, which must be sent twice
				r, err = session.API().RevokeRefreshTokenWithResponse(t.Context(), nil, client.RevokeRefreshTokenRequest{SessionID: "unknown"})
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
	if n := p.refreshes.Load() - before; n != 1 {
		t.Errorf("%d refreshes were sent, want 1", n)
	}
	if now := u.tokens(session); now.RefreshToken == tokens.RefreshToken {
		t.Error("the tokens are unchanged")
	}
}

func waitUntilExpired(t *testing.T, u *user, tokens authclient.Tokens) {
	t.Helper()
	bearer := func(_ context.Context, r *http.Request) error {
		r.Header.Set("authorization", tokens.AccessToken)
		return nil
	}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) { // between two checks
		r, err := u.s.API.VerifyAccessTokenWithResponse(t.Context(), nil, bearer)
		u.must(err)
		if r.StatusCode() == http.StatusUnauthorized {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("the access token does not expire")
		}
	}
}

// TestGoTypes checks that the Go client has the types of the contract: every documented failure has a type, whose message is an enumeration,
// and only the OpenAPI document is an `any`.
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
			if !found || strings.HasSuffix(field.Name, "200") {
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
