// Package contract tests that the built service behaves as openapi.yaml documents, on both engines.
package contract

import (
	"flag"
	"fmt"
	"os"
	"testing"

	"github.com/financelime/authorization/test/harness"
)

// binary is the service, and contract is openapi.yaml; both are made once for all tests.
var (
	binary   string
	contract *harness.Contract
)

func TestMain(m *testing.M) {
	harness.Parallel(3) // they wait for mails, for the end of tokens and delays, and for processes; the races among them need the processors
	os.Exit(harness.Main(func(b string, c *harness.Contract) int {
		binary, contract = b, c
		status := m.Run()
		if status == 0 && flag.Lookup("test.run").Value.String() == "" && flag.Lookup("test.list").Value.String() == "" {
			return reportUnseen()
		}
		return status
	}))
}

// reportUnseen returns 1 if openapi.yaml documents a status of an operation that no test has received.
func reportUnseen() int {
	if unseen := contract.Unseen(); len(unseen) > 0 {
		fmt.Fprintf(os.Stderr, "no test has received %d of the %d documented responses:\n", len(unseen), contract.Documented())
		for _, u := range unseen {
			fmt.Fprintln(os.Stderr, "  "+u)
		}
		return 1
	}
	fmt.Printf("all %d documented responses were received and validated against openapi.yaml\n", contract.Documented())
	return 0
}
