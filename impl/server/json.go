package server

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// maxDepth is how deep objects and arrays may be nested in a body.
const maxDepth = 8

// strictJSON accepts one JSON object in valid UTF-8 (RFC 8259, RFC 7493) without duplicate names, without U+0000 in any
// string (PostgreSQL can not store it, so it must not matter which engine runs), and with nothing behind it.
//
// encoding/json would take the last of two equal names, repair bad UTF-8 and ignore what follows. Unknown names and names
// in another letter case are refused afterwards by the schemas' additionalProperties: false.
func strictJSON(body []byte) error {
	d := jsontext.NewDecoder(bytes.NewReader(body)) // refuses duplicate names and bad UTF-8 unless told otherwise
	if d.PeekKind() != '{' {
		return errors.New("the body is not a JSON object")
	}
	for {
		token, err := d.ReadToken()
		if err != nil {
			return fmt.Errorf("the body is not strict JSON: %w", err)
		}
		if d.StackDepth() > maxDepth {
			return fmt.Errorf("the body is nested deeper than %d", maxDepth)
		}
		if token.Kind() == '"' && strings.ContainsRune(token.String(), 0) {
			return errors.New("a string has U+0000")
		}
		if d.StackDepth() == 0 {
			break
		}
	}
	if _, err := d.ReadToken(); !errors.Is(err, io.EOF) {
		return errors.New("something follows the object")
	}
	return nil
}
