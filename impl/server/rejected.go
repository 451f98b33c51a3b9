package server

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/labstack/echo/v4"
)

// rejectedBody is the name of a body that is wrong as a whole, in the list of rejected parameters.
const rejectedBody = "body"

// maxRejected is the maximum of the list in openapi.yaml.
const maxRejected = 16

// parameterError is a malformed request whose rejected parameters are known. Their names are those of openapi.yaml, never the client's.
type parameterError struct {
	names []string
	cause error
}

func (e *parameterError) Error() string { return strings.Join(e.names, ", ") + ": " + e.cause.Error() }
func (e *parameterError) Unwrap() error { return e.cause }

// rejected returns the names of the rejected parameters of a malformed request, or nil if none is known.
func rejected(err error) []string {
	if known, ok := errors.AsType[*parameterError](err); ok {
		return known.names[:min(len(known.names), maxRejected)]
	}
	return nil
}

// schemaError names the properties of a body that its schema rejects: device.width for the property width of device. An unknown
// property is named after the object that has it.
func schemaError(err error) error {
	all, several := errors.AsType[openapi3.MultiError](err)
	if !several {
		all = openapi3.MultiError{err}
	}
	var names []string
	for _, each := range all {
		name := rejectedBody
		if found, ok := errors.AsType[*openapi3.SchemaError](each); ok && len(found.JSONPointer()) > 0 {
			name = strings.Join(found.JSONPointer(), ".")
		}
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return &parameterError{names: names, cause: err}
}

// rejectedByBinding returns the names of the parameters that the validator allowed and the generated code could not decode.
func rejectedByBinding(c echo.Context, op *operation, err error) []string {
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok && wrong.Field != "" {
		return []string{wrong.Field} // the path of the Go field, by its names in openapi.yaml
	}
	return repeatedParameters(c, op)
}

// repeatedParameters returns the names of the parameters that a request has more than once.
func repeatedParameters(c echo.Context, op *operation) []string {
	var names []string
	for _, p := range op.headers {
		if len(c.Request().Header.Values(p.Value.Name)) > 1 {
			names = append(names, p.Value.Name)
		}
	}
	query := c.QueryParams()
	for _, p := range op.others {
		if p.Value.In == openapi3.ParameterInQuery && len(query[p.Value.Name]) > 1 {
			names = append(names, p.Value.Name)
		}
	}
	return names
}
