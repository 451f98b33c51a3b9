//go:build browser

// Package browser shows the built service's pages to people in Chromium: the API reference, the confirmation pages, the
// local mailbox. The steps are in the *.test.mjs files; `make test-browser` installs what they need and runs them.
package browser

import (
	"cmp"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/financelime/authorization/test/harness"
)

var (
	binary   string
	contract *harness.Contract
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	flag.Parse()
	dir, err := os.MkdirTemp("", "financelime-auth-")
	if err != nil {
		return fail(err)
	}
	defer os.RemoveAll(dir)
	if binary, err = harness.Build(dir); err != nil {
		return fail(err)
	}
	if contract, err = harness.NewContract(); err != nil {
		return fail(err)
	}
	return m.Run()
}

func fail(err error) int {
	fmt.Fprintln(os.Stderr, err)
	return 1
}

// Every file of steps has a service of its own. Its mailed links begin with the name that Chromium finds it by.
func TestInChromium(t *testing.T) {
	t.Parallel()
	chromium, err := exec.LookPath(cmp.Or(os.Getenv("CHROMIUM"), "chromium"))
	if err != nil {
		t.Fatalf("%v: run these tests with `make test-browser`", err)
	}
	files, err := filepath.Glob("*.test.mjs")
	if err != nil || len(files) == 0 {
		t.Fatalf("no steps to take: %v", err)
	}
	const publicURL = "http://auth.example.test"
	for _, file := range files {
		t.Run(strings.TrimSuffix(file, ".test.mjs"), func(t *testing.T) {
			t.Parallel()
			s := harness.Start(t, binary, contract, harness.SQLite, "AUTH_PUBLIC_URL="+publicURL)
			node(t, file,
				"CHROMIUM="+chromium, "PUBLIC_URL="+publicURL, "HTTP_ADDR="+strings.TrimPrefix(s.URL, "http://"),
				"ADMIN_URL="+s.Admin, "INVITE_CODE="+s.Invite(t, 1000))
		})
	}
}

// node takes the steps in a file. Its report is shown when they fail, and with -v.
func node(t *testing.T, file string, settings ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "node", "--test-reporter=spec", file)
	cmd.Env = append(os.Environ(), settings...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) } // it then ends its Chromium
	cmd.WaitDelay = 30 * time.Second
	report, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, report)
	}
	t.Logf("%s", report)
	if !everyStepTaken.Match(report) { // and those that were not prove nothing
		t.Error("some steps were not taken, or there are none")
	}
}

var everyStepTaken = regexp.MustCompile(`ℹ tests [1-9]\d*\nℹ suites \d+\nℹ pass \d+\nℹ fail 0\nℹ cancelled 0\nℹ skipped 0\nℹ todo 0\n`)
