// Package caller carries what is known of the one who made a request, from the HTTP surface to the operations and
// back to the line that logs the request.
package caller

import (
	"context"
	"errors"
	"net/netip"
)

// Caller belongs to one request and is used by one goroutine at a time.
type Caller struct {
	// RequestID is the request's name: the header request-id, the parameter rid of a mailed link, or made up by us.
	RequestID string
	// Addr is the source address: the TCP peer, or what a trusted proxy vouches for.
	Addr netip.Addr
	// Accept and AcceptLanguage are those headers, for the operations that answer people.
	Accept, AcceptLanguage string

	// TraceParent is that header (W3C Trace Context), as it came.
	TraceParent string

	// AccountID and SessionID are filled in by whoever learns them, for the log.
	AccountID, SessionID string
}

// ErrUnauthorized says that the caller's access token, though genuine, speaks for nobody any more: 401.
var ErrUnauthorized = errors.New("the session of the access token has ended")

type contextKey struct{}

// NewContext returns a context that carries c.
func NewContext(ctx context.Context, c *Caller) context.Context {
	return context.WithValue(ctx, contextKey{}, c)
}

// FromContext returns the request's caller, never nil: an empty one where there is none.
func FromContext(ctx context.Context) *Caller {
	if c, ok := ctx.Value(contextKey{}).(*Caller); ok {
		return c
	}
	return &Caller{}
}
