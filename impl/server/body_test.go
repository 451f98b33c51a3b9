package server

import (
	"net/http"
	"strings"
	"testing"
)

// A Content-Type that is accepted as JSON is application/json, without a charset other than UTF-8.
func FuzzContentType(f *testing.F) {
	for _, seed := range []string{
		"application/json", "application/json;charset=utf-8", "Application/JSON; Charset=\"UTF-8\"", "application/json; charset=utf-16", "text/plain",
		"application/json, text/plain", "application/json;charset*=utf-8''utf-16", "application/json; charset=utf-8; charset=utf-16", "application/jsonx", "",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		if !hasMediaType(http.Header{"Content-Type": {value}}, "application/json") {
			return
		}
		low := strings.ToLower(value)
		if name, _, _ := strings.Cut(low, ";"); strings.TrimSpace(name) != "application/json" {
			t.Fatalf("%q was accepted as JSON", value)
		}
		if strings.Contains(low, "charset=utf-16") || strings.Contains(low, "charset=iso") || strings.Contains(low, "charset=windows") {
			if !strings.Contains(low, "utf-8") && !strings.Contains(low, `"`) {
				t.Fatalf("%q was accepted as UTF-8", value)
			}
		}
		if hasMediaType(http.Header{"Content-Type": {value, value}}, "application/json") {
			t.Fatalf("two headers %q were accepted", value)
		}
	})
}
