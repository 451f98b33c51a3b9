package contract

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/financelime/authorization/api"
	"github.com/financelime/authorization/impl/server"
	"github.com/financelime/authorization/test/harness"
)

// validRequests returns requests that only the operation itself can refuse.
func validRequests() []*http.Request {
	key := strings.Repeat("A", 43) + "?rid=" + rid()
	var all []*http.Request
	for _, r := range []struct{ method, path, body string }{
		{http.MethodPost, "/v1/user/signup", `{"email":"a@example.com","inviteCode":"c","language":"en"}`},
		{http.MethodPost, "/v1/user/password", `{"email":"a@example.com"}`},
		{http.MethodGet, "/u/" + key, ""},
		{http.MethodGet, "/l/" + key, ""},
		{http.MethodPost, "/l/" + key, `{"newPassword":"` + chosenPassword + `"}`},
		{http.MethodPost, "/v1/oauth/create", `{"email":"a@example.com","password":"p","clientID":"c","device":{}}`},
		{http.MethodPut, "/v1/oauth/refresh", `{"refreshToken":"a.b.c"}`},
		{http.MethodGet, "/v1/session/list", ""},
		{http.MethodDelete, "/v1/session/remove", `{"sessionID":"` + uuid.NewString() + `"}`},
		{http.MethodDelete, "/v1/session/" + uuid.NewString(), ""},
		{http.MethodPost, "/v1/session/remove_others", ""},
		{http.MethodGet, "/v1/user", ""},
		{http.MethodDelete, "/v1/user", ""},
		{http.MethodGet, "/v1/user/export", ""},
		{http.MethodPut, "/v1/user/password", `{"currentPassword":"p","newPassword":"` + chosenPassword + `"}`},
		{http.MethodPost, "/v1/user/email", `{"newEmail":"a@example.com"}`},
		{http.MethodDelete, "/v1/user/email", ""},
		{http.MethodPost, "/v1/oauth/step_up", `{"password":"p"}`},
		{http.MethodPost, "/v1/user/totp", ""},
		{http.MethodPut, "/v1/user/totp", `{"code":"123456"}`},
		{http.MethodDelete, "/v1/user/totp", ""},
		{http.MethodPost, "/v1/user/second_factor", ""},
		{http.MethodDelete, "/v1/user/second_factor", ""},
		{http.MethodPost, "/v1/user/recovery_codes", ""},
		{http.MethodPost, "/v1/oauth/second_factor", `{"ticket":"a.b.c","code":"123456"}`},
		{http.MethodGet, "/v1/user/passkey/list", ""},
		{http.MethodPost, "/v1/user/passkey/options", ""},
		{http.MethodPost, "/v1/user/passkey/add", `{"ceremony":"a.b.c","name":"n","credential":{"id":"AA","rawId":"AA","type":"public-key","response":{"clientDataJSON":"e30"}}}`},
		{http.MethodPut, "/v1/user/passkey/" + someSession, `{"name":"n"}`},
		{http.MethodDelete, "/v1/user/passkey/" + someSession, ""},
		{http.MethodPost, "/v1/oauth/passkey/options", ""},
		{http.MethodPost, "/v1/oauth/passkey", `{"ceremony":"a.b.c","credential":{"id":"AA","rawId":"AA","type":"public-key","response":{"clientDataJSON":"e30"}},"clientID":"c","device":{}}`},
		{http.MethodGet, "/v1/version", ""},
		{http.MethodGet, "/.well-known/jwks.json", ""},
		{http.MethodGet, "/openapi.json", ""},
		{http.MethodGet, "/openapi.yaml", ""},
		{http.MethodGet, "/v1/oauth/verify", ""},
		{http.MethodGet, "/.well-known/openid-configuration", ""},
		{http.MethodGet, "/docs", ""},
		{http.MethodGet, "/docs/docs.js", ""},
		{http.MethodGet, "/account", ""},
		{http.MethodGet, "/account/account.js", ""},
		{http.MethodGet, "/.well-known/change-password", ""},
	} {
		request := httptest.NewRequest(r.method, r.path, strings.NewReader(r.body))
		request.RequestURI = ""
		request.Header = jsonHeader()
		request.Header.Set("Authorization", "Bearer x")
		all = append(all, request)
	}
	return all
}

