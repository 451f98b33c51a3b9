package dev_test

import (
	"bytes"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/dev"
	"github.com/financelime/authorization/impl/link"
	"github.com/financelime/authorization/impl/password"
	"github.com/financelime/authorization/impl/secret"
	"github.com/financelime/authorization/impl/token"
	"github.com/financelime/authorization/test/dbtest"
)

const (
	exampleAccess  = "eyJhbGciOiJFUzI1NiIsInR5cCI6ImF0K2p3dCIsImtpZCI6IjEifQ.eyJzdWIiOiIwMTlhYWY2ZS0wIn0.c2lnbmF0dXJl"
	exampleRefresh = "eyJhbGciOiJIUzI1NiIsInR5cCI6InJ0K2p3dCJ9.eyJnZW4iOjF9.c2lnbmF0dXJl"
	exampleSession = "019aaf6e-9c2b-7c41-8b1e-2f60a4a9d1c7"
)

// fixture is a handler, the tokens that it issues, and the requests that arrive behind it.
type fixture struct {
	handler *dev.Handler
	access  *token.Access
	refresh *token.Refresh
	store   *db.Store
	log     *bytes.Buffer
	next    func(r *http.Request, body string)
	respond func(w http.ResponseWriter) // may be nil
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	ctx := t.Context()
	store := dbtest.Open(t, dbtest.SQLiteURL(t))
	if err := dev.Claim(ctx, store); err != nil {
		t.Fatal(err)
	}
	root, err := secret.Generate()
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{store: store, log: new(bytes.Buffer)}
	config := token.Config{
		Issuer: "http://localhost:8080", Audience: "http://localhost:8080", Algorithm: token.ES256, AccessTTL: time.Minute, RefreshTTL: time.Hour,
		KeyLife: time.Hour, JWKSMaxAge: time.Minute,
	}
	log := slog.New(slog.NewTextHandler(f.log, nil))
	keys, err := token.OpenKeys(ctx, store, root, config, log)
	if err != nil {
		t.Fatal(err)
	}
	if f.access, err = token.NewAccess(keys, config); err != nil {
		t.Fatal(err)
	}
	if f.refresh, err = token.NewRefresh(root, config); err != nil {
		t.Fatal(err)
	}
	f.handler, err = dev.New(ctx, dev.Config{
		Store: store, Root: root, Hasher: password.NewHasher(password.Options{}), Links: link.New(root), Access: f.access, Refresh: f.refresh,
		Log: log, SignUpLinkTTL: time.Hour, RefreshTTL: time.Hour, SessionMaxAge: time.Hour,
	}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		if f.next != nil {
			f.next(r, string(body))
		}
		if f.respond != nil {
			f.respond(w)
		}
	}))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// send sends a request, and returns it as it arrives behind the handler.
func (f *fixture) send(t *testing.T, method, target, authorization, body string) (arrived *http.Request, arrivedBody string) {
	t.Helper()
	f.next = func(r *http.Request, body string) { arrived, arrivedBody = r, body }
	r := httptest.NewRequestWithContext(t.Context(), method, target, strings.NewReader(body))
	r.Host = "localhost:8080"
	if authorization != "" {
		r.Header.Set("authorization", authorization)
	}
	w := httptest.NewRecorder()
	f.handler.ServeHTTP(w, r)
	if got := w.Header().Get("x-dev"); got != "true" {
		t.Errorf("x-dev is %q", got)
	}
	if arrived == nil {
		t.Fatalf("%s %s did not arrive", method, target)
	}
	return arrived, arrivedBody
}

