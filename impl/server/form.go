package server

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"unicode/utf8"
)

// formToJSON converts a form in application/x-www-form-urlencoded to a JSON object of strings, which is then validated like any other body.
// It returns an error for a field that occurs twice, a malformed escape, and text that is not UTF-8: url.ParseQuery keeps all of them, and
// encoding/json would replace the last. The form of a page without fields is empty: {}.
func formToJSON(form []byte) ([]byte, error) {
	fields := make(map[string]string)
	for pair := range strings.SplitSeq(string(form), "&") {
		if len(form) == 0 {
			break
		}
		name, value, err := parseField(pair)
		if err != nil {
			return nil, err
		}
		if _, twice := fields[name]; twice {
			return nil, errors.New("a field of the form occurs twice")
		}
		fields[name] = value
	}
	body, err := json.Marshal(fields)
	if err != nil {
		return nil, fmt.Errorf("convert the form: %w", err)
	}
	return body, nil
}

// parseField parses one field of a form. Its errors do not contain the field, which may be a password.
func parseField(pair string) (name, value string, err error) {
	rawName, rawValue, hasValue := strings.Cut(pair, "=")
	name, nameErr := url.QueryUnescape(rawName)
	value, valueErr := url.QueryUnescape(rawValue)
	switch {
	case !hasValue:
		return "", "", errors.New("a field of the form has no value")
	case nameErr != nil || valueErr != nil:
		return "", "", errors.New("a field of the form has a malformed escape")
	case !utf8.ValidString(name) || !utf8.ValidString(value):
		return "", "", errors.New("a field of the form is not UTF-8")
	}
	return name, value, nil
}
