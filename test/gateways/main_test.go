//go:build gateways

// Package gateways starts the gateways with the very files of deploy/gateways, with the service and a small upstream behind
// them, and walks through everything that docs/gateway.md promises. `make test-gateways` installs the gateways and runs it.
package gateways

import (
	"flag"
	"fmt"
	"os"
	"testing"

	"github.com/financelime/authorization/test/harness"
)

// binary is the service, built once for all tests.
var binary string

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
	return m.Run()
}

func fail(err error) int {
	fmt.Fprintln(os.Stderr, err)
	return 1
}
