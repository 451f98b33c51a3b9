// Package trace exports traces of requests, database statements and mail attempts to an OpenTelemetry collector. docs/monitoring.md
// explains them to operators. No other package imports OpenTelemetry.
//
// The trace ID is a hash of the request ID. The mails that the request caused, and the click on a mailed link, have the same request ID
// (rid), so they are in the same trace, whichever replica handles them and however much later. Therefore a traceparent in a request is
// linked to, and not continued.
//
// Spans contain operationIds, statement names, kinds of mails, statuses and request IDs. They never contain a path, an address, an
// argument, an error text, or anything else that identifies a person or reveals a secret.
package trace

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"strings"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/mail"
	"github.com/financelime/authorization/impl/reqinfo"
)

// Enabled reports whether OpenTelemetry's standard environment variables configure an exporter.
func Enabled() bool {
	if strings.EqualFold(os.Getenv("OTEL_SDK_DISABLED"), "true") || os.Getenv("OTEL_TRACES_EXPORTER") == "none" {
		return false
	}
	return os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT") != "" || os.Getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") != ""
}

// Tracer creates spans and sends them by OTLP over HTTP.
type Tracer struct {
	provider *sdk.TracerProvider
	tracer   trace.Tracer
	engine   string
}

// Open creates a Tracer that is configured by the OTEL_ variables. It does not connect yet. Spans that cannot be sent later are dropped,
// and the error is logged.
func Open(ctx context.Context, engine, version string, log *slog.Logger) (*Tracer, error) {
	if protocol := os.Getenv("OTEL_EXPORTER_OTLP_PROTOCOL"); protocol != "" && protocol != "http/protobuf" {
		return nil, fmt.Errorf("OTEL_EXPORTER_OTLP_PROTOCOL: %q is not supported: use http/protobuf", protocol)
	}
	exporter, err := otlptracehttp.New(ctx)
	if err != nil {
		return nil, fmt.Errorf("OTEL_EXPORTER_OTLP_ENDPOINT: %w", err)
	}
	about, err := resource.New(ctx, resource.WithAttributes(
		attribute.String("service.name", "financelime-auth"), attribute.String("service.version", version),
	), resource.WithFromEnv(), resource.WithTelemetrySDK())
	if err != nil {
		return nil, fmt.Errorf("OTEL_RESOURCE_ATTRIBUTES: %w", err)
	}
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) {
		log.Warn("trace.not_sent", slog.Any("error", err)) //nolint:sloglint // OpenTelemetry passes no context
	}))
	provider := sdk.NewTracerProvider(sdk.WithBatcher(exporter), sdk.WithResource(about), sdk.WithIDGenerator(ids{}))
	return &Tracer{provider: provider, tracer: provider.Tracer("github.com/financelime/authorization"), engine: engine}, nil
}

// Close sends the remaining spans. It gives up when ctx ends.
func (t *Tracer) Close(ctx context.Context) error { return t.provider.Shutdown(ctx) }

// ids generates random span IDs, and trace IDs that are hashes of request IDs.
type ids struct{}

func (ids) NewIDs(ctx context.Context) (traceID trace.TraceID, spanID trace.SpanID) {
	sum := sha256.Sum256([]byte("financelime-auth trace " + reqinfo.FromContext(ctx).RequestID))
	copy(traceID[:], sum[:])
	_, _ = rand.Read(spanID[:]) // it never fails
	return traceID, spanID
}

func (ids) NewSpanID(context.Context, trace.TraceID) (spanID trace.SpanID) {
	_, _ = rand.Read(spanID[:]) // as above
	return spanID
}

// Request begins the span of a request. The returned function ends it.
func (t *Tracer) Request(ctx context.Context, r reqinfo.Request) (context.Context, func(status int)) {
	req := reqinfo.FromContext(ctx)
	name := r.Operation
	if name == "" {
		name = "none"
	}
	options := []trace.SpanStartOption{
		trace.WithNewRoot(), trace.WithSpanKind(trace.SpanKindServer),
		trace.WithAttributes(
			attribute.String("request_id", req.RequestID), attribute.String("operation", name),
			attribute.String("http.request.method", r.Method), attribute.String("http.route", r.Route),
		),
	}
	if cause := parse(req.TraceParent); cause.IsValid() {
		options = append(options, trace.WithLinks(trace.Link{SpanContext: cause}))
	}
	ctx, span := t.tracer.Start(ctx, name, options...) //nolint:spancheck // the returned function ends it
	return ctx, func(status int) {                     //nolint:spancheck // as above
		span.SetAttributes(attribute.Int("http.response.status_code", status))
		if status >= http.StatusInternalServerError {
			span.SetStatus(codes.Error, "")
		}
		span.End()
	}
}

// Database begins the span of a statement or transaction. The returned function ends it. Without a span of a request or a mail it does
// nothing.
func (t *Tracer) Database(ctx context.Context, name string) (context.Context, func(error)) {
	if !trace.SpanFromContext(ctx).IsRecording() {
		return ctx, func(error) {}
	}
	system := "postgresql"
	if t.engine != "postgres" {
		system = t.engine
	}
	ctx, span := t.tracer.Start(ctx, name, trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes( //nolint:spancheck // as above
		attribute.String("db.system.name", system), attribute.String("db.operation.name", name)))
	return ctx, func(err error) { //nolint:spancheck // as above
		if err != nil && !errors.Is(err, db.ErrNotFound) {
			span.SetStatus(codes.Error, "")
			span.SetAttributes(attribute.String("error.type", errorType(err)))
		}
		span.End()
	}
}

func errorType(err error) string {
	switch {
	case errors.Is(err, db.ErrUnavailable):
		return "unavailable"
	case errors.Is(err, db.ErrConflict):
		return "conflict"
	case errors.Is(err, context.Canceled):
		return "canceled"
	}
	return "other"
}

// Mail begins the span of an attempt to send a mail. The returned function ends it.
func (t *Tracer) Mail(ctx context.Context, kind string) (context.Context, func(outcome string)) {
	ctx, span := t.tracer.Start(ctx, "mail "+kind, trace.WithNewRoot(), trace.WithSpanKind(trace.SpanKindConsumer), //nolint:spancheck // as above
		trace.WithAttributes(attribute.String("request_id", reqinfo.FromContext(ctx).RequestID), attribute.String("mail.kind", kind)))
	return ctx, func(outcome string) { //nolint:spancheck // as above
		span.SetAttributes(attribute.String("mail.outcome", outcome))
		if outcome != mail.OutcomeSent && outcome != mail.OutcomeSuperseded && outcome != mail.OutcomeLeaseLost {
			span.SetStatus(codes.Error, "")
		}
		span.End()
	}
}
