package docs

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
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

// Every relative link in a document leads to a file, and every anchor to a heading.
func TestLinksLeadSomewhere(t *testing.T) {
	t.Parallel()
	documents, err := filepath.Glob(root + "/*.md")
	if err != nil {
		t.Fatal(err)
	}
	more, err := filepath.Glob(root + "/docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	link := regexp.MustCompile(`\]\(([^)\s]+)\)`)
	links := 0
	for _, document := range append(documents, more...) {
		content, err := os.ReadFile(document)
		if err != nil {
			t.Fatal(err)
		}
		for _, found := range link.FindAllStringSubmatch(string(content), -1) {
			if strings.Contains(found[1], "://") || strings.HasPrefix(found[1], "mailto:") {
				continue
			}
			links++
			if err := follow(document, found[1]); err != nil {
				t.Errorf("%s: %s: %v", filepath.Base(document), found[1], err)
			}
		}
	}
	if links < 50 {
		t.Errorf("only %d links were found", links)
	}
}

// follow reports why a link of a document does not lead anywhere.
func follow(document, link string) error {
	path, anchor, _ := strings.Cut(link, "#")
	target := document
	if path != "" {
		target = filepath.Join(filepath.Dir(document), path)
	}
	if anchor == "" || filepath.Ext(target) != ".md" {
		if _, err := os.Stat(target); err != nil {
			return fmt.Errorf("look for the file: %w", err)
		}
		return nil
	}
	content, err := os.ReadFile(target)
	if err != nil {
		return fmt.Errorf("read the file: %w", err)
	}
	for _, heading := range regexp.MustCompile(`(?m)^#+ (.+)$`).FindAllStringSubmatch(string(content), -1) {
		if anchorOf(heading[1]) == anchor {
			return nil
		}
	}
	return fmt.Errorf("%s has no such heading", filepath.Base(target))
}

// anchorOf returns the anchor that GitHub gives a heading.
func anchorOf(heading string) string {
	heading = strings.ToLower(strings.TrimSpace(heading))
	heading = regexp.MustCompile(`[^\p{L}\p{N} _-]`).ReplaceAllString(heading, "")
	return strings.ReplaceAll(heading, " ", "-")
}

// A link to nothing is found.
func TestBrokenLinksAreFound(t *testing.T) {
	t.Parallel()
	readme := filepath.Join(root, "README.md")
	for _, link := range []string{"docs/nothing.md", "#no-such-heading", "docs/security.md#no-such-heading", "docs/nothing.md#requirements"} {
		if follow(readme, link) == nil {
			t.Errorf("%s leads somewhere", link)
		}
	}
	for _, link := range []string{"LICENSE", "docs/security.md#requirements", "docs/keys.md#auth_secret-is-lost"} {
		if err := follow(readme, link); err != nil {
			t.Errorf("%s: %v", link, err)
		}
	}
}
