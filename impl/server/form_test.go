package server

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"
)

func TestFormToJSON(t *testing.T) {
	t.Parallel()
	for form, want := range map[string]string{
		"":                              `{}`,
		"a=":                            `{"a":""}`,
		"a=b+c%2Bd%26e%3D%25":           `{"a":"b c+d\u0026e=%"}`,
		"a=1&b=2":                       `{"a":"1","b":"2"}`,
		"a==":                           `{"a":"="}`,
		"a=%D0%B6":                      `{"a":"ж"}`,
		"a=\xd0\xb6":                    `{"a":"ж"}`,
		"a=1&a=2":                       "",
		"a=1&%61=2":                     "",
		"a=%zz":                         "",
		"a=%":                           "",
		"a":                             "",
		"a=1&":                          "",
		"&a=1":                          "",
		"a=%ff":                         "",
		"%ff=a":                         "",
		"a=\xff":                        "",
		"a=%ed%a0%80":                   "",
		strings.Repeat("a", 9) + "%0=1": "",
	} {
		got, err := formToJSON([]byte(form))
		if (err != nil) != (want == "") || string(got) != want {
			t.Errorf("%q: %s, %v; want %s", form, got, err, want)
		}
	}
}

// A form that is accepted has each field once, and the JSON has exactly its fields.
func FuzzForm(f *testing.F) {
	for _, seed := range []string{"", "newPassword=x", "a=1&b=2", "a=1;b=2", "a=%00", "a=%ff", "a=1&a=2", "a+b=c+d", "=&==", "a=%C3%28"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, form string) {
		body, err := formToJSON([]byte(form))
		if err != nil {
			return
		}
		var got map[string]string
		if err := json.Unmarshal(body, &got); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(form, ";") {
			return // url.ParseQuery refuses it, although it separates nothing (WHATWG URL, 5.1)
		}
		want, err := url.ParseQuery(form)
		if err != nil || len(want) != len(got) {
			t.Fatalf("%q: %v, want %v, %v", form, got, want, err)
		}
		for name, values := range want {
			if len(values) != 1 || got[name] != values[0] {
				t.Errorf("%q: %q is %q, want %q", form, name, got[name], values)
			}
		}
	})
}
