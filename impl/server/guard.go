package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/labstack/echo/v4"

	"github.com/financelime/authorization/impl/reqinfo"
)

// What a request may be made of. What is longer than any request of the contract has no good reason.
const (
	maxBody    = 16 << 10 // bytes
	maxURL     = 4 << 10  // bytes
	maxHeaders = 50       // lines
)

// guard refuses what the contract does not allow for one operation.
type guard struct {
	operation    *operation
	authenticate func(ctx context.Context, token string) (context.Context, error)
}

// check goes through the reasons to refuse in the contract's order: size, request-id, access token, parameters, body.
func (g *guard) check(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		op := g.operation
		if err := fits(c.Request()); err != nil {
			return &refusal{status: op.malformed, cause: err}
		}
		body, err := readBody(c.Request())
		if err != nil {
			c.Response().Header().Set(echo.HeaderConnection, "close") // the rest of the body is no request
			return g.unread(err)
		}
		inPath, err := pathParams(c)
		if err != nil {
			return &refusal{status: op.malformed, cause: err}
		}
		input := &openapi3filter.RequestValidationInput{
			Request:    c.Request(),
			PathParams: inPath,
			Route:      op.route,
			Options:    &openapi3filter.Options{KeepValidatedValue: true, SkipSettingDefaults: true},
		}
		if err := g.parameters(input, op.headers); err != nil {
			return err
		}
		if op.secured {
			if err := g.token(c); err != nil {
				return err
			}
			input.Request = c.Request()
		}
		if err := g.parameters(input, op.others); err != nil {
			return err
		}
		if op.body != nil {
			if err := g.body(input, body); err != nil {
				return err
			}
		}
		return g.documented(c, next(c))
	}
}

// documented gives errors from behind the guard the operation's own status: the 400 of the generated code, which counts
// a parameter's values, and the 401 of an operation that looks further than at the token.
func (g *guard) documented(c echo.Context, err error) error {
	if errors.Is(err, reqinfo.ErrUnauthorized) {
		return unauthorized(c, invalidToken, "session_ended", err)
	}
	var bound *echo.HTTPError
	if errors.As(err, &bound) && bound.Code == http.StatusBadRequest {
		return &refusal{status: g.operation.malformed, cause: err}
	}
	return err
}

// fits tells whether a request's first line and headers are no longer than they need to be.
func fits(r *http.Request) error {
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

// unread is the refusal of a body that can not be read, or is too large.
func (g *guard) unread(err error) error {
	if errors.Is(err, errTooLarge) {
		return &refusal{status: http.StatusRequestEntityTooLarge, cause: err}
	}
	return &refusal{status: g.operation.malformed, cause: err}
}

var errTooLarge = errors.New("the body is too large")

// readBody takes the whole body off the connection, whether the operation wants one or not.
func readBody(r *http.Request) ([]byte, error) {
	if r.ContentLength > maxBody {
		return nil, errTooLarge
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	if err != nil {
		return nil, fmt.Errorf("read the body: %w", err)
	}
	if len(body) > maxBody {
		return nil, errTooLarge
	}
	return body, nil
}

// pathParams are the parameters of the path as they are meant: percent-decoded, once (RFC 3986 section 2.3). The generated code
// decodes them in the same way. Echo routes by the path as it came where that differs from Go's own spelling (URL.RawPath), so an
// encoded slash separates nothing.
func pathParams(c echo.Context) (map[string]string, error) {
	params := make(map[string]string, len(c.ParamNames()))
	for _, name := range c.ParamNames() {
		value := c.Param(name)
		if c.Request().URL.RawPath != "" {
			decoded, err := url.PathUnescape(value)
			if err != nil {
				return nil, fmt.Errorf("decode the path: %w", err)
			}
			value = decoded
		}
		params[name] = value
	}
	return params, nil
}

func (g *guard) parameters(input *openapi3filter.RequestValidationInput, parameters openapi3.Parameters) error {
	for _, p := range parameters {
		if err := openapi3filter.ValidateParameter(input.Request.Context(), input, p.Value); err != nil {
			return &refusal{status: g.operation.malformed, cause: err}
		}
	}
	return nil
}

// token checks the access token and puts whom it speaks for on the request's context.
func (g *guard) token(c echo.Context) error {
	raw, ok := accessToken(c.Request())
	if !ok {
		return unauthorized(c, noToken, "missing", errors.New("no access token"))
	}
	ctx, err := g.authenticate(c.Request().Context(), raw)
	if _, later := errors.AsType[unavailable](err); later {
		return err // it can not be told just now; a 401 would log the user out
	}
	if err != nil {
		reason := "invalid"
		if known, is := errors.AsType[reasoned](err); is {
			reason = known.Reason()
		}
		return unauthorized(c, invalidToken, reason, err)
	}
	c.SetRequest(c.Request().WithContext(ctx))
	return nil
}

// reasoned is an error that has a reason for the log, a code.
type reasoned interface {
	error
	Reason() string
}

// The challenges of RFC 6750 section 3: an error is told only where a token was presented, and no detail of it.
const (
	noToken      = "Bearer"
	invalidToken = `Bearer error="invalid_token"` //nolint:gosec // a word of the protocol, no token
)

func unauthorized(c echo.Context, challenge, reason string, cause error) error {
	c.Response().Header().Set(echo.HeaderWWWAuthenticate, challenge)
	return &refusal{status: http.StatusUnauthorized, reason: reason, cause: cause}
}

// accessToken takes the token from the one header authorization: "Bearer <token>" in any letter case, or the bare token.
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

func (g *guard) body(input *openapi3filter.RequestValidationInput, body []byte) error {
	r := input.Request
	if encoding := r.Header.Get(echo.HeaderContentEncoding); encoding != "" && !strings.EqualFold(encoding, "identity") {
		return &refusal{status: g.operation.malformed, cause: errors.New("the body is compressed")}
	}
	if !isJSON(r.Header) {
		return &refusal{status: g.operation.malformed, cause: errors.New("the body is not application/json in UTF-8")}
	}
	if err := strictJSON(body); err != nil {
		return &refusal{status: g.operation.malformed, cause: err}
	}
	// The generated code decodes what validation leaves here, exactly as it was validated.
	r.Body = io.NopCloser(bytes.NewReader(body))
	r.ContentLength = int64(len(body))
	r.Header.Set(echo.HeaderContentType, echo.MIMEApplicationJSON) // media types ignore letter case, kin-openapi does not
	if err := openapi3filter.ValidateRequestBody(r.Context(), input, g.operation.body); err != nil {
		return &refusal{status: g.operation.malformed, cause: err}
	}
	return nil
}

// isJSON tells whether the one header Content-Type says application/json in UTF-8.
func isJSON(h http.Header) bool {
	values := h.Values(echo.HeaderContentType)
	if len(values) != 1 {
		return false
	}
	mediaType, params, err := mime.ParseMediaType(values[0])
	if err != nil || mediaType != echo.MIMEApplicationJSON {
		return false
	}
	charset, given := params["charset"]
	return !given || strings.EqualFold(charset, "utf-8")
}
