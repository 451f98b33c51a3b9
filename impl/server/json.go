package server

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// maxDepth limits how deep objects and arrays may be nested in a body.
const maxDepth = 8

// strictJSON returns an error unless body is exactly one JSON object in valid UTF-8 (RFC 8259, RFC 7493) without duplicate names and
// without U+0000 in a string. PostgreSQL cannot store U+0000, and both database engines must accept the same requests.
//
// encoding/json would use the last of two equal names, replace invalid UTF-8 and ignore data after the object. The schemas reject
// unknown names, and names in another letter case, later (additionalProperties: false).
func strictJSON(body []byte) error {
	d := jsontext.NewDecoder(bytes.NewReader(body)) // by default it rejects duplicate names and invalid UTF-8
	if d.PeekKind() != '{' {
		return errors.New("the body is not a JSON object")
	}
	for {
		token, err := d.ReadToken()
		if err != nil {
			return fmt.Errorf("the body is not strict JSON: %w", err)
		}
		if d.StackDepth() > maxDepth {
			return fmt.Errorf("the body is nested deeper than %d levels", maxDepth)
		}
		if token.Kind() == '"' && strings.ContainsRune(token.String(), 0) {
			return errors.New("a string contains U+0000")
		}
		if d.StackDepth() == 0 {
			break
		}
	}
	if _, err := d.ReadToken(); !errors.Is(err, io.EOF) {
		return errors.New("there is data after the object")
	}
	return nil
}
