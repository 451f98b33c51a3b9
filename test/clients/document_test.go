package clients

import (
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the quoted code into docs/clients.md")

// quoted matches a block of code, and the comment before it with the file and the region.
var quoted = regexp.MustCompile("(?ms)^(?:<!-- (\\S+)#(\\S+) -->\n)?```(\\w+)\n(.*?)^```$")

// TestDocumentQuotesCode checks that every block of code in docs/clients.md is a region of a file that is compiled and run.
// `go test ./test/clients -update` copies the regions.
func TestDocumentQuotesCode(t *testing.T) {
	t.Parallel()
	root := filepath.Join("..", "..")
	path := filepath.Join(root, "docs", "clients.md")
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	blocks := 0
	current := quoted.ReplaceAllStringFunc(string(content), func(block string) string {
		blocks++
		match := quoted.FindStringSubmatch(block)
		file, region, language, code := match[1], match[2], match[3], match[4]
		if file == "" {
			t.Errorf("a block of code without a file and region:\n%s", block)
			return block
		}
		want := readRegion(t, filepath.Join(root, file), region)
		if code != want && !*update {
			t.Errorf("%s#%s has changed; go test ./test/clients -update copies it", file, region)
		}
		return "<!-- " + file + "#" + region + " -->\n```" + language + "\n" + want + "```"
	})
	if fences := strings.Count("\n"+string(content), "\n```"); blocks < 2 || fences != 2*blocks {
		t.Errorf("%d blocks of code, %d fences", blocks, fences)
	}
	if *update {
		if err := os.WriteFile(path, []byte(current), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// readRegion returns the text between the comments `#region name` and `#endregion`, without the indentation that all its lines have.
func readRegion(t *testing.T, path, name string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	pattern := regexp.MustCompile(`(?ms)^([ \t]*)(?://|#) #region ` + regexp.QuoteMeta(name) + `\n(.*?)^[ \t]*(?://|#) #endregion$`)
	region := pattern.FindSubmatch(content)
	if region == nil {
		t.Fatalf("%s has no region %s", path, name)
	}
	text := regexp.MustCompile(`(?m)^`+string(region[1])).ReplaceAllString(string(region[2]), "")
	return strings.TrimSpace(text) + "\n"
}
