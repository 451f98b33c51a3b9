package hostile

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"
)

// The categories of the JSON cases follow github.com/nst/JSONTestSuite. The cases were written for this test.

// invalidJSON are texts that are not JSON values, by category. As the value of a field they make the body invalid.
var invalidJSON = map[string][]string{
	"array": {
		"[1 true]", "[a]", `["":1]`, `[""],`, "[,1]", "[1,,2]", `["x"]]`, `["",]`, `["x"`, "[x", "[3[4]]", "[1:2]", "[,]", "[-]", `[   , ""]`,
		"[1,", "[1,]", "[\"a\"\f]", "[*]", `[""`, "[{}", "[1,\n1\n,1", "]", "[",
	},
	"number": {
		"-01", "-1.0.", "-2.", "-NaN", ".-1", ".2e-3", "0.1.2", "0.3e+", "0.3e", "0.e1", "0E+", "0E", "0e", "1.0e+", "1.0e-", "1.0e", "1 000.0",
		"1eE2", "2.e+3", "2.e-3", "2.e3", "9.e+", "Inf", "NaN", "\uff11", "1+2", "0x1", "0x42", "Infinity", "-Infinity", "0e+-1", "-123.123foo",
		"123\xe5", "1e1\xe5", "-foo", "- 1", "-012", "-.123", "-1x", "1ea", "1.", ".123", "1.2a-3", "1.8H-308", "012", "++1234", "+1",
		"+Inf", "-", "1_000", "0b1", "0o7", "1n",
	},
	"object": {
		`{[: "x"}`, `{"x", null}`, `{"x"::"b"}`, "{\U0001f1e8\U0001f1ed}", `{"a":"a" 123}`, `{key: 'value'}`, "{\"\xb9\":\"0\",}", `{"a" b}`, `{:"b"}`,
		`{"a" "b"}`, `{"a":`, `{"a"`, "{1:1}", "{9999E9999:1}", "{null:null,null:null}", `{"id":0,,,,,}`, `{'a':0}`, `{"id":0,}`, `{"a":"b"}/**/`,
		`{"a":"b"}//`, `{"a":"b",,"c":"d"}`, `{a: "b"}`, `{"a":"a`, `{"foo":"bar", "a"}`, `{"a":"b"}#`, "{", "}", "{}}",
	},
	"string": {
		`"\uD800\"`, `"\uD800\u"`, `"\uD800\u1"`, `"\uD800\u1x"`, "é", "\"\\\x00\"", "\"\x00\"", `"\\\"`, "\"\\\t\"", "\"\\\U0001f300\"", `"\"`,
		`"\u00A"`, `"\uD834\uDd"`, `"\uD800\uD800\x"`, `"\uqqqq"`, `"\a"`, "\"\\\xe5\"", `\u0020"asd"`, `\n`, `"`, "'single quotes'", "abc",
		"\"new\nline\"", "\"a\ttab\"", "\"\x1f\"", `"\U0001f600"`, `"\x41"`, `"\'"`, "`x`", `"a" "b"`, `"a"+"b"`,
	},
	"encoding": { // encoding/json would replace these with U+FFFD
		`"\uDADA"`, `"\uD888\u1234"`, `"\uD800\n"`, `"\ud800abc"`, `"\uDd1e\uD834"`, `"\ud800"`, `"\udc00\ud800"`, "\"\xe0\xff\"", "\"\xff\"", "\"\xfe\"",
		"\"\xc0\xaf\"", "\"\xc0\x80\"", "\"\xfc\x83\xbf\xbf\xbf\xbf\"", "\"\xf4\x90\x80\x80\"", "\"\xf4\xbf\xbf\xbf\"", "\"\xed\xa0\x80\"", "\"\x81\"",
		"\"\u65e5\u0448\xfa\"", "\"\xe2\x82\"", `"a\u0000@example.com"`, `"\u0000"`,
	},
	"literal": {"nul", "tru", "fals", "True", "NULL", "undefined", "None", "nan", "truth", "", " ", ",", ":", "//", "/**/", "#", "*", "&a", "!!str x"},
}

// wrongTypes are JSON values that are invalid for every field.
var wrongTypes = map[string]string{
	"null": "null", "true": "true", "false": "false", "a list": `["a@example.com","b@example.com"]`, "an empty list": "[]",
	"an operator": `{"$gt":""}`, "not equal": `{"$ne":null}`, "an empty object": `{"":{}}`, "a prototype": `{"__proto__":{"x":1}}`,
	"1e400": "1e400", "-1e400": "-1e400", "1e999999999": "1e999999999", "400 digits": strings.Repeat("9", 400), "-1": "-1", "1.5": "1.5",
	"a large number": "123123123123123123123123", "a deep list": strings.Repeat("[", 9) + strings.Repeat("]", 9),
	"a very deep list": strings.Repeat("[", 7000) + strings.Repeat("]", 7000),
	"a deep object":    strings.Repeat(`{"a":`, 9) + "1" + strings.Repeat("}", 9),
}

