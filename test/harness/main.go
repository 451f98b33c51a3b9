package harness

import (
	"flag"
	"fmt"
	"os"
	"strconv"
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

// Parallel lets n tests run at the same time, unless -parallel is given. It is for tests that spend much of their time waiting, so that there can be
// more of them than processors.
func Parallel(n int) {
	flag.Parse()
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "test.parallel" })
	if given {
		return
	}
	if err := flag.Set("test.parallel", strconv.Itoa(n)); err != nil {
		panic(err) // impossible: package testing has this flag
	}
}

func fail(err error) int {
	fmt.Fprintln(os.Stderr, err)
	return 1
}
