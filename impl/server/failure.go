package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/financelime/authorization/api"
	"github.com/financelime/authorization/impl/event"
	"github.com/financelime/authorization/impl/page"
	"github.com/financelime/authorization/impl/recovery"
	"github.com/financelime/authorization/impl/reqinfo"
)

// refusal is a request that the surface itself turns away. The reason, a code, and the cause are for the log, never for the caller.
type refusal struct {
	status int
	reason string
	cause  error
}

func (r *refusal) Error() string {
	if r.cause == nil {
		return http.StatusText(r.status)
	}
	return r.cause.Error()
}

func (r *refusal) Unwrap() error { return r.cause }

// unavailable is an error after which the same request may be tried again: a database that is away, a full queue.
type unavailable interface {
	error
	RetryAfter() time.Duration
}

// limited is an error after which the same request may be tried again, and which somebody has brought on himself.
type limited interface {
	unavailable
	LimitName() string
	Quota() int64
	Window() time.Duration
}

// failer answers every error that comes out of a request.
type failer struct {
	log     *slog.Logger
	limited func(limit string) // may be nil
}

// fail is Echo's error handler.
func (f *failer) fail(err error, c echo.Context) {
	if c.Response().Committed { // the status is out; Echo may call here again for the same error
		name := event.RequestAnswerLost
		if recovery.IsPanic(err) {
			name = event.RequestFailed
		}
		event.Record(c.Request().Context(), f.log, name, slog.Any("error", err))
		return
	}
	status, retryAfter := f.classify(err)
	if status >= http.StatusInternalServerError {
		f.logFailure(c, status, err)
	}
	if refused, ok := errors.AsType[*refusal](err); ok && status == http.StatusUnauthorized {
		event.Record(c.Request().Context(), f.log, event.TokenRefused, event.Reason(refused.reason))
	}
	if retryAfter > 0 {
		c.Response().Header().Set(echo.HeaderRetryAfter, seconds(retryAfter))
	}
	if exceeded, ok := errors.AsType[limited](err); ok {
		setRateLimit(c.Response().Header(), exceeded)
		if f.limited != nil {
			f.limited(exceeded.LimitName())
		}
		event.Record(c.Request().Context(), f.log, event.LimitExceeded, slog.String("limit", exceeded.LimitName()))
	}
	if err := answer(c, status, retryAfter); err != nil {
		event.Record(c.Request().Context(), f.log, event.RequestAnswerLost, slog.Any("error", err))
	}
}

// setRateLimit tells which limit was exceeded, as draft-ietf-httpapi-ratelimit-headers-10 has it.
func setRateLimit(h http.Header, l limited) {
	h.Set("Ratelimit-Policy", fmt.Sprintf("%q;q=%d;w=%s", l.LimitName(), l.Quota(), seconds(l.Window())))
	h.Set("Ratelimit", fmt.Sprintf("%q;r=0;t=%s", l.LimitName(), seconds(l.RetryAfter())))
}

// seconds rounds up to whole seconds, one at the least.
func seconds(d time.Duration) string {
	return strconv.FormatInt(max(1, int64(math.Ceil(d.Seconds()))), 10)
}

// answer writes a failure in the operation's form: a page for people, or JSON.
func answer(c echo.Context, status int, retryAfter time.Duration) error {
	if op := operationOf(c); op == nil || !op.pages {
		return c.JSON(status, jsonFailure(status))
	}
	req := reqinfo.FromContext(c.Request().Context())
	format, language := page.Negotiate(req.Accept), page.Language(req.AcceptLanguage)
	if status == http.StatusTooManyRequests {
		return page.TooManyRequests(format, language, retryAfter).Send(c.Response())
	}
	return page.Failure(format, language, status).Send(c.Response())
}

// classify is the whole table from errors to statuses; the first row that fits decides.
func (f *failer) classify(err error) (status int, retryAfter time.Duration) {
	var (
		refused  *refusal
		exceeded limited
		later    unavailable
		routed   *echo.HTTPError
	)
	switch {
	case errors.As(err, &refused):
		return refused.status, 0
	case errors.As(err, &exceeded):
		return http.StatusTooManyRequests, max(exceeded.RetryAfter(), time.Second)
	case errors.As(err, &later):
		return http.StatusServiceUnavailable, max(later.RetryAfter(), time.Second)
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return http.StatusServiceUnavailable, time.Second
	case errors.As(err, &routed) && routed.Code < http.StatusInternalServerError:
		return routed.Code, 0
	default:
		return http.StatusInternalServerError, 0
	}
}

func (f *failer) logFailure(c echo.Context, status int, err error) {
	ctx := c.Request().Context()
	left := errors.Is(ctx.Err(), context.Canceled) // the caller: nobody waits for this answer
	if left && onlyCancelled(err) {
		return
	}
	name := event.RequestFailed
	if status == http.StatusServiceUnavailable && !left {
		name = event.RequestUnavailable
	}
	event.Record(ctx, f.log, name, slog.Any("error", err))
}

// onlyCancelled reports whether an error says no more than that a context was cancelled, or that something was away then. Of joined
// errors each must say so: one may be a defect, and the other the roll-back that failed after it. A panic is always more.
func onlyCancelled(err error) bool {
	if recovery.IsPanic(err) {
		return false
	}
	if _, away := err.(unavailable); away { //nolint:errorlint // what is inside is looked at below
		return true
	}
	if several, ok := err.(interface{ Unwrap() []error }); ok {
		parts := several.Unwrap()
		if reflect.TypeOf(err) == joined {
			return !slices.ContainsFunc(parts, func(part error) bool { return !onlyCancelled(part) })
		}
		return slices.ContainsFunc(parts, onlyCancelled) // one sentence: fmt.Errorf("%w: %w", ErrNotCompared, ctx.Err())
	}
	if inner := errors.Unwrap(err); inner != nil {
		return onlyCancelled(inner)
	}
	return errors.Is(err, context.Canceled)
}

// joined is the type of what errors.Join returns.
var joined = reflect.TypeOf(errors.Join(context.Canceled)) //nolint:gochecknoglobals // nobody writes to it

// jsonFailure is a failure's body: the one code of a bad request, or the status in words.
func jsonFailure(status int) api.CommonFailure {
	if status == http.StatusBadRequest {
		return api.CommonFailure{Code: http.StatusBadRequest, Message: string(api.CommonFailure400MessageBADPARAMETERS)}
	}
	return api.CommonFailure{Code: int64(status), Message: fmt.Sprintf("%d %s", status, http.StatusText(status))}
}
