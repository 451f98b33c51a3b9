// Package server is the HTTP layer of the service. It validates requests against openapi.yaml, calls the implementation of the
// operation, and turns errors into responses.
//
// A request takes this way:
//
//  1. net/http reads it. It rejects malformed and ambiguous HTTP itself.
//  2. Echo finds the route.
//  3. The middleware assigns the request ID, the client IP and the deadline, and sets the response headers. After the response
//     it logs the request. It also turns a panic into an error.
//  4. The validator of the operation rejects what openapi.yaml does not allow, in the documented order: size, request-id, access
//     token, parameters, body.
//  5. The generated code of package api decodes the validated request and calls the implementation.
//  6. An error of any step from 2 on goes to the error handler, the only place that maps errors to statuses and writes failures.
package server

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/labstack/echo/v4"

	"github.com/financelime/authorization"
	"github.com/financelime/authorization/api"
	"github.com/financelime/authorization/impl/page"
	"github.com/financelime/authorization/impl/reqinfo"
)

// Config has the settings of the HTTP layer and the functions that it calls.
type Config struct {
	// ServiceName is the service's name on the pages for people. If it is empty, they do not name the service.
	ServiceName string
	// AppURL is where the page about a link that no longer works leads. If it is empty, the page leads nowhere.
	AppURL string
	// Authenticate verifies an access token and returns a context with its account and session. An error gives 401, unless it has a
	// RetryAfter method: then it gives 503.
	Authenticate func(ctx context.Context, token string) (context.Context, error)
	// CORSOrigins are the origins whose pages may call the service, exactly as browsers send them. The default is none.
	CORSOrigins []string
	// CORSAllows reports whether the pages of another origin may call the service too. It may be nil.
	CORSAllows func(origin string) bool
	// HTTPS is set if clients reach the service only by HTTPS. Responses then have the header Strict-Transport-Security.
	HTTPS bool
	// TrustedProxies are the networks of the proxies whose X-Forwarded-For is used. The default is none.
	TrustedProxies []netip.Prefix
	// Timeout limits the time for one request. The default is 10 seconds.
	Timeout time.Duration
	Log     *slog.Logger
	// Watch is called before a request is handled. It returns the context of the request and a function that is called with the status of
	// the response. It may be nil.
	Watch func(context.Context, reqinfo.Request) (context.Context, func(status int))
	// Limited is called with the name of the limit when a limit rejects a request. It may be nil.
	Limited func(limit string)
}

// New returns the service's public HTTP handler. It fails if openapi.yaml and the generated code do not match.
func New(cfg Config, implementation api.StrictServerInterface) (http.Handler, error) {
	if cfg.Timeout == 0 {
		cfg.Timeout = 10 * time.Second
	}
	doc, err := openapi3.NewLoader().LoadFromData(authorization.Spec())
	if err != nil {
		return nil, fmt.Errorf("read openapi.yaml: %w", err)
	}
	operations, err := readOperations(doc)
	if err != nil {
		return nil, fmt.Errorf("read openapi.yaml: %w", err)
	}

	e := echo.New()
	failures := &errorHandler{log: cfg.Log, limited: cfg.Limited, pages: page.NewRenderer(cfg.ServiceName, cfg.AppURL)}
	m := &middleware{
		operations: operations, clientIP: clientIP(cfg.TrustedProxies), https: cfg.HTTPS, cors: newCORS(cfg.CORSOrigins, cfg.CORSAllows, doc),
		failures: failures, log: cfg.Log, timeout: cfg.Timeout, watch: cfg.Watch,
	}
	e.HTTPErrorHandler = failures.handle
	e.Use(m.wrap)

	validators := make(map[string][]echo.MiddlewareFunc, len(operations))
	for _, op := range operations {
		v := &validator{operation: op, authenticate: cfg.Authenticate}
		validators[op.id] = []echo.MiddlewareFunc{v.wrap}
	}
	api.RegisterHandlersWithOptions(e, api.NewStrictHandler(implementation, nil), api.RegisterHandlersOptions{OperationMiddlewares: validators})
	if err := checkRoutes(e.Routes(), operations); err != nil {
		return nil, err
	}
	rejectOtherMethods(e, doc, m.cors)
	return e, nil
}

// checkRoutes returns an error unless the generated code has exactly the operations of openapi.yaml.
func checkRoutes(routes []*echo.Route, operations map[routeKey]*operation) error {
	if len(routes) != len(operations) {
		return fmt.Errorf("openapi.yaml has %d operations, the generated code has %d: run make generate", len(operations), len(routes))
	}
	for _, r := range routes {
		if operations[routeKey{r.Method, r.Path}] == nil {
			return fmt.Errorf("the generated code has %s %s, openapi.yaml does not: run make generate", r.Method, r.Path)
		}
	}
	return nil
}