// TestExamplesAreReplaced expects example tokens and keys to be replaced where they have their meaning, also while the database is unavailable:
// then the service responds with 503, and not with a status that ends a session.
func TestExamplesAreReplaced(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for _, available := range []bool{true, false} {
		if !available {
			if err := f.store.Close(); err != nil {
				t.Fatal(err)
			}
		}
		for _, authorization := range []string{"Bearer " + exampleAccess, "bearer " + exampleAccess, exampleAccess} {
			r, _ := f.send(t, http.MethodGet, "/v1/session/list", authorization, "")
			claims, err := f.access.Verify(t.Context(), strings.TrimPrefix(r.Header.Get("authorization"), "Bearer "))
			if err != nil || claims.SessionID.String() != exampleSession || claims.ClientID != "PWA_v0.0.1" {
				t.Errorf("database available: %t: %q: %+v, %v", available, authorization, claims, err)
			}
		}
		r, body := f.send(t, http.MethodPut, "/v1/oauth/refresh", "", `{"refreshToken": "`+exampleRefresh+`"}`)
		raw := strings.TrimSuffix(strings.TrimPrefix(body, `{"refreshToken": "`), `"}`)
		claims, err := f.refresh.Parse(raw)
		if err != nil || claims.SessionID.String() != exampleSession || claims.Generation != 1 {
			t.Errorf("database available: %t: %s: %+v, %v", available, body, claims, err)
		}
		if r.ContentLength != int64(len(body)) {
			t.Errorf("the content length is %d, the body has %d bytes", r.ContentLength, len(body))
		}
		if warned := strings.Contains(f.log.String(), "dev.restore_failed"); warned == available {
			t.Errorf("database available: %t: the log is\n%s", available, f.log)
		}
	}
}

// TestOtherRequestsAreUnchanged expects requests without an example, or with one in another place, to arrive as they were sent.
func TestOtherRequestsAreUnchanged(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for _, c := range []struct{ method, target, authorization, body string }{
		{http.MethodGet, "/v1/session/list", "Bearer " + exampleAccess + "x", ""},
		{http.MethodGet, "/v1/session/list", "Basic " + exampleAccess, ""},
		{http.MethodGet, "/v1/session/list", "Bearer  " + exampleAccess, ""},
		{http.MethodGet, "/v1/session/list", "Bearer " + exampleRefresh, ""},
		{http.MethodPut, "/v1/oauth/refresh", "", `{"refreshToken":"` + exampleAccess + `"}`},
		{http.MethodPut, "/v1/oauth/refresh", "", `{"refreshToken":"` + exampleRefresh + `"`},
		{http.MethodPut, "/v1/oauth/refresh", "", ` "` + exampleRefresh + `"`},
		{http.MethodPost, "/v1/oauth/refresh", "", `{"refreshToken":"` + exampleRefresh + `"}`},
		{http.MethodPut, "/v1/oauth/create", "", `{"refreshToken":"` + exampleRefresh + `"}`},
		{http.MethodPut, "/v1/oauth/refresh", "", `{"refreshToken":"` + exampleRefresh + `"}` + strings.Repeat(" ", 20_000)},
		{http.MethodHead, "/u/0Zq5V8XpZ3rT1m2nB7cK4yHdLwQeGsUaFiJoRvNxM9k?rid=develop-1", "", ""},
		{http.MethodGet, "/u/1Zq5V8XpZ3rT1m2nB7cK4yHdLwQeGsUaFiJoRvNxM9k?rid=develop-1", "", ""},
		{http.MethodGet, "/v1/u/0Zq5V8XpZ3rT1m2nB7cK4yHdLwQeGsUaFiJoRvNxM9k", "", ""},
	} {
		r, body := f.send(t, c.method, c.target, c.authorization, c.body)
		if body != c.body || r.Header.Get("authorization") != c.authorization || r.URL.String() != c.target {
			t.Errorf("%s %s %q %.100q arrived as %s %q %.100q", c.method, c.target, c.authorization, c.body, r.URL, r.Header.Get("authorization"), body)
		}
	}
	r, _ := f.send(t, http.MethodGet, "/u/0Zq5V8XpZ3rT1m2nB7cK4yHdLwQeGsUaFiJoRvNxM9k?rid=develop-1", "", "")
	if r.URL.Path == "/u/0Zq5V8XpZ3rT1m2nB7cK4yHdLwQeGsUaFiJoRvNxM9k" || len(r.URL.Path) != len("/u/")+43 || r.URL.RawQuery != "rid=develop-1" {
		t.Errorf("the example link arrived as %s", r.URL)
	}
}
