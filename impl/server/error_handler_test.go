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

	"github.com/financelime/authorization/api"
)

// failing is an implementation whose GetVersion fails. If hangUp is set, it first closes the connection of the client.
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

// unavailableError is an error that gives 503.
type unavailableError struct{ error }

func (unavailableError) RetryAfter() time.Duration { return time.Second }
func (e unavailableError) Unwrap() error           { return e.error }

// A defect is logged also if the client has closed the connection. The closed connection itself is not logged as a failure.
func TestFailuresAfterTheClientHasGone(t *testing.T) {
	t.Parallel()
	defect := errors.New("a defect")
	cancelled := func(ctx context.Context) error { return fmt.Errorf("query: %w", ctx.Err()) }
	for name, c := range map[string]struct {
		fail    func(ctx context.Context) error
		logged  bool
		contain string
	}{
		"the cancelled context":                  {cancelled, false, ""},
		"the cancelled context, twice":           {func(ctx context.Context) error { return errors.Join(cancelled(ctx), ctx.Err()) }, false, ""},
		"the database is unavailable":            {func(context.Context) error { return unavailableError{errors.New("closed")} }, false, ""},
		"a defect":                               {func(context.Context) error { return defect }, true, "a defect"},
		"a defect and a failed rollback":         {func(ctx context.Context) error { return errors.Join(defect, ctx.Err()) }, true, "a defect"},
		"an error with a detail":                 {func(ctx context.Context) error { return fmt.Errorf("%w: %w", errors.New("not compared"), ctx.Err()) }, false, ""},
		"a wrapped defect and a failed rollback": {func(ctx context.Context) error { return fmt.Errorf("log in: %w", errors.Join(defect, cancelled(ctx))) }, true, "a defect"},
		"a panic":                                {func(context.Context) error { panic("a bug") }, true, "a bug"},
		"a panic with the cancelled context":     {func(ctx context.Context) error { panic(ctx.Err()) }, true, "error_handler_test.go"}, // the stack
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
