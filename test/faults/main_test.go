// Package faults breaks what the built service depends on, the service itself included, and checks that what it has
// acknowledged holds.
//
// Under `make test` the tests take minutes in all. `make faults` sets FINANCELIME_FULL=1: then they have their full length,
// and the rates and times that the service promises are not only logged but asserted.
package faults

import (
	"flag"
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

// full tells whether the tests have their full length.
var full = os.Getenv("FINANCELIME_FULL") != ""

func TestMain(m *testing.M) {
	flag.Parse()
	if !full && flag.Lookup("test.parallel").Value.String() != "1" {
		// Most of these tests wait most of the time: for leases, delays and outages.
		if err := flag.Set("test.parallel", "8"); err != nil {
			panic(err)
		}
	}
	os.Exit(harness.Main(func(b string, c *harness.Contract) int {
		binary, contract = b, c
		return m.Run()
	}))
}

// beside lets a test run beside others, except at full length, where tests measure. Those that always need the machine for
// themselves do not call it; the two engines run side by side in any case.
func beside(t *testing.T) {
	t.Helper()
	if !full {
		t.Parallel()
	}
}

// length is the one or the other length of a test.
func length[T any](reduced, atFull T) T {
	if full {
		return atFull
	}
	return reduced
}

// eventually waits until something is the case, and fails the test when that takes too long. It returns how long it took.
func eventually(t testing.TB, what string, limit time.Duration, come func() bool) time.Duration {
	t.Helper()
	began := time.Now()
	for !come() {
		if time.Since(began) > limit {
			t.Fatalf("after %s still not: %s", limit, what)
		}
		time.Sleep(20 * time.Millisecond) // between two looks
	}
	return time.Since(began)
}
