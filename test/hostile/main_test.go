// Package hostile sends attacks to every operation of openapi.yaml, on both database engines at the same time.
//
// It reads the operations, their parameters and their fields from the document, so new operations are attacked without a change
// here. Every attack must have these results:
//
//   - The status is below 500, or net/http itself rejects the request. The response has the documented form, is the same on both
//     engines and arrives in time.
//   - The database does not change, no mail is sent, and the log contains nothing secret of the request.
//   - The next request on the same connection and on a new connection succeeds.
//
// In `make test` a response may take ten seconds, because the machine is busy and the race detector is slow. With FINANCELIME_FULL=1 it
// may take one second.
package hostile

import (
	"os"
	"testing"
	"time"

	"github.com/financelime/authorization/test/harness"
)

// The tests of the package share the binary and the contract.
var (
	binary   string
	contract *harness.Contract
)

// full is set if the tests check the response time.
var full = os.Getenv("FINANCELIME_FULL") != ""

// patience returns the maximum time for a response.
func patience() time.Duration {
	if full {
		return time.Second
	}
	return 10 * time.Second
}

func TestMain(m *testing.M) {
	os.Exit(harness.Main(func(b string, c *harness.Contract) int {
		binary, contract = b, c
		return m.Run()
	}))
}
