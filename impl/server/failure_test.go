package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/financelime/authorization/api"
	"github.com/financelime/authorization/impl/page"
)

// failing is an implementation whose version fails, after its caller has hung up if hangUp is set.
type failing struct {
	api.StrictServerInterface
	hangUp context.CancelFunc
	fail   func(ctx context.Context) error
}

func (f failing) GetVersion(ctx context.Context, _ api.GetVersionRequestObject) (api.GetVersionResponseObject, error) {
	if f.hangUp != nil {
		f.hangUp()
		<-ctx.Done()
	}
	return nil, f.fail(ctx)
}

type awayError struct{ error }

func (awayError) RetryAfter() time.Duration { return time.Second }
func (e awayError) Unwrap() error           { return e.error }

// A defect is logged whether or not its caller waits for the answer; that he has left is none.
func TestFailuresAfterTheCallerHasLeft(t *testing.T) {
	t.Parallel()
	defect := errors.New("a defect")
	cancelled := func(ctx context.Context) error { return fmt.Errorf("query: %w", ctx.Err()) }
	for name, c := range map[string]struct {
		fail    func(ctx context.Context) error
		logged  bool
		contain string
	}{
		"the cancelled context":                 {cancelled, false, ""},
		"the cancelled context, twice":          {func(ctx context.Context) error { return errors.Join(cancelled(ctx), ctx.Err()) }, false, ""},
		"the database is away":                  {func(context.Context) error { return awayError{errors.New("closed")} }, false, ""},
		"a defect":                              {func(context.Context) error { return defect }, true, "a defect"},
		"a defect, and a roll-back that failed": {func(ctx context.Context) error { return errors.Join(defect, ctx.Err()) }, true, "a defect"},
		"a sentence that ends with it":          {func(ctx context.Context) error { return fmt.Errorf("%w: %w", errors.New("not compared"), ctx.Err()) }, false, ""},
		"a wrapped defect, and a roll-back":     {func(ctx context.Context) error { return fmt.Errorf("log in: %w", errors.Join(defect, cancelled(ctx))) }, true, "a defect"},
		"a panic":                               {func(context.Context) error { panic("a bug") }, true, "a bug"},
		"a panic with the cancelled context":    {func(ctx context.Context) error { panic(ctx.Err()) }, true, "failure_test.go"}, // the stack
	} {
		ctx, hangUp := context.WithCancel(t.Context())
		var log bytes.Buffer
		h, err := New(Config{Log: slog.New(slog.NewJSONHandler(&log, nil))}, failing{hangUp: hangUp, fail: c.fail})
		if err != nil {
			t.Fatal(err)
		}
		r := httptest.NewRequestWithContext(ctx, http.MethodGet, "/v1/version", nil)
		r.Header.Set(requestIDHeader, "12345678")
		h.ServeHTTP(httptest.NewRecorder(), r)
		failed := strings.Contains(log.String(), `"msg":"request.failed"`)
		if failed != c.logged || !strings.Contains(log.String(), c.contain) {
			t.Errorf("%s: request.failed is logged: %t, want %t\n%s", name, failed, c.logged, log.String())
		}
		if strings.Contains(log.String(), "request.unavailable") {
			t.Errorf("%s: %s", name, log.String())
		}
		if !strings.Contains(log.String(), `"msg":"request"`) {
			t.Errorf("%s: the request is not logged", name)
		}
	}
}

// keyed is an implementation that keeps the parameters of the path.
type keyed struct {
	api.StrictServerInterface
	key, session string
}

func (k *keyed) ConfirmUserEmail(_ context.Context, r api.ConfirmUserEmailRequestObject) (api.ConfirmUserEmailResponseObject, error) {
	k.key = r.ConfirmationKey
	return opened{page.Confirmed(page.Text, "en", "signup")}, nil
}

type opened struct{ page.Page }

func (o opened) VisitConfirmUserEmailResponse(w http.ResponseWriter) error { return o.Send(w) }

func (k *keyed) RevokeSession(_ context.Context, r api.RevokeSessionRequestObject) (api.RevokeSessionResponseObject, error) {
	k.session = r.SessionID
	return api.RevokeSession204Response{}, nil
}

// A parameter of the path may come percent-encoded: it is decoded once, and before it is validated.
func TestEncodedPathParameters(t *testing.T) {
	t.Parallel()
	key := "m" + strings.Repeat("A", 42)
	for _, c := range []struct {
		method, target string
		status         int
		key, session   string
	}{
		{http.MethodGet, "/u/" + key, 200, key, ""},
		{http.MethodGet, "/u/%6D" + key[1:], 200, key, ""},
		{http.MethodGet, "/u/%6d" + key[1:], 200, key, ""},
		{http.MethodGet, "/u/" + strings.Repeat("%41", 43), 200, strings.Repeat("A", 43), ""},
		{http.MethodGet, "/u/" + strings.Repeat("A", 42) + "%2D", 200, strings.Repeat("A", 42) + "-", ""},
		{http.MethodGet, "/u/%256D" + key[1:], 404, "", ""}, // decoded once
		{http.MethodGet, "/u/" + key[1:] + "%2F", 404, "", ""},
		{http.MethodGet, "/u/%2F" + key[1:], 404, "", ""},
		{http.MethodGet, "/u%2F" + key, 404, "", ""},
		{http.MethodGet, "/u/" + key[1:] + "%0A", 404, "", ""},
		{http.MethodGet, "/u/" + key[1:] + "%FF", 404, "", ""},
		{http.MethodGet, "/u/" + key + "%20", 404, "", ""},
		{http.MethodGet, "/u/%2e%2e/v1/version", 404, "", ""},
		{http.MethodDelete, "/v1/session/%61bc", 204, "", "abc"},
		{http.MethodDelete, "/v1/session/a%2Fb", 400, "", ""}, // the slash separates nothing, and is in no id
		{http.MethodDelete, "/v1/session/a/b", 404, "", ""},
		{http.MethodDelete, "/v1/session%2Fabc", 404, "", ""},
	} {
		implementation := new(keyed)
		h, err := New(Config{
			Log:          slog.New(slog.DiscardHandler),
			Authenticate: func(ctx context.Context, _ string) (context.Context, error) { return ctx, nil },
		}, implementation)
		if err != nil {
			t.Fatal(err)
		}
		target := c.target
		if strings.HasPrefix(target, "/u") {
			target += "?rid=12345678"
		}
		w := serve(h, c.method, target, http.Header{"Request-Id": {"12345678"}, echo.HeaderAuthorization: {"x"}}, "")
		if w.Code != c.status || implementation.key != c.key || implementation.session != c.session {
			t.Errorf("%s %s: %d, key %q, session %q: %s", c.method, c.target, w.Code, implementation.key, implementation.session, w.Body)
		}
	}
}
