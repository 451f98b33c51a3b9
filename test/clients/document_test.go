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

// quoted is a block of code, and the comment before it that says which region of which file it is.
var quoted = regexp.MustCompile("(?ms)^(?:<!-- (\\S+)#(\\S+) -->\n)?```(\\w+)\n(.*?)^```$")

// Every block of code in docs/clients.md is a region of a file that is compiled and run:
// `go test ./test/clients -update` copies it.
func TestDocumentQuotesTheCode(t *testing.T) {
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
			t.Errorf("a block of code that is quoted from nowhere:\n%s", block)
			return block
		}
		want := readRegion(t, filepath.Join(root, file), region)
		if code != want && !*update {
			t.Errorf("%s#%s has changed; go test ./test/clients -update copies it", file, region)
		}
		return "<!-- " + file + "#" + region + " -->\n```" + language + "\n" + want + "```"
	})
	if fences := strings.Count("\n"+string(content), "\n```"); blocks < 10 || fences != 2*blocks {
		t.Errorf("%d blocks of code, %d fences", blocks, fences)
	}
	if *update {
		if err := os.WriteFile(path, []byte(current), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// readRegion returns what stands between the comments `#region name` and `#endregion`.
func readRegion(t *testing.T, path, name string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	region := regexp.MustCompile(`(?ms)^(?://|#) #region ` + regexp.QuoteMeta(name) + `\n(.*?)^(?://|#) #endregion$`).FindSubmatch(content)
	if region == nil {
		t.Fatalf("%s has no region %s", path, name)
	}
	return strings.TrimSpace(string(region[1])) + "\n"
}
