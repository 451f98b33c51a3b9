package server

import (
	"context"
	"errors"
	"net/http"
	"reflect"
	"slices"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/financelime/authorization/impl/recovery"
)

// httpError is an error of this package with the status of its response. The reason and the cause are only for the log.
type httpError struct {
	status int
	reason string
	cause  error
}

func (e *httpError) Error() string {
	if e.cause == nil {
		return http.StatusText(e.status)
	}
	return e.cause.Error()
}

func (e *httpError) Unwrap() error { return e.cause }

// unavailable is a temporary error (503), for example a lost database or a full queue. The client may repeat the request.
type unavailable interface {
	error
	RetryAfter() time.Duration
}

// limited is a rate-limit error (429).
type limited interface {
	unavailable
	LimitName() string
	Quota() int64
	Window() time.Duration
}

// classify returns the status for an error, and for 429 and 503 the time after which the client may repeat the request. The first case
// that matches decides.
func classify(err error) (status int, retryAfter time.Duration) {
	var (
		own       *httpError
		limit     limited
		temporary unavailable
		echoError *echo.HTTPError
	)
	switch {
	case errors.As(err, &own):
		return own.status, 0
	case errors.As(err, &limit):
		return http.StatusTooManyRequests, max(limit.RetryAfter(), time.Second)
	case errors.As(err, &temporary):
		return http.StatusServiceUnavailable, max(temporary.RetryAfter(), time.Second)
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return http.StatusServiceUnavailable, time.Second
	case errors.As(err, &echoError) && echoError.Code < http.StatusInternalServerError:
		return echoError.Code, 0
	default:
		return http.StatusInternalServerError, 0
	}
}

// onlyCancelled reports whether an error has no other cause than a cancelled context, or something that was unavailable because of it.
// Of joined errors, all must have no other cause: one can be a defect, and the other the rollback that failed after it. A panic always is another cause.
func onlyCancelled(err error) bool {
	if recovery.IsPanic(err) {
		return false
	}
	if _, is := err.(unavailable); is { //nolint:errorlint // wrapped errors are checked below
		return true
	}
	if multi, ok := err.(interface{ Unwrap() []error }); ok {
		parts := multi.Unwrap()
		if reflect.TypeOf(err) == joined {
			return !slices.ContainsFunc(parts, func(part error) bool { return !onlyCancelled(part) })
		}
		return slices.ContainsFunc(parts, onlyCancelled) // one error with a detail: fmt.Errorf("%w: %w", ErrNotCompared, ctx.Err())
	}
	if inner := errors.Unwrap(err); inner != nil {
		return onlyCancelled(inner)
	}
	return errors.Is(err, context.Canceled)
}

// joined is the type of the errors that errors.Join returns.
var joined = reflect.TypeOf(errors.Join(context.Canceled)) //nolint:gochecknoglobals // a constant
