package page

import (
	"testing"

	"github.com/financelime/authorization/impl/locale"
)

func TestNegotiate(t *testing.T) {
	t.Parallel()
	for accept, want := range map[string]Format{
		"":                                   HTML,
		"*/*":                                HTML,
		"text/html":                          HTML,
		"text/plain":                         Text,
		"application/json":                   JSON,
		"TEXT/Plain":                         Text,
		" application/json ; charset=utf-8 ": JSON,
		// What browsers and common libraries send.
		"text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8": HTML,
		"application/json, text/plain, */*":                                                     JSON,
		"application/json, */*;q=0.1":                                                           JSON,
		// Weights.
		"text/html;q=0.5, text/plain;q=0.9":  Text,
		"text/html;q=0.5,text/plain;q=0.501": Text,
		"text/html;q=1.000, text/plain;q=1":  HTML,
		// What generated clients send: every media type of the operation.
		"text/html, text/plain, application/json":            JSON,
		"application/json, text/html, text/plain":            JSON,
		"application/json,text/html;q=0.9":                   JSON,
		"text/html;q=0.8, application/json;q=0.8, */*;q=0.1": JSON,
		"text/html, application/json;q=0.9":                  HTML,
		"text/html, application/*":                           HTML,
		"text/*, application/*":                              HTML,
		"application/json;q=0, text/html;q=0":                HTML,
		"text/html;q=0, */*":                                 JSON,
		"text/html;q=0, application/json;q=0, *":             HTML, // "*" alone is no media range
		"text/html;q=0, application/*;q=0, */*":              Text,
		"text/*":                                             HTML,
		"text/*;q=0.5, application/json;q=0.4":               HTML,
		"text/*, text/html;q=0.1":                            Text, // the most precise range decides, not the best
		"application/*":                                      JSON,
		"text/plain;q=0.2, */*;q=0.1":                        Text,
		// A malformed element is skipped.
		"text/html;q=2, text/plain;q=0.1":             Text,
		"text/html;q=-1, application/json;q=0.1":      JSON,
		"text/html;q=abc, text/plain":                 Text,
		"/, ;;, text/, application/json":              JSON,
		`text/html;x="a,b;q=0";q=0, text/plain`:       Text,
		`text/html;x="\",text/plain", text/plain;q=0`: HTML,
		// No format of ours.
		"image/png":                HTML,
		"application/xml, video/*": HTML,
		"text/plain;q=0":           HTML,
		"*/*;q=0":                  HTML,
		"nonsense":                 HTML,
	} {
		if got := Negotiate(accept); got != want {
			t.Errorf("Negotiate(%q) = %s, want %s", accept, got, want)
		}
	}
}

func FuzzNegotiate(f *testing.F) {
	for _, seed := range []string{
		"", "*/*", "text/html;q=0.5, text/plain", `a/b;c="d,e\"";q=1.000`, "application/json;q=0.", "text/*;q=0,*/*", "\x00,;=\"\\",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, accept string) {
		got := Negotiate(accept)
		if got < HTML || got > Text {
			t.Fatalf("Negotiate(%q) = %d", accept, got)
		}
		// A malformed element changes nothing.
		if again := Negotiate("\x7f, " + accept); again != got {
			t.Fatalf("%q: %s, after a broken element %s", accept, got, again)
		}
		if tag := locale.Default().Match(accept).Tag; tag != "en" && tag != "ru" {
			t.Fatalf("Match(%q) = %q", accept, tag)
		}
	})
}
