package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/financelime/authorization/impl/password"
)

// fails executes a command, which must fail, and returns its error.
func fails(t *testing.T, args ...string) string {
	t.Helper()
	var stdout, stderr bytes.Buffer
	if status := run(t.Context(), args, &stdout, &stderr); status != 1 || stdout.Len() > 0 || strings.Count(stderr.String(), "\n") != 1 {
		t.Fatalf("%q: status %d: %s%s", args, status, stdout.String(), stderr.String())
	}
	return stderr.String()
}

// TestPasswordList builds lists by command, and checks that the service would refuse what they have.
func TestPasswordList(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	list := filepath.Join(dir, "list")
	first, second := write("first", "Rainbow over Kilimanjaro\nshort\n"), write("second", "Горшочек, не вари больше\n\xff\n")
	out := runs(t, "password-list", "build", list, first, second)
	if !strings.Contains(out, "with 2 passwords from 4 lines: 1 were too short or rare, 1 cannot be passwords") {
		t.Error(out)
	}
	policyOf := func(args ...string) *password.Policy {
		s, err := load(t, args...)
		if err != nil {
			t.Fatal(err)
		}
		policy, err := s.openPolicy()
		if err != nil {
			t.Fatal(err)
		}
		if policy.Blocklist != nil {
			t.Cleanup(func() { _ = policy.Blocklist.Close() })
		}
		return policy
	}
	with, without := policyOf("--password-blocklist="+list), policyOf()
	for _, known := range []string{"rainbow over kilimanjaro", "ГОРШОЧЕК, НЕ ВАРИ БОЛЬШЕ"} {
		if err := with.Check(known, "a@b.example"); !errors.Is(err, password.ErrKnown) {
			t.Errorf("%s: %v", known, err)
		}
		if err := without.Check(known, "a@b.example"); err != nil {
			t.Errorf("%s without the list: %v", known, err)
		}
	}
	if err := policyOf("--password-min-length=30").Check("rainbow over mount kenya", "a@b.example"); !errors.Is(err, password.ErrTooShort) {
		t.Error(err)
	}

	var result struct{ Passwords, LeftOut int }
	hashes := write("hashes", "8F3F1F0D5C2B3F2E8A9C2F0E7D6B5A4938271605:5\n0F3F1F0D5C2B3F2E8A9C2F0E7D6B5A4938271605:1\n")
	if err := json.Unmarshal([]byte(runs(t, "password-list", "build", "--sha1", "--min-count=2", "--json", list, hashes)), &result); err != nil || result.Passwords != 1 || result.LeftOut != 1 {
		t.Errorf("%+v, %v", result, err)
	}

	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{list, hashes}, "use --sha1"},
		{[]string{"--sha1", list, first}, "is not a SHA-1 hash"},
		{[]string{"--min-count=2", list, first}, "--min-count needs --sha1"},
		{[]string{list, filepath.Join(dir, "missing")}, "missing"},
		{[]string{first, second}, "first exists and is not a password list"},
		{[]string{filepath.Join(dir, "missing", "list"), first}, "missing"},
	} {
		if stderr := fails(t, append([]string{"password-list", "build"}, c.args...)...); !strings.Contains(stderr, "password-list build: ") || !strings.Contains(stderr, c.want) {
			t.Errorf("%q: %s", c.args, stderr)
		}
	}
}

// TestDamagedBlocklist checks that the service does not start without the list that the operator wants, and creates no files.
func TestDamagedBlocklist(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	text := filepath.Join(dir, "text")
	if err := os.WriteFile(text, []byte("Rainbow over Kilimanjaro\nanother password\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	list := filepath.Join(dir, "list")
	runs(t, "password-list", "build", list, text)
	content, err := os.ReadFile(list)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(list, content[:len(content)-1], 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		list: "damaged or incomplete: build it again", text: "not a password list: create it with", filepath.Join(dir, "missing"): "no such file",
	} {
		data := filepath.Join(dir, "data")
		stderr := fails(t, "serve", "--password-blocklist="+path, "--database-url=sqlite:"+data+"/auth.db", "--mail-url=file:"+data+"/mail")
		if !strings.HasPrefix(stderr, "financelime-auth: AUTH_PASSWORD_BLOCKLIST: ") || !strings.Contains(stderr, path) || !strings.Contains(stderr, want) {
			t.Errorf("%s: %s", path, stderr)
		}
		if _, err := os.Stat(filepath.Join(data, "auth.db")); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: there is a database: %v", path, err)
		}
	}
}
