// Package metric shows the service to Prometheus: docs/monitoring.md is for those who look.
//
// No other package knows Prometheus. Some have a hook that is told of what happens (Watch); the others keep counts of
// their own, which are read when somebody asks for the metrics. No label has a value that a client can choose.
package metric

import (
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/mail"
	"github.com/financelime/authorization/impl/password"
	"github.com/financelime/authorization/impl/token"
)

const namespace = "financelime_auth"

// Metrics are the metrics of one process, with a registry of their own.
type Metrics struct {
	registry *prometheus.Registry

	requests         *prometheus.CounterVec
	requestSeconds   *prometheus.HistogramVec
	inFlight         prometheus.Gauge
	limited          *prometheus.CounterVec
	statementSeconds *prometheus.HistogramVec
	workSeconds      *prometheus.HistogramVec
	databaseErrors   *prometheus.CounterVec
	mailAttempts     *prometheus.CounterVec
	events           *prometheus.CounterVec
}

// New makes the metrics that are told of what happens. Those that are read come with Observe.
func New() *Metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help}, labels)
	}
	histogram := func(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: namespace, Name: name, Help: help, Buckets: buckets}, labels)
	}
	requestBuckets := []float64{0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10}
	statementBuckets := []float64{0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 2.5, 10}
	m := &Metrics{
		registry: prometheus.NewRegistry(),

		requests: counter("http_requests_total", "Requests that were answered, by operationId of openapi.yaml and status.", "operation", "status"),
		requestSeconds: histogram("http_request_duration_seconds", "From the headers of a request to the end of its answer, by operationId.",
			requestBuckets, "operation"),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{
			Namespace: namespace, Name: "http_requests_in_flight", Help: "Requests that are being answered.",
		}),
		limited: counter("limit_refusals_total", "Requests that a limit refused, by limit.", "limit"),

		statementSeconds: histogram("database_statement_duration_seconds", "Statements, by their names in queries/.", statementBuckets, "statement"),
		workSeconds: histogram("database_transaction_duration_seconds",
			"Transactions with their wait for a connection or for SQLite's writer, and their commit; a write is a transaction of one statement.",
			statementBuckets, "kind"),
		databaseErrors: counter("database_errors_total", "Statements and transactions that failed, by what that means; a failed statement in a transaction counts twice.", "error"),

		mailAttempts: counter("mail_attempts_total", "Attempts at sending a mail, by kind and how they ended.", "kind", "outcome"),
		events:       counter("log_events_total", "Lines of the log of level info and above, by the name of the event.", "event"),
	}
	m.registry.MustRegister(
		m.requests, m.requestSeconds, m.inFlight, m.limited, m.statementSeconds, m.workSeconds, m.databaseErrors, m.mailAttempts, m.events,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	for _, kind := range mail.Kinds() { // from zero on, so that the first one is seen as an increase
		for _, outcome := range []string{mail.OutcomeSent, mail.OutcomeRetried, mail.OutcomeRequeued, mail.OutcomeDead} {
			m.mailAttempts.WithLabelValues(kind, outcome)
		}
	}
	for _, what := range []string{unavailable, conflict, failed} {
		m.databaseErrors.WithLabelValues(what)
	}
	return m
}

// Sources are what is read when somebody asks for the metrics.
type Sources struct {
	Store  *db.Store
	Keys   *token.Keys
	Mail   *mail.Worker
	Hasher *password.Hasher
	Ready  func() bool // whether the service wants requests
	Now    func() time.Time

	Version, Revision string
}

// Observe adds the metrics that are read. It is to be called once.
func (m *Metrics) Observe(s Sources) { m.registry.MustRegister(newReader(s)) }

// Handler answers with the metrics in Prometheus' text format.
func (m *Metrics) Handler(log *slog.Logger) http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{
		ErrorLog:            slog.NewLogLogger(log.Handler(), slog.LevelError),
		ErrorHandling:       promhttp.ContinueOnError,
		MaxRequestsInFlight: 4,
	})
}