// unusualNumbers are JSON numbers that decoders read differently.
var unusualNumbers = []string{"-0", "1e-10000000", "0e1", "0.0", "1E2", "-0.0e0", "1.0", "100000000000000000000", "0.4e00669999999999999", "9007199254740993"}

// malformedBodies returns changes of a valid body that are not exactly one JSON object.
func malformedBodies(good string) map[string]string {
	return map[string]string{
		"empty": "", "white space": " \r\n\t", "null": "null", "an array": "[" + good + "]", "a string": `"x"`, "a number": "1", "true": "true",
		"no fields": "{}", "cut off": good[:len(good)-1], "cut in the middle": good[:len(good)/2], "two objects": good + good,
		"two lines": good + "\n" + good, "text at the end": good + " x", "a brace at the end": good + "}", "a comma at the end": good + ",", "a NUL at the end": good + "\x00",
		"text before": "x" + good, "a BOM": "\ufeff" + good, "a BOM at the end": good + "\ufeff", "only a BOM": "\ufeff", "U+2060": "\u2060" + good,
		"a form feed": "\f" + good, "NBSP": "\u00a0" + good, "a comment": "/* x */" + good, "a comment at the end": good + "// x", "an XSSI prefix": ")]}',\n" + good,
		"JSONP": "f(" + good + ")", "single quotes": strings.ReplaceAll(good, `"`, "'"), "no quotes": strings.ReplaceAll(good, `"`, ""),
		"a trailing comma": strings.TrimSuffix(good, "}") + ",}", "a leading comma": "{," + good[1:], "a double colon": strings.Replace(good, ":", "::", 1),
		"equals": strings.Replace(good, ":", "=", 1), "UTF-16LE": utf16Text(good, false), "UTF-16BE": utf16Text(good, true),
		"UTF-32": utf32Text(good), "UTF-7": "+AHs-" + good[1:], "deflate": "\x78\x9c\xab\x56\x4a", "a gzip": "\x1f\x8b\x08\x00\x00\x00\x00\x00",
		"a form": "email=a%40example.com&password=x", "XML": `<?xml version="1.0"?><!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><x>&e;</x>`,
		"YAML": "email: a@example.com\n", "a form's JSON": "data=" + good, "unclosed arrays": strings.Repeat("[", 16<<10),
		"arrays": strings.Repeat("[", 8<<10) + strings.Repeat("]", 8<<10), "unclosed objects": strings.Repeat(`{"":`, 4<<10),
		"many names":       "{" + strings.TrimSuffix(strings.Repeat(`"":0,`, 3000), ",") + "}",
		"many other names": manyNames(), "one long name": `{"` + strings.Repeat("n", 16000) + `":1}`,
		"many small objects":  `{"a":[` + strings.TrimSuffix(strings.Repeat("{},", 5000), ",") + "]}",
		"open close disorder": `{"a":[}]`, "an array in an object": `{"a":[1,2,{"b":[}]}}`, "a lone bracket": "]", "angle brackets": "<.>", "an emoji": "\U0001f600",
	}
}

// manyNames returns an object with 1,200 members.
func manyNames() string {
	var b strings.Builder
	for i := range 1200 {
		fmt.Fprintf(&b, `"n%d":0,`, i)
	}
	return "{" + strings.TrimSuffix(b.String(), ",") + "}"
}

// utf16Text returns s in UTF-16 with a byte order mark.
func utf16Text(s string, bigEndian bool) string {
	var b strings.Builder
	for _, unit := range utf16.Encode([]rune("\ufeff" + s)) {
		high, low := byte(unit>>8), byte(unit)
		if !bigEndian {
			high, low = low, high
		}
		b.Write([]byte{high, low})
	}
	return b.String()
}

// utf32Text returns s in UTF-32, big-endian.
func utf32Text(s string) string {
	var b strings.Builder
	for _, r := range s {
		b.Write([]byte{0, 0, byte(r >> 8), byte(r)})
	}
	return b.String()
}

