package docs

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"
)

var (
	// fenced and inline match code, in which nothing is a link.
	fenced = regexp.MustCompile("(?ms)^```.*?^```$")
	inline = regexp.MustCompile("`[^`\n]*`")

	heading  = regexp.MustCompile(`(?m)^#{1,6} +(.+?) *#*$`)
	linkText = regexp.MustCompile(`\[([^]]*)\]\([^)]*\)`)
	target   = regexp.MustCompile(`\]\(([^()\s]+)(?: "[^"]*")?\)`)
	htmlLink = regexp.MustCompile(`\b(?:href|src)="([^"]+)"`)

	// ours matches links to this repository on GitHub, such as the runbooks of the alerts. Their path and anchor are in this tree.
	ours = regexp.MustCompile(`https://github\.com/financelime/authorization/blob/main/([^\s"')>]+)`)
)

// anchorsOf returns the anchors that GitHub gives to the headings of a Markdown document.
func anchorsOf(document string) map[string]bool {
	anchors := make(map[string]bool)
	for _, match := range heading.FindAllStringSubmatch(fenced.ReplaceAllString(document, ""), -1) {
		text := linkText.ReplaceAllString(match[1], "$1")
		base := strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r):
				return unicode.ToLower(r)
			}
			return -1
		}, text)
		anchor := base
		for i := 1; anchors[anchor]; i++ {
			anchor = base + "-" + strconv.Itoa(i)
		}
		anchors[anchor] = true
	}
	return anchors
}

// linksOf returns the targets of all links in a Markdown document.
func linksOf(document string) []string {
	text := inline.ReplaceAllString(fenced.ReplaceAllString(document, ""), "")
	var links []string
	for _, pattern := range []*regexp.Regexp{target, htmlLink} {
		for _, match := range pattern.FindAllStringSubmatch(text, -1) {
			links = append(links, match[1])
		}
	}
	return links
}

// brokenLink returns what is wrong with a link in the file at path from, or "". Links to other sites are not checked.
func brokenLink(t *testing.T, from, link string) string {
	t.Helper()
	if strings.Contains(link, "://") || strings.HasPrefix(link, "mailto:") {
		return ""
	}
	path, anchor, hasAnchor := strings.Cut(link, "#")
	file := from
	if path != "" {
		file = filepath.Join(filepath.Dir(from), filepath.FromSlash(path))
	}
	if _, err := os.Stat(file); err != nil {
		return "there is no such file"
	}
	if !hasAnchor {
		return ""
	}
	content, err := os.ReadFile(file)
	if err != nil {
		return err.Error()
	}
	if !strings.HasSuffix(file, ".md") || !anchorsOf(string(content))[anchor] {
		return "there is no such heading"
	}
	return ""
}

// TestLinks checks that each relative link in a Markdown file leads to a file, and to a heading if it has an anchor.
func TestLinks(t *testing.T) {
	t.Parallel()
	checked := 0
	eachFile(t, root, ".md", func(path, content string) {
		for _, link := range linksOf(content) {
			checked++
			if what := brokenLink(t, path, link); what != "" {
				t.Errorf("%s: %s: %s", path, link, what)
			}
		}
	})
	if checked < 80 {
		t.Errorf("only %d links were checked", checked)
	}
}

// TestLinksToGitHub checks the links that lead to files of this repository by its address, for example from alerts.
func TestLinksToGitHub(t *testing.T) {
	t.Parallel()
	checked := 0
	for _, dir := range []string{"deploy", "docs"} {
		eachFile(t, filepath.Join(root, dir), "", func(path, content string) {
			for _, match := range ours.FindAllStringSubmatch(content, -1) {
				checked++
				if what := brokenLink(t, filepath.Join(root, "README.md"), match[1]); what != "" {
					t.Errorf("%s: %s: %s", path, match[0], what)
				}
			}
		})
	}
	if checked < 15 {
		t.Errorf("only %d links were checked", checked)
	}
}

// TestBrokenLinksAreFound checks that the two tests above would find a broken link.
func TestBrokenLinksAreFound(t *testing.T) {
	t.Parallel()
	from := filepath.Join(root, "README.md")
	for _, link := range linksOf("[a](no-such-file.md), [b](docs/keys.md#no-such-heading), [c](#no-such-heading),\n<img src=\"no.png\">") {
		if brokenLink(t, from, link) == "" {
			t.Errorf("%s was accepted", link)
		}
	}
	for _, link := range []string{"LICENSE", "docs/keys.md", "docs/keys.md#if-auth_secret-has-leaked", "https://example.com/none", "mailto:a@example.com"} {
		if what := brokenLink(t, from, link); what != "" {
			t.Errorf("%s: %s", link, what)
		}
	}
	if links := linksOf("`[a](b)`\n```sh\n[c](d)\n```\n"); len(links) != 0 {
		t.Errorf("links in code: %v", links)
	}
	anchors := anchorsOf("# A `b_c` [d](e), f!\n## A\n## A\n```\n# code\n```\n")
	for _, anchor := range []string{"a-b_c-d-f", "a", "a-1"} {
		if !anchors[anchor] {
			t.Errorf("no anchor %s in %v", anchor, anchors)
		}
	}
	if len(anchors) != 3 {
		t.Errorf("anchors: %v", anchors)
	}
}

// eachFile calls visit with each file below dir whose name has the suffix, except those that are not part of the repository.
func eachFile(t *testing.T, dir, suffix string, visit func(path, content string)) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := entry.Name()
		if entry.IsDir() {
			hidden := strings.HasPrefix(name, ".") && path != dir && name != ".github"
			if hidden || slices.Contains([]string{"bin", "data", "dist", "node_modules"}, name) { // .gitignore
				return filepath.SkipDir
			}
			return nil
		}
		if !entry.Type().IsRegular() || !strings.HasSuffix(name, suffix) {
			return nil
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		visit(path, string(content))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
