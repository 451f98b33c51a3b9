// Package server puts the contract's HTTP surface before an implementation of it.
//
// A request passes three hands: observe (names it, logs it, catches panics), Echo's router, and guard (refuses
// what openapi.yaml does not allow: size, request-id, access token, parameters, body). Behind them the generated code calls
// the implementation. Whatever goes wrong on the way comes back as an error to fail, the one place that answers errors.
package server

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/labstack/echo/v4"

	"github.com/financelime/authorization"
	"github.com/financelime/authorization/api"
	"github.com/financelime/authorization/impl/reqinfo"
)

// Config is what the surface needs beside the contract and its implementation.
type Config struct {
	// Authenticate checks an access token and returns a context that carries who it speaks for.
	// An error means 401, whatever it says; one with a RetryAfter method means 503.
	Authenticate func(ctx context.Context, token string) (context.Context, error)
	// CORSOrigins are the origins whose pages may call the service, each exactly as a browser names it. None by default.
	CORSOrigins []string
	// HTTPS says that the service is reached by https alone, and browsers are told so.
	HTTPS bool
	// TrustedProxies are the networks whose X-Forwarded-For is believed. None by default.
	TrustedProxies []netip.Prefix
	// Timeout ends the work on one request; 10 seconds if zero.
	Timeout time.Duration
	Log     *slog.Logger
	// Watch, if not nil, is told of every request before anything is done about it, and what it returns is called with the
	// status that was answered.
	Watch func(context.Context, reqinfo.Request) (context.Context, func(status int))
	// Limited, if not nil, is told of each limit that refused a request.
	Limited func(limit string)
}

// New returns the service's public HTTP handler. It fails when openapi.yaml and the generated code do not fit together.
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
	f := &failer{log: cfg.Log, limited: cfg.Limited}
	o := &observer{
		byRoute: operations, remoteAddr: remoteAddr(cfg.TrustedProxies), https: cfg.HTTPS, cors: newCORS(cfg.CORSOrigins, doc),
		fail: f, log: cfg.Log, timeout: cfg.Timeout, watch: cfg.Watch,
	}
	e.HTTPErrorHandler = f.fail
	e.Use(o.observe)

	guards := make(map[string][]echo.MiddlewareFunc, len(operations))
	for _, op := range operations {
		g := &guard{operation: op, authenticate: cfg.Authenticate}
		guards[op.id] = []echo.MiddlewareFunc{g.check}
	}
	api.RegisterHandlersWithOptions(e, api.NewStrictHandler(implementation, nil), api.RegisterHandlersOptions{OperationMiddlewares: guards})
	if err := sameRoutes(e.Routes(), operations); err != nil {
		return nil, err
	}
	refuseOtherMethods(e, doc, o.cors)
	return e, nil
}

// sameRoutes checks that the generated code was generated from this openapi.yaml.
func sameRoutes(routes []*echo.Route, operations map[routeKey]*operation) error {
	if len(routes) != len(operations) {
		return fmt.Errorf("openapi.yaml has %d operations, the generated code has %d: run make generate", len(operations), len(routes))
	}
	for _, r := range routes {
		if operations[routeKey{r.Method, r.Path}] == nil {
			return fmt.Errorf("the generated code has %s %s, openapi.yaml has not: run make generate", r.Method, r.Path)
		}
	}
	return nil
}

// methods are all that RFC 9110 and RFC 5789 name.
func methods() []string {
	return []string{
		http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch,
		http.MethodDelete, http.MethodOptions, http.MethodTrace, http.MethodConnect,
	}
}

// refuseOtherMethods answers 405 on every path of the contract for every method that it does not give the path.
// Left to itself, Echo would answer OPTIONS, and take DELETE /v1/session/list for a session with the id "list".
func refuseOtherMethods(e *echo.Echo, doc *openapi3.T, cors cors) {
	for path, item := range doc.Paths.Map() {
		var allowed []string
		for method := range item.Operations() {
			allowed = append(allowed, method)
		}
		slices.Sort(allowed)
		allow := strings.Join(allowed, ", ")
		refuse := func(c echo.Context) error {
			if cors.preflight(c, allowed) {
				return c.NoContent(http.StatusNoContent)
			}
			c.Response().Header().Set(echo.HeaderAllow, allow)
			return &refusal{status: http.StatusMethodNotAllowed}
		}
		for _, method := range methods() {
			if !slices.Contains(allowed, method) {
				e.Add(method, echoPath(path), refuse)
			}
		}
	}
}
