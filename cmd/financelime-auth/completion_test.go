package main

import (
	"bytes"
	"strings"
	"testing"
)

// runs executes a command, which must succeed, and returns its output.
func runs(t *testing.T, args ...string) string {
	t.Helper()
	var stdout, stderr bytes.Buffer
	if status := run(t.Context(), args, &stdout, &stderr); status != 0 {
		t.Fatalf("%q: status %d: %s", args, status, stderr.String())
	}
	return stdout.String()
}

// TestCompletionCandidates checks the candidates for words as bash, zsh and fish pass them.
func TestCompletionCandidates(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		line string // words separated by spaces
		want []string
	}{
		{"us", []string{"user"}},
		{"user ", []string{"list", "show", "disable", "enable", "email", "second-factor", "restore", "export", "delete"}},
		{"user second-factor ", []string{"remove"}},
		{"user show nobody@example.com ", nil},
		{"mail list --sta", []string{"--state"}},
		{"mail list --state ", []string{"all", "queued", "sent", "dead"}},
		{"mail list --state=d", []string{"--state=dead"}},                  // zsh, fish
		{"mail list --state = d", []string{"dead"}},                        // bash
		{"mail list --state =", []string{"all", "queued", "sent", "dead"}}, // bash
		{"--database-url = sqlite : data/auth.db us", []string{"user"}},    // bash
		{"--database-url = postgres :// u : p @ db : 5432 /auth user l", []string{"list"}},
		{"--http-addr : 8080 us", []string{"user"}},
		{"--http-addr = : 8080 us", []string{"user"}},
		{"invite create --code a : b --us", []string{"--uses"}},
		{"invite revoke a : b --admin-a", []string{"--admin-addr"}},
		{"user show me @ example.com --js", []string{"--json"}},
		{"--database-url=sqlite:data/auth.db us", []string{"user"}}, // zsh, fish
		{"--database-url = sqlite :", nil},
		{"--database-url = sqlite : d", nil},
		{"mail list --limit 5 --st", []string{"--state"}},
		{"--log-level d", []string{"debug"}},
		{"serve --log-f", []string{"--log-format"}},
		{"serve --dev", []string{"--dev", "--dev-expose"}},
		{"invite create --no-inv", []string{"--no-invite-code-required"}},
		{"--nonsense=", nil},
		{"password", []string{"password-list"}},
		{"password-list build list --mi", []string{"--min-length", "--min-count"}},
		{"serve --password-m", []string{"--password-min-length"}},
		{"completion ", []string{"bash", "zsh", "fish"}},
	} {
		out := runs(t, append([]string{"completion", "candidates", "--"}, strings.Split(c.line, " ")...)...)
		var got []string
		for line := range strings.Lines(out) {
			word, _, _ := strings.Cut(line, "\t")
			got = append(got, word)
		}
		if strings.Join(got, " ") != strings.Join(c.want, " ") {
			t.Errorf("%q: %q, want %q", c.line, got, c.want)
		}
	}
	for _, shell := range []string{"bash", "zsh", "fish"} {
		if out := runs(t, "completion", shell); !strings.Contains(out, "financelime-auth completion candidates") && !strings.Contains(out, `" completion candidates`) {
			t.Errorf("%s:\n%s", shell, out)
		}
	}
}
