// Command check compares the figures that benchmarks report with those of a document, and fails where they differ by more than a
// factor of ten. The factor is that large because machines differ: the check finds a benchmark that measures the wrong thing, and a
// document that nobody has updated.
//
//	go test -run='^$' -bench=. ./test/bench/ | go run ./test/bench/check docs/performance.md
package main

import (
	"fmt"
	"io"
	"os"
)

// factor is how far a figure may be from the documented one.
const factor = 10

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: check DOCUMENT < output of go test -bench")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "check:", err)
		os.Exit(1)
	}
}

// run checks the output of benchmarks against the document at path.
func run(path string, output io.Reader, echo io.Writer) error {
	measured, err := parseOutput(output, echo)
	if err != nil {
		return err
	}
	document, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read the document: %w", err)
	}
	documented, err := parseDocument(string(document))
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	wrong := compare(measured, documented, factor)
	for _, what := range wrong {
		fmt.Fprintln(echo, what)
	}
	if len(wrong) > 0 {
		return fmt.Errorf("%d figures disagree with %s", len(wrong), path)
	}
	fmt.Fprintf(echo, "all %d figures are within a factor of %d of %s\n", len(documented), factor, path)
	return nil
}
