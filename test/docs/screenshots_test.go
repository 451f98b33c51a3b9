package docs

import (
	"bytes"
	"crypto/sha256"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var updateScreenshots = flag.Bool("update-screenshots", false, "record the present sources of docs/images; run `make screenshots`")

const (
	images      = root + "/docs/images"
	imagesFrom  = images + "/sources.sha256" // in the format of sha256sum
	maxImage    = 150_000                    // bytes
	pngMagic    = "\x89PNG\r\n\x1a\n"
	refreshWith = "run `make screenshots`"
)

// shown reports whether a file decides what the pictures show: templates and styles of the pages and mails, the English texts that
// are in the pictures, and the steps of the browser.
func shown(path string) bool {
	switch {
	case strings.HasPrefix(path, "impl/page/") || strings.HasPrefix(path, "impl/mail/"):
		return slices.Contains([]string{".tmpl", ".css"}, filepath.Ext(path))
	case strings.HasPrefix(path, "impl/locale/messages/en/"):
		return slices.Contains([]string{"language.json", "signup_link.txt", "signup.txt"}, filepath.Base(path))
	}
	return path == "test/browser/screenshots.test.mjs"
}

// sources lists the files that decide what the pictures show, each with its hash, in the format of sha256sum.
func sources(t *testing.T) string {
	t.Helper()
	var lines []string
	for _, dir := range []string{"impl", "test/browser"} {
		eachFile(t, filepath.Join(root, dir), "", func(path, content string) {
			name, err := filepath.Rel(root, path)
			if err != nil {
				t.Fatal(err)
			}
			if name = filepath.ToSlash(name); shown(name) {
				lines = append(lines, fmt.Sprintf("%x  %s\n", sha256.Sum256([]byte(content)), name))
			}
		})
	}
	slices.SortFunc(lines, func(a, b string) int { return strings.Compare(a[sha256.Size*2:], b[sha256.Size*2:]) })
	return strings.Join(lines, "")
}

// The README's pictures were taken of the pages as they are now.
func TestScreenshotsAreCurrent(t *testing.T) {
	t.Parallel()
	now := sources(t)
	if strings.Count(now, "\n") < 5 {
		t.Fatalf("the sources of the pictures are not where they were:\n%s", now)
	}
	if *updateScreenshots {
		if err := os.WriteFile(imagesFrom, []byte(now), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	recorded, err := os.ReadFile(imagesFrom)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range differing(string(recorded), now) {
		t.Errorf("changed since the pictures were taken: %s; %s", line, refreshWith)
	}
}

// differing returns the names of the files whose lines differ between two lists of sha256sum.
func differing(recorded, now string) []string {
	var names []string
	for _, pair := range [][2]string{{recorded, now}, {now, recorded}} {
		for line := range strings.Lines(pair[0]) {
			if !strings.Contains("\n"+pair[1], "\n"+line) {
				names = append(names, strings.TrimSpace(line[min(sha256.Size*2, len(line)-1):]))
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// A changed, a new and a missing source are found.
func TestOldScreenshotsAreFound(t *testing.T) {
	t.Parallel()
	line := func(content, name string) string {
		return fmt.Sprintf("%x  %s\n", sha256.Sum256([]byte(content)), name)
	}
	recorded := line("a", "same") + line("a", "changed") + line("a", "missing")
	now := line("a", "same") + line("b", "changed") + line("a", "new")
	if got := differing(recorded, now); !slices.Equal(got, []string{"changed", "missing", "new"}) {
		t.Errorf("found %v", got)
	}
	if got := differing(now, now); got != nil {
		t.Errorf("found %v where nothing differs", got)
	}
}

// docs/images has the pictures that the README shows, and no other; they are small PNG files.
func TestScreenshotsAreShown(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(images + "/*.png")
	if err != nil {
		t.Fatal(err)
	}
	if len(files) != 2 {
		t.Errorf("%d pictures, want 2; %s", len(files), refreshWith)
	}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.HasPrefix(content, []byte(pngMagic)) || len(content) > maxImage {
			t.Errorf("%s is no PNG file of at most %d bytes", file, maxImage)
		}
		if !strings.Contains(string(readme), "docs/images/"+filepath.Base(file)) {
			t.Errorf("the README does not show %s", file)
		}
	}
}
