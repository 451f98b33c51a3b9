package harness

import (
	"flag"
	"fmt"
	"os"
)

// BinaryEnv names the variable with the path of a built service: a test process that starts another one passes its own on.
const BinaryEnv = "TEST_BINARY"

// Main is the TestMain of a package that runs the service: it builds the binary as Build does, loads the contract, and passes
// both to run. It returns the exit status of run, or 1 if it fails itself.
func Main(run func(binary string, contract *Contract) int) int {
	flag.Parse()
	dir, err := os.MkdirTemp("", "financelime-auth-")
	if err != nil {
		return fail(err)
	}
	defer os.RemoveAll(dir)
	binary := os.Getenv(BinaryEnv)
	if binary == "" {
		if binary, err = Build(dir); err != nil {
			return fail(err)
		}
	}
	contract, err := NewContract()
	if err != nil {
		return fail(err)
	}
	return run(binary, contract)
}

func fail(err error) int {
	fmt.Fprintln(os.Stderr, err)
	return 1
}
