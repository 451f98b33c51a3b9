// Package faults injects faults into the built service and what it depends on, and checks that acknowledged writes are durable.
//
// Under `make test` the tests take minutes in total. `make faults` sets FINANCELIME_FULL=1: then the tests run at full length
// and assert the promised rates and times, which they otherwise only log.
package faults

import (
	"os"
	"testing"
	"time"

	"github.com/financelime/authorization/test/harness"
)

// binary and contract are created once for all tests of the package.
var (
	binary   string
	contract *harness.Contract
)

// full reports whether the tests run at full length.
var full = os.Getenv("FINANCELIME_FULL") != ""

func TestMain(m *testing.M) {
	if !full {
		harness.Parallel(8) // most of these tests wait: for leases, delays and outages
	}
	os.Exit(harness.Main(func(b string, c *harness.Contract) int {
		binary, contract = b, c
		return m.Run()
	}))
}

// parallel lets a test run in parallel with others, except at full length, because tests measure then. Tests that always need the
// machine for themselves do not call it. The subtests for the two engines always run in parallel.
func parallel(t *testing.T) {
	t.Helper()
	if !full {
		t.Parallel()
	}
}

// scaled returns reduced, or atFull if the tests run at full length.
func scaled[T any](reduced, atFull T) T {
	if full {
		return atFull
	}
	return reduced
}

// eventually waits until a condition holds and returns how long that took. It fails the test after the limit.
func eventually(t testing.TB, what string, limit time.Duration, condition func() bool) time.Duration {
	t.Helper()
	began := time.Now()
	for !condition() {
		if time.Since(began) > limit {
			t.Fatalf("after %s still not: %s", limit, what)
		}
		time.Sleep(20 * time.Millisecond) // between two checks
	}
	return time.Since(began)
}
