// Package hostile throws what attackers send at every operation of openapi.yaml, on both engines side by side.
//
// The operations, their parameters and their fields are read from the document, so that a new operation is attacked
// without a new line here. Whatever is sent, the rule is one: an answer below 500, in the documented form, the same on both
// engines, in time; nothing changes in the database, no mail goes out, nothing of it is in the log, and the next request on the
// same and on a new connection is answered as ever.
//
// Under `make test` an answer may take ten seconds, because the machine is busy and the race detector slow. With
// FINANCELIME_FULL=1 it has the one second that is promised.
package hostile

import (
	"flag"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/financelime/authorization/test/harness"
)

// binary and contract are made once for all tests of the package.
var (
	binary   string
	contract *harness.Contract
)

// full tells whether times are asserted.
var full = os.Getenv("FINANCELIME_FULL") != ""

// patience is how long an answer may take.
func patience() time.Duration {
	if full {
		return time.Second
	}
	return 10 * time.Second
}

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
