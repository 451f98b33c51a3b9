package metric

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/mail"
	"github.com/financelime/authorization/impl/reqinfo"
)

// noOperation stands for requests that openapi.yaml has no path for.
const noOperation = "none"

// Request is told of a request.
func (m *Metrics) Request(ctx context.Context, r reqinfo.Request) (context.Context, func(status int)) {
	began := time.Now()
	m.inFlight.Inc()
	operation := r.Operation
	if operation == "" {
		operation = noOperation
	}
	return ctx, func(status int) {
		m.inFlight.Dec()
		m.requests.WithLabelValues(operation, strconv.Itoa(status)).Inc()
		m.requestSeconds.WithLabelValues(operation).Observe(time.Since(began).Seconds())
	}
}

// Limited is told of the limit that refused a request.
func (m *Metrics) Limited(limit string) { m.limited.WithLabelValues(limit).Inc() }

// What an error of the database means.
const (
	unavailable = "unavailable" // it could not answer
	conflict    = "conflict"    // a constraint did not allow the change
	failed      = "failed"      // anything else: a fault of ours
)

// Database is told of what the database is asked for.
func (m *Metrics) Database(ctx context.Context, name string) (context.Context, func(error)) {
	began := time.Now()
	return ctx, func(err error) {
		took := time.Since(began).Seconds()
		if name == db.WatchedTransaction || name == db.WatchedWrite {
			m.workSeconds.WithLabelValues(name).Observe(took)
		} else {
			m.statementSeconds.WithLabelValues(name).Observe(took)
		}
		switch {
		case err == nil, errors.Is(err, db.ErrNotFound), errors.Is(err, context.Canceled):
		case errors.Is(err, db.ErrUnavailable):
			m.databaseErrors.WithLabelValues(unavailable).Inc()
		case errors.Is(err, db.ErrConflict):
			m.databaseErrors.WithLabelValues(conflict).Inc()
		case name == db.WatchedTransaction || name == db.WatchedWrite:
			// What the caller made of what it read, a refusal for one, rolls a transaction back and is no error of the database.
		default:
			m.databaseErrors.WithLabelValues(failed).Inc()
		}
	}
}

// Mail is told of an attempt at a mail.
func (m *Metrics) Mail(ctx context.Context, kind string) (context.Context, func(outcome string)) {
	return ctx, func(outcome string) {
		if slices.Contains(mail.Kinds(), kind) {
			m.mailAttempts.WithLabelValues(kind, outcome).Inc()
		}
	}
}
