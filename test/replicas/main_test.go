//go:build replicas

// Package replicas tests several services on one PostgreSQL: with the previous version, behind nginx, and with PgBouncer.
// `make test-replicas` installs what it needs.
package replicas

import (
	"os"
	"testing"

	"github.com/financelime/authorization/test/harness"
)

// binary is the built service, and contract is openapi.yaml; both are created once for all tests.
var (
	binary   string
	contract *harness.Contract
)

func TestMain(m *testing.M) {
	os.Exit(harness.Main(func(b string, c *harness.Contract) int {
		binary, contract = b, c
		return m.Run()
	}))
}
