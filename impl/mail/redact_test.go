package mail

import (
	"errors"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestRedact(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"RCPT TO: 550 5.1.1 <Jane@Example.org>: unknown user":          "RCPT TO: 550 5.1.1 <[...]>: unknown user",
		"554 link https://auth.example.org/u/KEY?rid=1 is blacklisted": "554 link [...] is blacklisted",
		"554 auth.example.org/u/KEY":                                   "554 [...]",
		"554 bad word \"k3v9-0A1B\" in it":                             "554 bad word \"[...]\" in it",
		"550-one\r\n550 two\x00\x1b[31m":                               "550-one 550 two [31m",
		"550 \xcf\xd4\xcb\xc1\xda":                                     "550 ?",
		"dial tcp 127.0.0.1:25: connect: connection refused":           "dial tcp 127.0.0.1:25: connect: connection refused",
		"550 other@example.org":                                        "550 [...]",
	} {
		if got := redact(errors.New(in), "jane@example.org", "", "k3v9-0a1b"); got != want {
			t.Errorf("%q became %q, want %q", in, got, want)
		}
	}
	long := redact(errors.New(strings.Repeat("отказ ", 1000)))
	if len(long) > 410 || !utf8.ValidString(long) {
		t.Errorf("%d bytes, valid: %t", len(long), utf8.ValidString(long))
	}
}

func FuzzRedact(f *testing.F) {
	realistic := regexp.MustCompile(`^[a-z0-9-]{6,}$`)
	f.Add("550 <jane@example.org>", "jane@example.org")
	f.Add("\xff\x00", "k3v9")
	f.Add("xk3v9k3v9K3V9", "k3v9")
	f.Fuzz(func(t *testing.T, text, secret string) {
		got := redact(errors.New(text), secret)
		if !utf8.ValidString(got) || strings.ContainsAny(got, "\x00\r\n@") {
			t.Fatalf("%q became %q", text, got)
		}
		if realistic.MatchString(secret) && strings.Contains(strings.ToLower(got), secret) {
			t.Fatalf("%q became %q, which contains %q", text, got, secret)
		}
	})
}
