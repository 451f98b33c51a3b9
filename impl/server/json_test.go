package server

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestStrictJSON(t *testing.T) {
	t.Parallel()
	for _, good := range []string{
		`{}`, " {\r\n\t} ", `{"a":1}`, `{"a":{"a":{"a":[[[[[1]]]]]}}}`, `{"a":"\u00e9\ud83e\udd8a"}`, `{"a":"\\u0000"}`, `{"":null}`,
	} {
		if err := strictJSON([]byte(good)); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	for _, bad := range []string{
		"", " ", "null", "[]", `"a"`, "1", "{", "{}{}", "{} x", "{},", `{"a":1,}`, `{"a":1 "b":2}`, `{a:1}`, `{'a':1}`, `{"a":01}`, `{"a":+1}`,
		`{"a":.5}`, `{"a":NaN}`, `{"a":Infinity}`, `{"a":0x1}`, "\ufeff{}", `{"a":1,"a":2}`, `{"a":1,"\u0061":2}`, `{"b":{"a":1,"a":2}}`,
		"{\"a\":\"\xff\"}", "{\"\xff\":1}", "{\"a\":\"\xed\xa0\x80\"}", `{"a":"\ud800"}`, `{"a":"\udc00\ud800"}`, `{"a":"\u0000"}`,
		`{"\u0000":1}`, `{"b":["\u0000"]}`, "{\"a\":\"\n\"}", "/**/{}", strings.Repeat(`{"a":`, 9) + "1" + strings.Repeat("}", 9),
		`{"a":` + strings.Repeat("[", 100000), `{"a":"\x"}`, `{"a":tru}`,
	} {
		if err := strictJSON([]byte(bad)); err == nil {
			t.Errorf("accepted: %.80q", bad)
		}
	}
}

// Every JSON decoder accepts what strictJSON accepts, and decodes it to the same value.
func FuzzStrictJSON(f *testing.F) {
	for _, seed := range []string{`{"a":1,"b":[{"c":"d"}]}`, `{"a":1,"\u0061":2}`, "{} {}", `{"a":"\ud83e\udd8a"}`, `{"a":"\u0000"}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		if strictJSON(body) != nil {
			return
		}
		if !utf8.Valid(body) {
			t.Error("not UTF-8")
		}
		var value map[string]any
		if err := json.Unmarshal(body, &value); err != nil {
			t.Errorf("encoding/json: %v", err)
		}
		// encoding/json decodes as many members as the text has names, so no name is duplicated.
		if names := topLevelNames(t, body); names != len(value) {
			t.Errorf("%d names, %d members", names, len(value))
		}
		if strings.Contains(flatten(value), "\x00") {
			t.Error("U+0000")
		}
	})
}

// topLevelNames counts the names of the outer object.
func topLevelNames(t *testing.T, body []byte) int {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(body))
	depth, names, expectName := 0, 0, false
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return names
		}
		if err != nil {
			t.Fatal(err)
		}
		switch delim, isDelim := token.(json.Delim); {
		case isDelim && (delim == '{' || delim == '['):
			depth++
			expectName = depth == 1
		case isDelim:
			depth--
			expectName = depth == 1
		case depth == 1 && expectName:
			names++
			expectName = false
		default:
			expectName = depth == 1
		}
	}
}

// flatten returns all names and strings of a decoded value.
func flatten(value any) string {
	switch v := value.(type) {
	case string:
		return v
	case []any:
		all := ""
		for _, item := range v {
			all += flatten(item)
		}
		return all
	case map[string]any:
		all := ""
		for name, item := range v {
			all += name + flatten(item)
		}
		return all
	default:
		return ""
	}
}
