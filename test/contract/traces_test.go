package contract

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	trace "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/financelime/authorization/api/client"
	"github.com/financelime/authorization/test/harness"
)

// receiver receives traces like a collector: OTLP over HTTP.
type receiver struct {
	*httptest.Server

	mu    sync.Mutex
	raw   bytes.Buffer
	spans []*trace.Span
}

func newReceiver(t *testing.T) *receiver {
	t.Helper()
	r := new(receiver)
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		body, err := io.ReadAll(request.Body)
		var export collector.ExportTraceServiceRequest
		if err == nil {
			err = proto.Unmarshal(body, &export)
		}
		if err != nil || request.URL.Path != "/v1/traces" {
			t.Errorf("%s: %v", request.URL.Path, err)
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.raw.Write(body)
		for _, resource := range export.ResourceSpans {
			for _, scope := range resource.ScopeSpans {
				r.spans = append(r.spans, scope.Spans...)
			}
		}
		w.Header().Set("Content-Type", "application/x-protobuf")
	}))
	t.Cleanup(r.Close)
	return r
}

// trace waits until the trace of a request ID has spans with all names.
func (r *receiver) trace(t *testing.T, requestID string, names ...string) []*trace.Span {
	t.Helper()
	sum := sha256.Sum256([]byte("financelime-auth trace " + requestID))
	deadline := time.Now().Add(time.Minute)
	for {
		var found []*trace.Span
		var have []string
		r.mu.Lock()
		for _, span := range r.spans {
			if bytes.Equal(span.TraceId, sum[:16]) {
				found, have = append(found, span), append(have, span.Name)
			}
		}
		r.mu.Unlock()
		missing := slices.DeleteFunc(slices.Clone(names), func(name string) bool { return slices.Contains(have, name) })
		if len(missing) == 0 {
			return found
		}
		if time.Now().After(deadline) {
			t.Fatalf("the trace has no %v, but %v", missing, have)
		}
		time.Sleep(20 * time.Millisecond) // between two looks
	}
}

func attributeOf(span *trace.Span, key string) *common.AnyValue {
	for _, a := range span.Attributes {
		if a.Key == key {
			return a.Value
		}
	}
	return new(common.AnyValue)
}

func named(spans []*trace.Span, name string) *trace.Span {
	return spans[slices.IndexFunc(spans, func(s *trace.Span) bool { return s.Name == name })]
}

// TestOneTrace expects a sign-up, its statements, its mail and the opened link in one trace, without secrets.
func TestOneTrace(t *testing.T) {
	t.Parallel()
	harness.EachEngine(t, func(t *testing.T, engine string) {
		r := newReceiver(t)
		s := harness.Start(t, binary, contract, engine, "OTEL_EXPORTER_OTLP_ENDPOINT="+r.URL, "OTEL_BSP_SCHEDULE_DELAY=100")
		code, name := s.Invite(t, 1), rid()
		p := newPerson(t, s)
		const parent = "4bf92f3577b34da6a3ce929d0e0e4736"
		answer, err := s.API.SignupWithResponse(t.Context(), &client.SignupParams{RequestID: name},
			client.SignUpRequest{Email: p.email, InviteCode: code, Language: "en"},
			func(_ context.Context, request *http.Request) error {
				request.Header.Set("Traceparent", "00-"+parent+"-00f067aa0ba902b7-01")
				return nil
			})
		p.must(err)
		p.want("sign up", answer.StatusCode(), 204)
		link := p.mail().Link(t)
		p.want("open the link", p.open(link).StatusCode, 200)
		p.password = p.mail().Password(t)
		p.login()
		p.want("a wrong password", p.tryLogin("a-wrong-password-of-mine").StatusCode(), 404)

		spans := r.trace(t, name, "signup", "transaction", "InsertAccount", "InsertMail",
			"mail signup_link", "GetConfirmation", "MarkMailSent", "confirm_user_email", "mail password", "SetPendingPassword")
		request, statement, mail, click := named(spans, "signup"), named(spans, "InsertMail"), named(spans, "mail signup_link"), named(spans, "confirm_user_email")
		if !bytes.Equal(statement.ParentSpanId, request.SpanId) {
			t.Error("a statement is not below its request")
		}
		if attributeOf(request, "http.response.status_code").GetIntValue() != 204 || attributeOf(click, "http.response.status_code").GetIntValue() != 200 {
			t.Error("the requests have no status")
		}
		for _, span := range []*trace.Span{request, mail, click} {
			if attributeOf(span, "request_id").GetStringValue() != name {
				t.Errorf("%s has no request_id", span.Name)
			}
		}
		if got := attributeOf(mail, "mail.outcome").GetStringValue(); got != "sent" {
			t.Errorf("the mail was %q", got)
		}
		if len(request.Links) != 1 || hex.EncodeToString(request.Links[0].TraceId) != parent {
			t.Errorf("the request is linked to %v, not to the caller's trace", request.Links)
		}

		s.Stop(t) // everything has been sent then
		r.mu.Lock()
		defer r.mu.Unlock()
		for what, secret := range map[string]string{
			"address": p.email, "link": strings.TrimPrefix(link.Path, "/u/"), "invite code": code, "password": p.password,
			"wrong password": "a-wrong-password-of-mine", "access token": p.session.AccessToken, "refresh token": p.session.RefreshToken,
			"secret": s.Secret(t), "source": "127.0.0.1",
		} {
			if secret == "" || strings.Contains(r.raw.String(), secret) {
				t.Errorf("the spans tell the %s", what)
			}
		}
	})
}

// TestTracesWithoutCollector expects no effect on requests while the collector is unavailable.
func TestTracesWithoutCollector(t *testing.T) {
	t.Parallel()
	r := newReceiver(t)
	r.Close()
	s := harness.Start(t, binary, contract, harness.SQLite, "OTEL_EXPORTER_OTLP_ENDPOINT="+r.URL, "OTEL_EXPORTER_OTLP_TIMEOUT=1000", "OTEL_BSP_SCHEDULE_DELAY=100")
	newPerson(t, s).join(s.Invite(t, 1)).login()
	deadline := time.Now().Add(time.Minute)
	for !strings.Contains(s.Log(), "trace.not_sent") {
		if time.Now().After(deadline) {
			t.Fatal("the log does not say that traces are lost")
		}
		time.Sleep(50 * time.Millisecond) // between two looks
	}
}
