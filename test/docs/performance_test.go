package docs

import (
	"os"
	"path/filepath"
	"testing"
)

// Every benchmark that docs/performance.md names exists. `make bench-check` compares the figures.
func TestPerformanceNamesBenchmarks(t *testing.T) {
	t.Parallel()
	document, err := os.ReadFile(filepath.Join(root, "docs", "performance.md"))
	if err != nil {
		t.Fatal(err)
	}
	tree := suites(t)
	names := testName.FindAllStringSubmatch(string(document), -1)
	if len(names) < 10 {
		t.Errorf("only %d names of benchmarks", len(names))
	}
	for _, name := range names {
		if what := missing(tree, name[1], name[2], ""); what != "" {
			t.Errorf("%s: %s", name[0], what)
		}
	}
}
