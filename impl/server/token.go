package server

import (
	"errors"
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"
)

// checkToken verifies the access token of a request and adds its account and session to the request's context.
func (v *validator) checkToken(c echo.Context) error {
	raw, ok := accessToken(c.Request())
	if !ok {
		return unauthorized(c, noToken, "missing", errors.New("no access token"))
	}
	ctx, err := v.authenticate(c.Request().Context(), raw)
	if _, is := errors.AsType[unavailable](err); is {
		return err // the token could not be verified: 503, because a 401 would log the user out
	}
	if err != nil {
		reason := "invalid"
		if with, is := errors.AsType[reasoned](err); is {
			reason = with.Reason()
		}
		return unauthorized(c, invalidToken, reason, err)
	}
	c.SetRequest(c.Request().WithContext(ctx))
	return nil
}

// reasoned is an error with a reason for the log.
type reasoned interface {
	error
	Reason() string
}

// The challenges of RFC 6750 section 3 and RFC 9470 section 3. A request without a token gets no error code, and no error has details.
const (
	noToken      = "Bearer"
	invalidToken = `Bearer error="invalid_token"`                                 //nolint:gosec // a word of the protocol, not a token
	notRecent    = `Bearer error="insufficient_user_authentication", max_age=600` // impl.recentAuthentication
)

func unauthorized(c echo.Context, challenge, reason string, cause error) error {
	c.Response().Header().Set(echo.HeaderWWWAuthenticate, challenge)
	return &httpError{status: http.StatusUnauthorized, reason: reason, cause: cause}
}

// accessToken returns the token of the only authorization header: "Bearer <token>" with the scheme in any letter case, or a token alone.
func accessToken(r *http.Request) (string, bool) {
	values := r.Header.Values(echo.HeaderAuthorization)
	if len(values) != 1 || values[0] == "" {
		return "", false
	}
	scheme, token, found := strings.Cut(values[0], " ")
	if !found {
		return scheme, true
	}
	return token, strings.EqualFold(scheme, "Bearer")
}
