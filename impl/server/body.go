package server

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/labstack/echo/v4"
)

var errTooLarge = errors.New("the body is too large")

// readBody reads the whole body from the connection, also if the operation has no body.
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

// checkBody validates a body against the schema of the operation and makes it the body of the request.
func checkBody(input *openapi3filter.RequestValidationInput, spec *openapi3.RequestBody, body []byte) error {
	r := input.Request
	if encoding := list(r.Header, echo.HeaderContentEncoding); encoding != "" && !strings.EqualFold(encoding, "identity") {
		return &parameterError{[]string{"content-encoding"}, errors.New("the body is compressed")}
	}
	switch {
	case hasMediaType(r.Header, echo.MIMEApplicationJSON):
	case spec.Content[echo.MIMEApplicationForm] != nil && hasMediaType(r.Header, echo.MIMEApplicationForm):
		var err error
		if body, err = formToJSON(body); err != nil {
			return &parameterError{[]string{rejectedBody}, err}
		}
	default:
		return &parameterError{[]string{"content-type"}, errors.New("the body is not of a documented media type in UTF-8")}
	}
	if err := strictJSON(body); err != nil {
		return &parameterError{[]string{rejectedBody}, err}
	}
	// The generated code decodes exactly what is validated here.
	r.Body = io.NopCloser(bytes.NewReader(body))
	r.ContentLength = int64(len(body))
	r.Header.Set(echo.HeaderContentType, echo.MIMEApplicationJSON) // kin-openapi compares media types case-sensitively
	if err := openapi3filter.ValidateRequestBody(r.Context(), input, spec); err != nil {
		return schemaError(err)
	}
	return nil
}

// hasMediaType reports whether there is exactly one Content-Type and it is that media type in UTF-8.
func hasMediaType(h http.Header, want string) bool {
	values := h.Values(echo.HeaderContentType)
	if len(values) != 1 {
		return false
	}
	mediaType, params, err := mime.ParseMediaType(values[0])
	if err != nil || mediaType != want {
		return false
	}
	charset, found := params["charset"]
	return !found || strings.EqualFold(charset, "utf-8")
}
