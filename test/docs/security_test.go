// Package docs holds what the documents say of the tree against the tree.
package docs

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const root = "../.."

// sections are how many requirements each section of docs/security.md has.
var sections = map[byte]int{'A': 13, 'B': 15, 'C': 14, 'D': 17, 'E': 15, 'F': 17, 'G': 6, 'H': 8, 'I': 9, 'J': 14}

// suite is what there is to run in one package.
type suite struct {
	tests map[string]bool // functions
	texts map[string]bool // every string in its test files, the names of parts among them
}

// suites are those of the tree, by directory.
func suites(t *testing.T) map[string]suite {
	t.Helper()
	all := make(map[string]suite)
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && (entry.Name() == "node_modules" || entry.Name() == ".git") {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(path, "_test.go") {
			return nil
		}
		dir, err := filepath.Rel(root, filepath.Dir(path))
		if err != nil {
			return err
		}
		if all[dir].tests == nil {
			all[dir] = suite{tests: make(map[string]bool), texts: make(map[string]bool)}
		}
		return all[dir].read(path)
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func (s suite) read(path string) error {
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
	if err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	for _, declaration := range file.Decls {
		if f, is := declaration.(*ast.FuncDecl); is && f.Recv == nil {
			s.tests[f.Name.Name] = true
		}
	}
	ast.Inspect(file, func(node ast.Node) bool {
		if literal, is := node.(*ast.BasicLit); is && literal.Kind == token.STRING {
			if text, err := strconv.Unquote(literal.Value); err == nil {
				s.texts[text] = true
			}
		}
		return true
	})
	return nil
}

// missing says what of a test's name the tree does not have: "" for nothing.
func missing(tree map[string]suite, dir, function, part string) string {
	switch s, there := tree[dir]; {
	case !there:
		return "there is no package " + dir + " with tests"
	case !s.tests[function]:
		return dir + " has no " + function
	case part != "" && !s.texts[part]:
		return dir + " has no part " + part
	}
	return ""
}

var (
	row      = regexp.MustCompile(`(?m)^\| ([SR]-[A-Z]?\d+) \|.*\|$`)
	testName = regexp.MustCompile("`([a-z][a-z0-9/-]*)\\.((?:Test|Fuzz|Benchmark)\\w*)(?:/([^`]+))?`")
)

// docs/security.md has every requirement once, and each has a test that exists, or an exception with its reason.
func TestSecurityTable(t *testing.T) {
	t.Parallel()
	document, err := os.ReadFile(filepath.Join(root, "docs", "security.md"))
	if err != nil {
		t.Fatal(err)
	}
	tree := suites(t)
	seen := make(map[string]int)
	for _, found := range row.FindAllStringSubmatch(string(document), -1) {
		line, id := found[0], found[1]
		seen[id]++
		names := testName.FindAllStringSubmatch(line, -1)
		if len(names) == 0 && !strings.Contains(line, "Exception: ") {
			t.Errorf("%s has neither a test nor an exception", id)
		}
		for _, name := range names {
			if what := missing(tree, name[1], name[2], name[3]); what != "" {
				t.Errorf("%s names %s: %s", id, name[0], what)
			}
		}
	}
	for letter, n := range sections {
		for i := 1; i <= n; i++ {
			if id := fmt.Sprintf("S-%c%d", letter, i); seen[id] != 1 {
				t.Errorf("%s is there %d times", id, seen[id])
			}
			delete(seen, fmt.Sprintf("S-%c%d", letter, i))
		}
	}
	for id := range seen {
		if strings.HasPrefix(id, "S-") {
			t.Errorf("%s is no requirement", id)
		}
	}
}

// Every name of a test in the document is one that the table's test reads: none is misspelt beyond recognition.
func TestSecurityNamesAreRead(t *testing.T) {
	t.Parallel()
	document, err := os.ReadFile(filepath.Join(root, "docs", "security.md"))
	if err != nil {
		t.Fatal(err)
	}
	quoted := regexp.MustCompile("`[^`\n]*(?:Test|Fuzz|Benchmark)[A-Z][^`\n]*`").FindAllString(string(document), -1)
	if len(quoted) < 150 {
		t.Errorf("only %d names of tests", len(quoted))
	}
	for _, name := range slices.Compact(slices.Sorted(slices.Values(quoted))) {
		if testName.FindString(name) != name {
			t.Errorf("%s is not of the form `package.Test` or `package.Test/part`", name)
		}
	}
}

// The table's test would see a test that is gone.
func TestMissingTestsAreSeen(t *testing.T) {
	t.Parallel()
	tree := suites(t)
	for _, name := range [][3]string{
		{"test/nowhere", "TestSecurityTable", ""}, {"test/docs", "TestNothing", ""}, {"test/docs", "TestSecurityTable", "no " + "part"},
	} {
		if missing(tree, name[0], name[1], name[2]) == "" {
			t.Errorf("%v was found", name)
		}
	}
	if what := missing(tree, "test/docs", "TestSecurityTable", "test/docs"); what != "" {
		t.Error(what)
	}
}
