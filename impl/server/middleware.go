package server

import (
	"context"
	"log/slog"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/financelime/authorization/impl/recovery"
	"github.com/financelime/authorization/impl/reqinfo"
)

// middleware runs around every request, also around those that have no operation.
type middleware struct {
	operations map[routeKey]*operation
	clientIP   func(*http.Request) netip.Addr
	https      bool
	cors       cors
	failures   *errorHandler
	log        *slog.Logger
	timeout    time.Duration
	watch      func(context.Context, reqinfo.Request) (context.Context, func(status int)) // may be nil
}

// wrap puts the reqinfo.Info and the deadline of the request on its context, sets the response headers, calls next, writes the response
// to an error or a panic, and logs the request.
func (m *middleware) wrap(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		start := time.Now()
		op := m.operations[routeKey{c.Request().Method, c.Path()}]
		if op == nil {
			op = m.otherMethod(c.Path())
		}
		next := next
		if hasExtraSegments(c) {
			next = echo.NotFoundHandler
			if op != nil && !op.pages { // a link that a mail program has lengthened still gets a page
				op = nil
			}
		}
		c.Set(operationKey, op)

		r := c.Request()
		req := &reqinfo.Info{
			RequestID:      requestID(r, op),
			Addr:           m.clientIP(r),
			Accept:         list(r.Header, echo.HeaderAccept),
			AcceptLanguage: list(r.Header, "Accept-Language"),
			TraceParent:    r.Header.Get("traceparent"),
		}
		ctx, cancel := context.WithTimeout(reqinfo.NewContext(r.Context(), req), m.timeout)
		defer cancel()
		if m.watch != nil {
			var end func(int)
			ctx, end = m.watch(ctx, requestInfo(op))
			defer func() { end(c.Response().Status) }()
		}
		c.SetRequest(r.WithContext(ctx))
		setHeaders(c.Response().Header(), req.RequestID, m.https)
		m.cors.setHeaders(c.Response().Header(), r)
		if len(r.TransferEncoding) > 0 {
			// net/http accepts a Content-Length beside Transfer-Encoding and ignores it. A proxy that used it would take the bytes after
			// the body for another request, so this connection must not have another one (RFC 9112 section 6.3).
			c.Response().Header().Set(echo.HeaderConnection, "close")
		}

		err := withoutPanic(next, c)
		incomplete := err != nil && c.Response().Committed
		if err != nil {
			m.failures.handle(err, c)
		}
		m.logRequest(c, op, req, time.Since(start))
		if incomplete {
			panic(http.ErrAbortHandler) // closes the connection: net/http would end the incomplete response as a complete one
		}
		return nil
	}
}

// list returns a header that is a list. Several lines of it are one list (RFC 9110 section 5.3).
func list(h http.Header, name string) string { return strings.Join(h.Values(name), ", ") }

// requestInfo converts an operation, or nil, to the Request given to hooks.
func requestInfo(op *operation) reqinfo.Request {
	if op == nil {
		return reqinfo.Request{}
	}
	return reqinfo.Request{Operation: op.id, Route: op.route.Path, Method: op.route.Method}
}

// hasExtraSegments reports whether a path parameter has more than one segment. Echo gives the rest of the path to the last parameter:
// it would route /v1/session/list/, a path that openapi.yaml does not have, to the session "list/".
func hasExtraSegments(c echo.Context) bool {
	return slices.ContainsFunc(c.ParamValues(), func(value string) bool { return strings.Contains(value, "/") })
}

// otherMethod returns an operation with the path and another method, or nil. The response to a wrong method has the form of that operation.
func (m *middleware) otherMethod(path string) *operation {
	for key, op := range m.operations {
		if key.path == path {
			return op
		}
	}
	return nil
}

// withoutPanic calls next and returns a panic as an error.
func withoutPanic(next echo.HandlerFunc, c echo.Context) (err error) {
	defer recovery.ToError(&err)
	return next(c)
}

// logRequest logs a request. It does not log the path, which can contain the key of a mailed link.
func (m *middleware) logRequest(c echo.Context, op *operation, req *reqinfo.Info, took time.Duration) {
	attrs := []slog.Attr{
		slog.String("request_id", req.RequestID),
		slog.String("method", loggableMethod(c.Request().Method)),
		slog.Int("status", c.Response().Status),
		slog.Float64("duration_ms", float64(took.Microseconds())/1000),
		slog.String("remote_addr", req.Addr.String()),
	}
	if op != nil {
		attrs = append(attrs, slog.String("operation", op.id))
	}
	if req.AccountID != "" {
		attrs = append(attrs, slog.String("account_id", req.AccountID))
	}
	if req.SessionID != "" {
		attrs = append(attrs, slog.String("session_id", req.SessionID))
	}
	if len(req.Rejected) > 0 {
		attrs = append(attrs, slog.Any("parameters", req.Rejected))
	}
	m.log.LogAttrs(c.Request().Context(), slog.LevelInfo, "request", attrs...)
}

const operationKey = "operation"

// operationOf returns the operation that the middleware found for a request, or nil.
func operationOf(c echo.Context) *operation {
	op, _ := c.Get(operationKey).(*operation)
	return op
}
