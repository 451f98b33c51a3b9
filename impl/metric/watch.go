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

// noOperation is the label of requests whose path is not in openapi.yaml.
const noOperation = "none"

// Request records the start of a request, and its end when the returned function is called.
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

// Limited counts a request that the limit refused.
func (m *Metrics) Limited(limit string) { m.limited.WithLabelValues(limit).Inc() }

// The kinds of database errors.
const (
	unavailable = "unavailable" // the database did not respond
	conflict    = "conflict"    // the change violates a constraint
	failed      = "failed"      // anything else: a defect in the service
)

// Database records the start of a statement, transaction or write, and its end when the returned function is called.
func (m *Metrics) Database(ctx context.Context, name string) (context.Context, func(error)) {
	began := time.Now()
	return ctx, func(err error) {
		took := time.Since(began).Seconds()
		if name == db.HookTransaction || name == db.HookWrite {
			m.transactionSeconds.WithLabelValues(name).Observe(took)
		} else {
			m.statementSeconds.WithLabelValues(name).Observe(took)
		}
		switch {
		case err == nil, errors.Is(err, db.ErrNotFound), errors.Is(err, context.Canceled):
		case errors.Is(err, db.ErrUnavailable):
			m.databaseErrors.WithLabelValues(unavailable).Inc()
		case errors.Is(err, db.ErrConflict):
			m.databaseErrors.WithLabelValues(conflict).Inc()
		case name == db.HookTransaction || name == db.HookWrite:
			// The caller returned this error, for example a refusal, to roll the transaction back. The database did not fail.
		default:
			m.databaseErrors.WithLabelValues(failed).Inc()
		}
	}
}

// Mail records the start of an attempt to send a mail, and its outcome when the returned function is called.
func (m *Metrics) Mail(ctx context.Context, kind string) (context.Context, func(outcome string)) {
	return ctx, func(outcome string) {
		if slices.Contains(mail.Kinds(), kind) {
			m.mailAttempts.WithLabelValues(kind, outcome).Inc()
		}
	}
}