// alteredNames returns changes of a valid body with a duplicate, misspelled or unknown name.
func alteredNames(good, field string) map[string]string {
	more := func(member string) string { return strings.TrimSuffix(good, "}") + "," + member + "}" }
	escaped := fmt.Sprintf(`\u%04x%s`, field[0], field[1:])
	bad := map[string]string{
		"twice": more(`"` + field + `":"b@example.com"`), "twice and escaped": more(`"` + escaped + `":"b@example.com"`),
		"twice, one in upper case": more(`"` + strings.ToUpper(field) + `":"b@example.com"`), "first null": strings.Replace(good, "{", `{"`+field+`":null,`, 1),
		"in upper case": strings.Replace(good, `"`+field+`"`, `"`+strings.ToUpper(field)+`"`, 1),
		"with a space":  strings.Replace(good, `"`+field+`"`, `"`+field+` "`, 1), "with a NUL": strings.Replace(good, `"`+field+`"`, `"`+field+`\u0000"`, 1),
		"with a BOM": strings.Replace(good, `"`+field+`"`, "\"\ufeff"+field+`"`, 1), "with bad UTF-8": strings.Replace(good, `"`+field+`"`, "\""+field+"\xff\"", 1),
		"missing": strings.Replace(good, `"`+field+`"`, `"x`+field+`"`, 1), "with brackets": strings.Replace(good, `"`+field+`"`, `"`+field+`[]"`, 1),
	}
	for letter, like := range map[string]string{"s": "\u017f", "k": "\u212a"} { // encoding/json treats them as s and k
		if strings.Contains(field, letter) {
			bad["with "+like] = strings.Replace(good, `"`+field+`"`, `"`+strings.Replace(field, letter, like, 1)+`"`, 1)
		}
	}
	return bad
}

// unexpectedMembers are members that a client must not be able to set (mass assignment).
var unexpectedMembers = []string{
	`"role":"admin"`, `"id":"1"`, `"accountID":"1"`, `"verified":true`, `"confirmed":true`, `"created_at":"2020-01-01T00:00:00Z"`, `"invite_uses":0`,
	`"uses":0`, `"disabled":false`, `"pending_until":null`, `"password_hash":"x"`, `"sid":"x"`, `"session_id":"x"`, `"generation":1`, `"__proto__":{"x":1}`,
	`"constructor":{}`, `"hint":"x"`, `"question":"x"`, `"":""`, `"$where":"1"`,
}

// jsonAttacks returns malformed JSON, duplicate, misspelled and unexpected names, and invalid values. An operation without a request body ignores all bodies.
func jsonAttacks(t *testing.T, op operation) []attack {
	t.Helper()
	var all []attack
	if op.body == nil {
		for name, body := range sorted(malformedBodies(`{"email":"a@example.com"}`)) {
			all = append(all, op.variant(t, "a body: "+name, func(_ *environment, r *request) { r.body = body }))
		}
		return all
	}
	whole := func(name string, bad func(good string) string) {
		all = append(all, attack{name: name, want: []int{400}, request: func(env *environment) request {
			r := op.request(t, op.valuesFor(env, ""))
			r.body = bad(r.body)
			return r
		}})
	}
	for name := range sorted(malformedBodies("{}")) {
		whole(name, func(good string) string { return malformedBodies(good)[name] })
	}
	for _, field := range op.fields() {
		for name := range sorted(alteredNames("{}", field)) {
			whole(field+" "+name, func(good string) string { return alteredNames(good, field)[name] })
		}
	}
	for _, member := range unexpectedMembers {
		whole(member, func(good string) string { return strings.TrimSuffix(good, "}") + "," + member + "}" })
	}
	all = append(all, op.valueAttacks(t)...)
	return all
}

// valueAttacks replaces the value of each field by invalid JSON and by values that the field must not have.
func (op operation) valueAttacks(t *testing.T) []attack {
	t.Helper()
	var all []attack
	for i, field := range leaves(op.body, "") {
		for category, hostileTexts := range sorted(invalidJSON) {
			if i > 0 && category != "encoding" {
				continue // the parser rejects it before it knows the field
			}
			for _, text := range hostileTexts {
				all = append(all, op.withField(t, fmt.Sprintf("%s %q", category, text), field, text, 400))
			}
		}
		for name, text := range sorted(wrongTypes) {
			if name == text && op.isBoolean(field) { // true and false
				continue
			}
			all = append(all, op.withField(t, name, field, text, 400))
		}
		for _, text := range unusualNumbers { // some are valid for a numeric field
			all = append(all, op.withField(t, text, field, text, 400, 404))
		}
	}
	return all
}

// isBoolean reports whether a field of the body is true or false.
func (op operation) isBoolean(field string) bool {
	property := op.body.Properties[field]
	return property != nil && property.Value.Type.Is("boolean")
}

// sorted iterates over a map in the order of its keys.
func sorted[V any](m map[string]V) func(yield func(string, V) bool) {
	return func(yield func(string, V) bool) {
		for _, key := range slices.Sorted(maps.Keys(m)) {
			if !yield(key, m[key]) {
				return
			}
		}
	}
}
