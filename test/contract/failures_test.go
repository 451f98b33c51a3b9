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

// wellFormed are requests that nothing but the operation itself can refuse.
func wellFormed() []*http.Request {
	key := strings.Repeat("A", 43) + "?rid=" + rid()
	var all []*http.Request
	for _, r := range []struct{ method, path, body string }{
		{http.MethodPost, "/v1/user/signup", `{"email":"a@example.com","inviteCode":"c","language":"en"}`},
		{http.MethodPost, "/v1/user/password", `{"email":"a@example.com"}`},
		{http.MethodGet, "/u/" + key, ""},
		{http.MethodPost, "/v1/oauth/create", `{"email":"a@example.com","password":"p","clientID":"c","device":{}}`},
		{http.MethodPut, "/v1/oauth/refresh", `{"refreshToken":"a.b.c"}`},
		{http.MethodGet, "/v1/session/list", ""},
		{http.MethodDelete, "/v1/session/remove", `{"sessionID":"` + uuid.NewString() + `"}`},
		{http.MethodDelete, "/v1/session/" + uuid.NewString(), ""},
		{http.MethodGet, "/v1/version", ""},
		{http.MethodGet, "/.well-known/jwks.json", ""},
		{http.MethodGet, "/openapi.json", ""},
		{http.MethodGet, "/openapi.yaml", ""},
		{http.MethodGet, "/v1/oauth/verify", ""},
		{http.MethodGet, "/.well-known/openid-configuration", ""},
		{http.MethodGet, "/docs", ""},
		{http.MethodGet, "/docs/docs.js", ""},
	} {
		request := httptest.NewRequest(r.method, r.path, strings.NewReader(r.body))
		request.RequestURI = ""
		request.Header = jsonHeader()
		request.Header.Set("Authorization", "Bearer x")
		all = append(all, request)
	}
	return all
}

// A defect of the service, an error or a panic, is 500 in the operation's own form and tells nothing of itself.
func TestDefectsAre500(t *testing.T) {
	t.Parallel()
	// Every method of this implementation panics: there is nothing behind the interface.
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
		for _, request := range wellFormed() {
			request.URL.Scheme, request.URL.Host, request.Host = base.Scheme, base.Host, base.Host
			request.Header.Set("Accept", accept)
			response, body := do(t, &harness.Service{HTTP: httpClient}, request)
			if response.StatusCode != 500 || strings.Contains(body, "panic") || strings.Contains(body, "nil pointer") {
				t.Errorf("%s %s: %d %s", request.Method, request.URL.Path, response.StatusCode, body)
			}
		}
	}
}

// late is an answer that breaks off when its status is out.
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

// A defect that comes when the status is out hangs up: nobody takes half an answer for a whole one.
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
	for range 2 { // and the service goes on
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

// While its database is away the service says so, and decides nothing; what needs no database goes on; and it needs no restart.
func TestDatabaseAway(t *testing.T) {
	t.Parallel()
	s := harness.Start(t, binary, contract, harness.Postgres)
	p := newPerson(t, s).join(s.Invite(t, 1))
	p.login()

	setDatabase(t, s, false)
	for _, request := range wellFormed() {
		request.URL.Scheme, request.URL.Host, request.Host = "http", strings.TrimPrefix(s.URL, "http://"), ""
		request.Header.Set("Authorization", "Bearer "+p.session.AccessToken)
		if request.URL.Path == "/v1/oauth/refresh" {
			request.Body, request.ContentLength = http.NoBody, 0
			if got := p.tryRefresh(p.session.RefreshToken); got.StatusCode() != 503 {
				t.Errorf("refresh: %d", got.StatusCode())
			}
			continue
		}
		response, _ := do(t, s, request)
		want := 503
		switch request.URL.Path {
		case "/v1/version", "/.well-known/jwks.json", "/openapi.json", "/openapi.yaml",
			"/.well-known/openid-configuration", "/docs", "/docs/docs.js":
			want = 200
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

// setDatabase lets nobody into the service's database, or everybody again.
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

// Too many passwords at once: the queue is bounded, the rest is refused at once with 503, and nobody is told a falsehood.
func TestTooManyLogins(t *testing.T) {
	t.Parallel()
	s := harness.Start(t, binary, contract, harness.SQLite, "GOMAXPROCS=1")
	p := newPerson(t, s).join(s.Invite(t, 1))
	p.login()
	statuses := count(atOnce(120, func(int) int { return p.tryLogin(p.password).StatusCode() }))
	if statuses[200] == 0 || statuses[503] == 0 || statuses[200]+statuses[503] != 120 {
		t.Errorf("120 log-ins at once with one hashing slot: %v", statuses)
	}
	p.refresh()
}

// A row that is not what the service wrote is a defect, not a verdict on the caller.
func TestPoisonedRow(t *testing.T) {
	t.Parallel()
	harness.EachEngine(t, func(t *testing.T, engine string) {
		s := harness.Start(t, binary, contract, engine)
		p := newPerson(t, s).join(s.Invite(t, 1))
		p.login()
		s.Exec(t, "UPDATE account SET password_hash = $1 WHERE email = $2", "$argon2id$v=19$m=4000000000,t=9,p=1$AAAA$AAAA", p.email)
		if status := p.tryLogin(p.password).StatusCode(); status != 500 {
			t.Errorf("log-in with a poisoned hash: %d", status)
		}
		p.refresh()
	})
}
