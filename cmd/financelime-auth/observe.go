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

// watches are what those are told who watch the service: always the metrics, and traces where they are wanted.
type watches struct {
	request  func(context.Context, reqinfo.Request) (context.Context, func(status int))
	database db.Watch
	mail     func(ctx context.Context, kind string) (context.Context, func(outcome string))
}

// watch puts the two together; tracer may be nil.
func watch(m *metric.Metrics, tracer *trace.Tracer) watches {
	if tracer == nil {
		return watches{request: m.Request, database: m.Database, mail: m.Mail}
	}
	return watches{
		request:  both(m.Request, tracer.Request),
		database: both(m.Database, tracer.Database),
		mail:     both(m.Mail, tracer.Mail),
	}
}

// both tells two of something that begins, and of how it ends.
func both[What, End any](a, b func(context.Context, What) (context.Context, func(End))) func(context.Context, What) (context.Context, func(End)) {
	return func(ctx context.Context, what What) (context.Context, func(End)) {
		ctx, endA := a(ctx, what)
		ctx, endB := b(ctx, what)
		return ctx, func(end End) {
			endB(end)
			endA(end)
		}
	}
}

// tracing is the process's tracer, or none.
type tracing struct{ *trace.Tracer }

// openTracer makes the tracer if the environment asks for traces.
func openTracer(ctx context.Context, store *db.Store, log *slog.Logger) (tracing, error) {
	if !trace.Wanted() {
		return tracing{}, nil
	}
	t, err := trace.Open(ctx, store.Engine(), number, log)
	return tracing{t}, err
}

// close sends the last spans. It comes after everything that makes some, when the process's own context has ended.
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
