package main

import (
	"context"
	"log/slog"
	"time"

	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/metric"
	"github.com/financelime/authorization/impl/reqinfo"
	"github.com/financelime/authorization/impl/trace"
)

// hooks are called at the start and the end of each request, database statement and mail attempt. They record metrics and, if
// tracing is on, traces.
type hooks struct {
	request  func(context.Context, reqinfo.Request) (context.Context, func(status int))
	database db.QueryHook
	mail     func(ctx context.Context, kind string) (context.Context, func(outcome string))
}

// newHooks returns the hooks of m and of tracer, which may be nil.
func newHooks(m *metric.Metrics, tracer *trace.Tracer) hooks {
	if tracer == nil {
		return hooks{request: m.Request, database: m.Database, mail: m.Mail}
	}
	return hooks{
		request:  chainHooks(m.Request, tracer.Request),
		database: chainHooks(m.Database, tracer.Database),
		mail:     chainHooks(m.Mail, tracer.Mail),
	}
}

// chainHooks returns a hook that calls outer, then inner. At the end it calls them in the reverse order.
func chainHooks[Subject, Result any](
	outer, inner func(context.Context, Subject) (context.Context, func(Result)),
) func(context.Context, Subject) (context.Context, func(Result)) {
	return func(ctx context.Context, subject Subject) (context.Context, func(Result)) {
		ctx, endOuter := outer(ctx, subject)
		ctx, endInner := inner(ctx, subject)
		return ctx, func(result Result) {
			endInner(result)
			endOuter(result)
		}
	}
}

// tracing is the tracer of the process; its Tracer is nil while tracing is off.
type tracing struct{ *trace.Tracer }

// openTracer creates the tracer if the environment configures one.
func openTracer(ctx context.Context, store *db.Store, log *slog.Logger) (tracing, error) {
	if !trace.Enabled() {
		return tracing{}, nil
	}
	t, err := trace.Open(ctx, store.Engine(), number, log)
	return tracing{t}, err
}

// close sends the remaining spans. Call it after everything that creates spans has stopped; ctx may be cancelled already.
func (t tracing) close(ctx context.Context, log *slog.Logger) {
	if t.Tracer == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := t.Close(ctx); err != nil {
		log.WarnContext(ctx, "trace.not_sent", slog.Any("error", err))
	}
}
