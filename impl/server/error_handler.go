package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/financelime/authorization/api"
	"github.com/financelime/authorization/impl/event"
	"github.com/financelime/authorization/impl/page"
	"github.com/financelime/authorization/impl/recovery"
	"github.com/financelime/authorization/impl/reqinfo"
)

// errorHandler writes and logs the response to every error.
type errorHandler struct {
	log     *slog.Logger
	limited func(limit string) // may be nil
	pages   *page.Renderer
}

// handle is the error handler of Echo.
func (h *errorHandler) handle(err error, c echo.Context) {
	if c.Response().Committed { // the status is already sent; Echo may also call handle twice for one error
		name := event.RequestResponseLost
		if recovery.IsPanic(err) {
			name = event.RequestFailed
		}
		event.Record(c.Request().Context(), h.log, name, slog.Any("error", err))
		return
	}
	status, retryAfter := classify(err)
	if status >= http.StatusInternalServerError {
		h.logFailure(c, status, err)
	}
	if own, ok := errors.AsType[*httpError](err); ok && status == http.StatusUnauthorized {
		event.Record(c.Request().Context(), h.log, event.TokenRefused, event.Reason(own.reason))
	}
	if retryAfter > 0 {
		c.Response().Header().Set(echo.HeaderRetryAfter, seconds(retryAfter))
	}
	if limit, ok := errors.AsType[limited](err); ok {
		setRateLimit(c.Response().Header(), limit)
		if h.limited != nil {
			h.limited(limit.LimitName())
		}
		event.Record(c.Request().Context(), h.log, event.LimitExceeded, slog.String("limit", limit.LimitName()))
	}
	if names := rejected(err); len(names) > 0 {
		reqinfo.FromContext(c.Request().Context()).Rejected = names
	}
	if err := h.writeFailure(c, status, retryAfter); err != nil {
		event.Record(c.Request().Context(), h.log, event.RequestResponseLost, slog.Any("error", err))
	}
}

// logFailure logs a 5xx error. It does not log an error that was caused by a client that closed the connection.
func (h *errorHandler) logFailure(c echo.Context, status int, err error) {
	ctx := c.Request().Context()
	clientGone := errors.Is(ctx.Err(), context.Canceled)
	if clientGone && onlyCancelled(err) {
		return
	}
	name := event.RequestFailed
	if status == http.StatusServiceUnavailable && !clientGone {
		name = event.RequestUnavailable
	}
	event.Record(ctx, h.log, name, slog.Any("error", err))
}

// setRateLimit adds the headers of draft-ietf-httpapi-ratelimit-headers-10 for an exceeded limit.
func setRateLimit(h http.Header, l limited) {
	h.Set("Ratelimit-Policy", fmt.Sprintf("%q;q=%d;w=%s", l.LimitName(), l.Quota(), seconds(l.Window())))
	h.Set("Ratelimit", fmt.Sprintf("%q;r=0;t=%s", l.LimitName(), seconds(l.RetryAfter())))
}

// seconds rounds a duration up to whole seconds, at least one.
func seconds(d time.Duration) string {
	return strconv.FormatInt(max(1, int64(math.Ceil(d.Seconds()))), 10)
}

// writeFailure writes a failure in the form of the operation: a page, or JSON.
func (h *errorHandler) writeFailure(c echo.Context, status int, retryAfter time.Duration) error {
	req := reqinfo.FromContext(c.Request().Context())
	failure := page.Failure{Status: status, RequestID: req.RequestID, RetryAfter: retryAfter}
	switch status {
	case http.StatusBadRequest:
		failure.Message, failure.Parameters = string(api.CommonFailure400MessageBADPARAMETERS), req.Rejected
	case http.StatusForbidden:
		failure.Message = string(api.CommonFailure403MessageRECENTAUTHENTICATIONREQUIRED)
	}
	op := operationOf(c)
	if op == nil || !op.pages {
		return c.JSON(status, failure.JSON())
	}
	failure.OpensPage = op.opensPage
	return h.pages.Failure(page.Negotiate(req.Accept), req.AcceptLanguage, failure).Send(c.Response())
}
