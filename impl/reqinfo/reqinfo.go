// Package reqinfo carries information about an HTTP request in its context: from the HTTP layer to the operations, and back to the log line
// of the request.
package reqinfo

import (
	"context"
	"errors"
	"net/netip"
)

// Info describes one request. Only one goroutine at a time may use it.
type Info struct {
	// RequestID is the header request-id, the parameter rid of a mailed link, or a generated ID.
	RequestID string
	// Addr is the client IP: the TCP peer, or the address that a trusted proxy forwards.
	Addr netip.Addr
	// Accept and AcceptLanguage are the headers of those names, for the operations whose responses people read.
	Accept, AcceptLanguage string

	// TraceParent is the header traceparent (W3C Trace Context), unchecked.
	TraceParent string

	// Rejected has the names of the parameters because of which the request is rejected with 400, as in openapi.yaml, for the log.
	Rejected []string

	// AccountID and SessionID are set when they become known, for the log.
	AccountID, SessionID string
}

// ErrUnauthorized is returned when an authentic access token is no longer valid: its session has ended. The response is 401.
var ErrUnauthorized = errors.New("the session of the access token has ended")

// ErrNotRecent is returned when an operation requires that the user has recently authenticated in the session, and they have not. The response
// is 403 RECENT_AUTHENTICATION_REQUIRED.
var ErrNotRecent = errors.New("the user has not authenticated recently")

type contextKey struct{}

// NewContext returns a context that carries info.
func NewContext(ctx context.Context, info *Info) context.Context {
	return context.WithValue(ctx, contextKey{}, info)
}

// FromContext returns the Info of ctx, or an empty one; never nil.
func FromContext(ctx context.Context) *Info {
	if info, ok := ctx.Value(contextKey{}).(*Info); ok {
		return info
	}
	return &Info{}
}
