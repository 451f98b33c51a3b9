// Package contract walks the built service through everything that openapi.yaml promises, on both engines.
package contract

import (
	"flag"
	"fmt"
	"os"
	"testing"

	"github.com/financelime/authorization/test/harness"
)

// binary and contract are made once for all tests of the package.
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
	status := m.Run()
	if status == 0 && flag.Lookup("test.run").Value.String() == "" && flag.Lookup("test.list").Value.String() == "" {
		return everyStatusWasSeen()
	}
	return status
}

// everyStatusWasSeen fails when openapi.yaml documents an operation's status that no test has reached.
func everyStatusWasSeen() int {
	if unseen := contract.Unseen(); len(unseen) > 0 {
		fmt.Fprintf(os.Stderr, "no test has reached %d of the %d documented answers:\n", len(unseen), contract.Documented())
		for _, u := range unseen {
			fmt.Fprintln(os.Stderr, "  "+u)
		}
		return 1
	}
	fmt.Printf("every one of the %d documented answers was reached and held against openapi.yaml\n", contract.Documented())
	return 0
}

func fail(err error) int {
	fmt.Fprintln(os.Stderr, err)
	return 1
}
