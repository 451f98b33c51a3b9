//go:build replicas

// Package replicas runs several services on one PostgreSQL with what operators put around them: the version before, and
// PgBouncer. `make test-replicas` installs what it needs.
package replicas

import (
	"fmt"
	"os"
	"testing"

	"github.com/financelime/authorization/test/harness"
)

// binary and contract are made once for all tests.
var (
	binary   string
	contract *harness.Contract
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
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
