//go:build gateways

// Package gateways starts the gateways with the very files of deploy/gateways, with the service and a small upstream behind
// them, and walks through everything that docs/gateway.md promises. `make test-gateways` installs the gateways and runs it.
package gateways

import (
	"os"
	"testing"

	"github.com/financelime/authorization/test/harness"
)

// binary is the service, built once for all tests.
var binary string

func TestMain(m *testing.M) {
	os.Exit(harness.Main(func(b string, _ *harness.Contract) int {
		binary = b
		return m.Run()
	}))
}