// TestDefectsAre500 expects 500 with the operation's failure body, without details, for an error and for a panic.
func TestDefectsAre500(t *testing.T) {
	t.Parallel()
	// Every method of this implementation panics, because the interface is nil.
	handler, err := server.New(server.Config{
		Authenticate: func(ctx context.Context, _ string) (context.Context, error) { return ctx, nil },
		Log:          slog.New(slog.DiscardHandler),
	}, struct{ api.StrictServerInterface }{})
	if err != nil {
		t.Fatal(err)
	}
	there := httptest.NewServer(handler)
	defer there.Close()
	base, err := url.Parse(there.URL)
	if err != nil {
		t.Fatal(err)
	}
	httpClient := contract.Client(t)
	for _, accept := range []string{"*/*", "application/json", "text/plain"} {
		for _, request := range validRequests() {
			request.URL.Scheme, request.URL.Host, request.Host = base.Scheme, base.Host, base.Host
			request.Header.Set("Accept", accept)
			response, body := do(t, &harness.Service{HTTP: httpClient}, request)
			if response.StatusCode != 500 || strings.Contains(body, "panic") || strings.Contains(body, "nil pointer") {
				t.Errorf("%s %s: %d %s", request.Method, request.URL.Path, response.StatusCode, body)
			}
		}
	}
}

// late is a response that fails after its status was sent.
type late struct{ api.StrictServerInterface }

func (late) GetVersion(context.Context, api.GetVersionRequestObject) (api.GetVersionResponseObject, error) {
	return late{}, nil
}

func (late) VisitGetVersionResponse(w http.ResponseWriter) error {
	w.Header().Set("Content-Type", "application/json")
	if _, err := io.WriteString(w, `{"service":`); err != nil {
		return err
	}
	panic("late")
}

// TestLateDefectHangsUp expects the connection to be closed after a failure in the body, so that no client accepts a partial response.
func TestLateDefectHangsUp(t *testing.T) {
	t.Parallel()
	var log harness.Buffer
	handler, err := server.New(server.Config{
		Authenticate: func(ctx context.Context, _ string) (context.Context, error) { return ctx, nil },
		Log:          slog.New(slog.NewTextHandler(&log, nil)),
	}, late{})
	if err != nil {
		t.Fatal(err)
	}
	there := httptest.NewServer(handler)
	defer there.Close()
	for range 2 { // the service still works
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, there.URL+"/v1/version", nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("request-id", rid())
		response, err := there.Client().Do(request)
		if err != nil {
			continue
		}
		if body, err := io.ReadAll(response.Body); err == nil {
			t.Errorf("%d %s was an answer", response.StatusCode, body)
		}
		_ = response.Body.Close()
	}
	there.Close()
	if n := strings.Count(log.String(), "msg=request.failed"); n != 2 {
		t.Errorf("%d failures in the log:\n%s", n, log.String())
	}
}

