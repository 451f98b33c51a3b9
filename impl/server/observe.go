package server

import (
	"context"
	"log/slog"
	"net/http"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/labstack/echo/v4"

	"github.com/financelime/authorization/impl/recovery"
	"github.com/financelime/authorization/impl/reqinfo"
)

const requestIDHeader = "request-id"

// observer sees every request first and last.
type observer struct {
	byRoute    map[routeKey]*operation
	remoteAddr func(*http.Request) netip.Addr
	https      bool
	cors       cors
	fail       *failer
	log        *slog.Logger
	timeout    time.Duration
	watch      func(context.Context, reqinfo.Request) (context.Context, func(status int))
}

// observe names the request, answers panics and errors, and writes the one line that the log has of it.
func (o *observer) observe(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		start := time.Now()
		op := o.byRoute[routeKey{c.Request().Method, c.Path()}]
		if op == nil {
			op = o.sibling(c.Path())
		}
		next := next
		if manySegments(c) {
			next = echo.NotFoundHandler
			if op != nil && !op.pages { // a link that a mail program has lengthened still gets a page
				op = nil
			}
		}
		c.Set(operationKey, op)

		r := c.Request()
		req := &reqinfo.Info{
			RequestID:      requestID(r, op),
			Addr:           o.remoteAddr(r),
			Accept:         r.Header.Get(echo.HeaderAccept),
			AcceptLanguage: r.Header.Get("Accept-Language"),
			TraceParent:    r.Header.Get("traceparent"),
		}
		ctx, cancel := context.WithTimeout(reqinfo.NewContext(r.Context(), req), o.timeout)
		defer cancel()
		if o.watch != nil {
			var end func(int)
			ctx, end = o.watch(ctx, told(op))
			defer func() { end(c.Response().Status) }()
		}
		c.SetRequest(r.WithContext(ctx))
		setHeaders(c.Response().Header(), req.RequestID, o.https)
		o.cors.setHeaders(c.Response().Header(), r)
		if len(r.TransferEncoding) > 0 {
			// net/http lets a Content-Length stand beside it. Whoever went by that takes what follows for another request: there
			// is none on this connection (RFC 9112 section 6.3).
			c.Response().Header().Set(echo.HeaderConnection, "close")
		}

		err := withoutPanic(next, c)
		late := err != nil && c.Response().Committed
		if err != nil {
			o.fail.fail(err, c)
		}
		o.logRequest(c, op, req, time.Since(start))
		if late {
			panic(http.ErrAbortHandler) // hang up: net/http would end half an answer as if it was whole
		}
		return nil
	}
}

// told is what a watch may know of a request to an operation, or to none.
func told(op *operation) reqinfo.Request {
	if op == nil {
		return reqinfo.Request{}
	}
	return reqinfo.Request{Operation: op.id, Route: op.route.Path, Method: op.route.Method}
}

// manySegments tells whether a parameter of the path has taken more than its one segment: Echo gives the last one all that is left,
// so /v1/session/list/ would be a session, and not a path that the contract does not have.
func manySegments(c echo.Context) bool {
	return slices.ContainsFunc(c.ParamValues(), func(value string) bool { return strings.Contains(value, "/") })
}

// sibling is some operation on the same path: a request with the wrong method is answered in the form of the right one.
func (o *observer) sibling(path string) *operation {
	for key, op := range o.byRoute {
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

// setHeaders sets what every answer carries. Operations may overwrite it.
func setHeaders(h http.Header, requestID string, https bool) {
	h.Set(requestIDHeader, requestID)
	h.Set(echo.HeaderCacheControl, "no-store")
	h.Set(echo.HeaderXContentTypeOptions, "nosniff")
	h.Set(echo.HeaderReferrerPolicy, "no-referrer")
	h.Set(echo.HeaderContentSecurityPolicy, "default-src 'none'; frame-ancestors 'none'")
	if https {
		h.Set(echo.HeaderStrictTransportSecurity, "max-age=63072000") // two years; ASVS 3.4.1 wants one
	}
}

// logRequest writes no path: a path may hold the key of a mailed link.
func (o *observer) logRequest(c echo.Context, op *operation, req *reqinfo.Info, took time.Duration) {
	attrs := []slog.Attr{
		slog.String("request_id", req.RequestID),
		slog.String("method", knownMethod(c.Request().Method)),
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
	o.log.LogAttrs(c.Request().Context(), slog.LevelInfo, "request", attrs...)
}

// knownMethod bounds what a caller can write into the log.
func knownMethod(method string) string {
	if slices.Contains(methods(), method) {
		return method
	}
	return "other"
}

const operationKey = "operation"

func operationOf(c echo.Context) *operation {
	op, _ := c.Get(operationKey).(*operation)
	return op
}

// requestIDs is the form of a request's name, as in openapi.yaml.
var requestIDs = regexp.MustCompile(`^[A-Za-z0-9._:/+=@-]{8,128}$`)

// requestID is the name that the caller gave the request, or one that we make up where that is missing or malformed.
// Whether a missing one is refused, guard decides.
func requestID(r *http.Request, op *operation) string {
	given := r.Header.Values(requestIDHeader)
	if op != nil && op.ridInQuery {
		given = r.URL.Query()["rid"]
	}
	if len(given) == 1 && requestIDs.MatchString(given[0]) {
		return given[0]
	}
	return uuid.NewString()
}
