package server

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/labstack/echo/v4"

	"github.com/financelime/authorization/impl/reqinfo"
)

// Limits of a request. No valid request needs more.
const (
	maxBody    = 16 << 10 // bytes
	maxURL     = 4 << 10  // bytes
	maxHeaders = 50       // lines
)

// validator rejects the requests that openapi.yaml does not allow for one operation.
type validator struct {
	operation    *operation
	authenticate func(ctx context.Context, token string) (context.Context, error)
}

// wrap validates a request in the order that openapi.yaml documents (size, request-id, access token, parameters, body) and calls next.
func (v *validator) wrap(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		op := v.operation
		if err := checkSize(c.Request()); err != nil {
			return v.malformed(err)
		}
		body, err := readBody(c.Request())
		if err != nil {
			c.Response().Header().Set(echo.HeaderConnection, "close") // net/http must not read the rest of the body as a request
			if errors.Is(err, errTooLarge) {
				return &httpError{status: http.StatusRequestEntityTooLarge, cause: err}
			}
			return v.malformedBody(&parameterError{[]string{rejectedBody}, err})
		}
		pathParams, err := readPathParams(c)
		if err != nil {
			return v.malformed(err)
		}
		input := &openapi3filter.RequestValidationInput{
			Request:    c.Request(),
			PathParams: pathParams,
			Route:      op.route,
			Options:    &openapi3filter.Options{KeepValidatedValue: true, SkipSettingDefaults: true, MultiError: true},
		}
		if err := v.checkParameters(input, op.headers); err != nil {
			return err
		}
		if op.secured {
			if err := v.checkToken(c); err != nil {
				return err
			}
			input.Request = c.Request()
		}
		if err := v.checkParameters(input, op.others); err != nil {
			return err
		}
		if op.body != nil {
			if err := checkBody(input, op.body, body); err != nil {
				return v.malformedBody(err)
			}
		}
		return v.documented(c, next(c))
	}
}

// malformed returns the error for a malformed request: 400, or 404 if the operation does not document 400.
func (v *validator) malformed(cause error) error {
	return &httpError{status: v.operation.malformed, cause: cause}
}

// malformedBody returns the error for a malformed body: 400 if the operation has one, otherwise that of a malformed request.
func (v *validator) malformedBody(cause error) error {
	if v.operation.body != nil {
		return &httpError{status: http.StatusBadRequest, cause: cause}
	}
	return v.malformed(cause)
}

// documented maps downstream errors to the statuses that this operation documents: the 400 of the generated code, which rejects a
// parameter with more than one value and an integer that is written as 1e3 or 1.0, the 401 of an operation whose token is valid but
// whose session has ended, and the 403 of one that requires a recent authentication.
func (v *validator) documented(c echo.Context, err error) error {
	if errors.Is(err, reqinfo.ErrUnauthorized) {
		return unauthorized(c, invalidToken, "session_ended", err)
	}
	if errors.Is(err, reqinfo.ErrNotRecent) {
		c.Response().Header().Set(echo.HeaderWWWAuthenticate, notRecent)
		return &httpError{status: http.StatusForbidden, cause: err}
	}
	var bound *echo.HTTPError
	if errors.As(err, &bound) && bound.Code == http.StatusBadRequest {
		return v.malformed(&parameterError{rejectedByBinding(c, v.operation, err), err})
	}
	return err
}

// checkSize returns an error if the URL or the headers of a request exceed their limits.
func checkSize(r *http.Request) error {
	if len(r.RequestURI) > maxURL {
		return fmt.Errorf("the URL is longer than %d bytes", maxURL)
	}
	lines := 0
	for _, values := range r.Header {
		lines += len(values)
	}
	if lines > maxHeaders {
		return fmt.Errorf("there are more than %d headers", maxHeaders)
	}
	return nil
}

// readPathParams returns the path parameters, percent-decoded once (RFC 3986 section 2.3), as in the generated code. Where the encoded
// path differs from Go's default encoding (URL.RawPath is set), Echo routes by the encoded path, so an encoded slash separates no segments.
func readPathParams(c echo.Context) (map[string]string, error) {
	params := make(map[string]string, len(c.ParamNames()))
	for _, name := range c.ParamNames() {
		value := c.Param(name)
		if c.Request().URL.RawPath != "" {
			decoded, err := url.PathUnescape(value)
			if err != nil {
				return nil, &parameterError{[]string{name}, fmt.Errorf("decode the path: %w", err)}
			}
			value = decoded
		}
		params[name] = value
	}
	return params, nil
}

func (v *validator) checkParameters(input *openapi3filter.RequestValidationInput, parameters openapi3.Parameters) error {
	for _, p := range parameters {
		if err := openapi3filter.ValidateParameter(input.Request.Context(), input, p.Value); err != nil {
			return v.malformed(&parameterError{[]string{p.Value.Name}, err})
		}
	}
	return nil
}