// TestDatabaseUnavailable expects 503 while the database is unavailable, except where no database is needed, and recovery without a restart.
func TestDatabaseUnavailable(t *testing.T) {
	t.Parallel()
	s := harness.Start(t, binary, contract, harness.Postgres)
	p := newPerson(t, s).join(s.Invite(t, 1))
	p.login()
	coded, _, _ := joinWithTOTP(t, s)
	ticket := coded.ticket()
	// Operations that need the database only with a valid token.
	signed := map[string]func() int{
		"/v1/oauth/refresh":       func() int { return p.tryRefresh(p.session.RefreshToken).StatusCode() },
		"/v1/oauth/second_factor": func() int { return coded.byCode(ticket, "123456").StatusCode() },
	}

	setDatabase(t, s, false)
	for _, request := range validRequests() {
		request.URL.Scheme, request.URL.Host, request.Host = "http", strings.TrimPrefix(s.URL, "http://"), ""
		request.Header.Set("Authorization", "Bearer "+p.session.AccessToken)
		if status, is := signed[request.URL.Path]; is {
			if got := status(); got != 503 {
				t.Errorf("%s: %d", request.URL.Path, got)
			}
			continue
		}
		response, _ := do(t, s, request)
		want := 503
		switch request.URL.Path {
		case "/v1/version", "/.well-known/jwks.json", "/openapi.json", "/openapi.yaml",
			"/.well-known/openid-configuration", "/docs", "/docs/docs.js", "/account", "/account/account.js", "/v1/oauth/passkey/options":
			want = 200
		case "/.well-known/change-password":
			want = 303
		}
		if response.StatusCode != want || want == 503 && response.Header.Get("Retry-After") == "" {
			t.Errorf("%s %s: %d, Retry-After %q; want %d", request.Method, request.URL.Path, response.StatusCode, response.Header.Get("Retry-After"), want)
		}
	}
	if ready(t, s) {
		t.Error("readyz says ready")
	}

	setDatabase(t, s, true)
	eventually(t, "ready again", func() bool { return ready(t, s) })
	p.refresh()
	p.sessions()
}

func ready(t *testing.T, s *harness.Service) bool {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.Admin+"/readyz", nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	_, err = s.Command(t.Context(), "healthcheck", "--admin-addr="+strings.TrimPrefix(s.Admin, "http://"))
	if (err == nil) != (response.StatusCode == 200) {
		t.Errorf("the command healthcheck says %v, readyz %d", err, response.StatusCode)
	}
	return response.StatusCode == 200
}

// setDatabase denies, or allows again, all connections to the service's database.
func setDatabase(t *testing.T, s *harness.Service, open bool) {
	t.Helper()
	u, err := url.Parse(s.DatabaseURL)
	if err != nil {
		t.Fatal(err)
	}
	name := strings.TrimPrefix(u.Path, "/")
	u.Path = "/postgres"
	admin := &harness.Service{DatabaseURL: u.String()}
	if open {
		admin.Exec(t, "ALTER DATABASE "+name+" WITH ALLOW_CONNECTIONS true")
		return
	}
	admin.Exec(t, "ALTER DATABASE "+name+" WITH ALLOW_CONNECTIONS false")
	admin.Exec(t, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", name)
}

// TestTooManyLogins expects a bounded queue for hashing: 503 immediately for the rest, and no wrong result.
func TestTooManyLogins(t *testing.T) {
	t.Parallel()
	s := harness.Start(t, binary, contract, harness.SQLite, "GOMAXPROCS=1")
	p := newPerson(t, s).join(s.Invite(t, 1))
	p.login()
	statuses := count(concurrently(120, func(int) int { return p.tryLogin(p.password).StatusCode() }))
	if statuses[200] == 0 || statuses[503] == 0 || statuses[200]+statuses[503] != 120 {
		t.Errorf("120 logins at the same time with one hashing slot: %v", statuses)
	}
	p.refresh()
}

// TestPoisonedRow expects 500, not a refusal, for a row with content that the service never wrote.
func TestPoisonedRow(t *testing.T) {
	t.Parallel()
	harness.EachEngine(t, func(t *testing.T, engine string) {
		s := harness.Start(t, binary, contract, engine)
		p := newPerson(t, s).join(s.Invite(t, 1))
		p.login()
		s.Exec(t, "UPDATE account SET password_hash = $1 WHERE email = $2", "$argon2id$v=19$m=4000000000,t=9,p=1$AAAA$AAAA", p.email)
		if status := p.tryLogin(p.password).StatusCode(); status != 500 {
			t.Errorf("login with a poisoned hash: %d", status)
		}
		p.refresh()
	})
}
