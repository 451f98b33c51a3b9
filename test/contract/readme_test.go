package contract

import (
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/financelime/authorization/test/harness"
)

func readme(t *testing.T) string {
	t.Helper()
	return document(t, "README.md")
}

// document returns a file of the repository.
func document(t *testing.T, name string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("..", "..", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// shellBlocks returns the commands of a document, in order.
func shellBlocks(t *testing.T, name string) []string {
	t.Helper()
	var blocks []string
	for _, match := range regexp.MustCompile("(?ms)^( *)```sh\n(.*?)^ *```").FindAllStringSubmatch(document(t, name), -1) {
		blocks = append(blocks, strings.ReplaceAll(match[2], "\n"+match[1], "\n"))
	}
	return blocks
}

// TestREADMECommands runs the README's commands as they are. It replaces only the addresses, so that the test can
// run while a service of the reader runs, and `go run` by the binary of the other tests.
func TestREADMECommands(t *testing.T) {
	t.Parallel()
	blocks := shellBlocks(t, "README.md")
	if len(blocks) != 10 || strings.TrimSpace(blocks[0]) != "go run ./cmd/financelime-auth" {
		t.Fatalf("the README has %d blocks of commands, want the start, an invite code and eight steps", len(blocks))
	}
	s := harness.New(t, binary, contract, harness.SQLite)
	public := freeAddress(t)
	s.Env = append(slices.DeleteFunc(s.Env, func(e string) bool { return strings.HasPrefix(e, "AUTH_") }),
		"AUTH_HTTP_ADDR="+public, "AUTH_PUBLIC_URL=http://"+public, "AUTH_ADMIN_ADDR=127.0.0.1:0")
	s.Run(t)
	eventually(t, "the log says how to make an invite code", func() bool { return strings.Contains(s.Log(), "financelime-auth invite create") })

	script := "set -euo pipefail\n" + strings.Join(blocks[1:], "\necho; echo ----\n")
	script = strings.NewReplacer(
		"go run ./cmd/financelime-auth", binary,
		"localhost:8080", public,
		"localhost:8081", strings.TrimPrefix(s.Admin, "http://"),
	).Replace(script)
	cmd := exec.CommandContext(t.Context(), "bash", "-c", script)
	cmd.Dir, cmd.Env = s.Dir, s.Env
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	steps := strings.Split(string(out), "----")
	for i, want := range []string{"", "204 No Content", "confirmed", "", "", `"current":true`, "204 No Content", "204 No Content", "password"} {
		if !strings.Contains(steps[i], want) {
			t.Errorf("step %d printed, without %q:\n%s", i, want, steps[i])
		}
	}
	if n := s.Count(t, "SELECT count(*) FROM mail WHERE kind = 'password'"); n != 2 {
		t.Errorf("%d passwords were mailed, want 2\n%s", n, out)
	}
}

// freeAddress returns an unused address.
func freeAddress(t *testing.T) string {
	t.Helper()
	s := harness.Start(t, binary, contract, harness.SQLite)
	u, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	s.Stop(t)
	return u.Host
}

// TestREADMESettings expects the README to list all settings and no others.
func TestREADMESettings(t *testing.T) {
	t.Parallel()
	help, err := exec.CommandContext(t.Context(), binary, "--help").CombinedOutput()
	if err != nil {
		t.Fatal(err)
	}
	settings := regexp.MustCompile(`AUTH_[A-Z_]+[A-Z]`)
	explained := settings.FindAllString(string(help), -1)
	listed := settings.FindAllString(readme(t), -1)
	for _, name := range explained {
		if !slices.Contains(listed, name) {
			t.Errorf("%s is missing in the README", name)
		}
	}
	for _, name := range listed {
		if !slices.Contains(explained, name) {
			t.Errorf("%s is in the README but not in --help", name)
		}
	}
}
