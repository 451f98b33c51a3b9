package docs

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
)

// The README's table of operations has one row for each operation of openapi.yaml, and no other.
func TestREADMENamesEveryOperation(t *testing.T) {
	t.Parallel()
	spec, err := openapi3.NewLoader().LoadFromFile(filepath.Join(root, "openapi.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	readme, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	rows := make(map[string]int)
	for _, found := range regexp.MustCompile("(?m)^\\| `([A-Z]+ /[^`]*)` \\|").FindAllStringSubmatch(string(readme), -1) {
		rows[found[1]]++
	}
	for path, item := range spec.Paths.Map() {
		for method := range item.Operations() {
			operation := method + " " + path
			if rows[operation] != 1 {
				t.Errorf("%s has %d rows in the README, want 1", operation, rows[operation])
			}
			delete(rows, operation)
		}
	}
	for operation := range rows {
		t.Errorf("%s is in the README, but not in openapi.yaml", operation)
	}
}
