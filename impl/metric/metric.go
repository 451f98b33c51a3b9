// Package metric exports the metrics of the service to Prometheus. docs/monitoring.md explains them to operators.
//
// No other package imports Prometheus. There are two kinds of metrics: those that other packages report through hooks while they work
// ([Metrics.Request], [Metrics.Database], [Metrics.Mail]), and those that are read from other packages and the database at each scrape
// ([Metrics.Observe]). Clients cannot choose the value of any label.
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
	"github.com/financelime/authorization/impl/totp"
)

const namespace = "financelime_auth"

// Metrics has the metrics of one process in their own registry.
type Metrics struct {
	registry *prometheus.Registry

	requests           *prometheus.CounterVec
	requestSeconds     *prometheus.HistogramVec
	inFlight           prometheus.Gauge
	limited            *prometheus.CounterVec
	statementSeconds   *prometheus.HistogramVec
	transactionSeconds *prometheus.HistogramVec
	databaseErrors     *prometheus.CounterVec
	mailAttempts       *prometheus.CounterVec
	events             *prometheus.CounterVec
}

// New creates the metrics that hooks report. Observe adds those that are read at each scrape.
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

		requests: counter("http_requests_total", "Completed HTTP requests, by operationId of openapi.yaml and status.", "operation", "status"),
		requestSeconds: histogram("http_request_duration_seconds", "Duration of HTTP requests from the request headers to the end of the response, by operationId.",
			requestBuckets, "operation"),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{
			Namespace: namespace, Name: "http_requests_in_flight", Help: "HTTP requests in progress.",
		}),
		limited: counter("limit_refusals_total", "Requests that were refused with 429, by limit.", "limit"),

		statementSeconds: histogram("database_statement_duration_seconds", "Duration of database statements, by their name in queries/.", statementBuckets, "statement"),
		transactionSeconds: histogram("database_transaction_duration_seconds",
			"Duration of database transactions, including the commit and the wait for a connection or for SQLite's writer. A write is a transaction of one statement.",
			statementBuckets, "kind"),
		databaseErrors: counter("database_errors_total", "Failed database statements and transactions, by kind of error. A failed statement in a transaction counts twice.", "error"),

		mailAttempts: counter("mail_attempts_total", "Attempts to send an email, by kind of email and outcome.", "kind", "outcome"),
		events:       counter("log_events_total", "Log events of level info and above, by name.", "event"),
	}
	m.registry.MustRegister(
		m.requests, m.requestSeconds, m.inFlight, m.limited, m.statementSeconds, m.transactionSeconds, m.databaseErrors, m.mailAttempts, m.events,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	for _, kind := range mail.Kinds() { // start at zero, so that Prometheus sees the first one as an increase
		for _, outcome := range []string{mail.OutcomeSent, mail.OutcomeRetried, mail.OutcomeRequeued, mail.OutcomeDead} {
			m.mailAttempts.WithLabelValues(kind, outcome)
		}
	}
	for _, kind := range []string{unavailable, conflict, failed} {
		m.databaseErrors.WithLabelValues(kind)
	}
	return m
}

// Sources has what is read at each scrape.
type Sources struct {
	Store  *db.Store
	Keys   *token.Keys
	TOTP   *totp.Resealer
	Mail   *mail.Worker
	Hasher *password.Hasher
	Ready  func() bool // reports whether the service can handle requests
	Now    func() time.Time

	Version, Revision string
}

// Observe adds the metrics that are read from s at each scrape. Call it once.
func (m *Metrics) Observe(s Sources) { m.registry.MustRegister(newReader(s)) }

// Handler returns a handler that serves the metrics in the Prometheus text format.
func (m *Metrics) Handler(log *slog.Logger) http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{
		ErrorLog:            slog.NewLogLogger(log.Handler(), slog.LevelError),
		ErrorHandling:       promhttp.ContinueOnError,
		MaxRequestsInFlight: 4,
	})
}
