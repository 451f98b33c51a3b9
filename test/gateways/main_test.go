//go:build gateways

// Package gateways starts each gateway with its files from deploy/gateways, in front of the service and a small upstream, and tests what
// docs/gateway.md documents. `make test-gateways` installs the gateways and runs the tests.
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
