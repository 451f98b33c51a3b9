package account

import (
	"bytes"
	"io/fs"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	pages "github.com/financelime/authorization/impl/page"
)

func config() Config {
	return Config{
		Service: "Financelime", AppURL: "https://app.example.com/", MinLength: 15, InviteRequired: true, DeletionGrace: 7 * 24 * time.Hour,
	}
}

// sources returns the page, and its files as they are written: Assets removes comments and blanks.
func sources(t *testing.T) (page string, assets map[string]string) {
	t.Helper()
	html, err := Page(config())
	if err != nil {
		t.Fatal(err)
	}
	names, err := fs.Glob(files, "*")
	if err != nil {
		t.Fatal(err)
	}
	assets = make(map[string]string, len(names))
	for _, name := range names {
		body, err := fs.ReadFile(files, name)
		if err != nil {
			t.Fatal(err)
		}
		assets[name] = string(body)
	}
	return string(html), assets
}

// A phone with a slow connection loads the page soon: everything together has at most 60 KB. A user loads one language.
func TestSize(t *testing.T) {
	t.Parallel()
	const most = 60 << 10
	page, _ := sources(t)
	assets, err := Assets()
	if err != nil {
		t.Fatal(err)
	}
	size, largest := len(page), 0
	for name, asset := range assets {
		if strings.HasPrefix(name, "words-") {
			largest = max(largest, len(asset.Body))
		} else {
			size += len(asset.Body)
		}
	}
	if size += largest; size > most || largest == 0 {
		t.Errorf("the page and its files have %d bytes, more than %d", size, most)
	}
}

// What is served has no comment, and is the same at each start, so that the ETag of a file changes only with the file.
func TestAssetsAreMinified(t *testing.T) {
	t.Parallel()
	_, written := sources(t)
	first, err := Assets()
	if err != nil {
		t.Fatal(err)
	}
	second, err := Assets()
	if err != nil {
		t.Fatal(err)
	}
	for name, asset := range first {
		if len(asset.Body) == 0 || len(asset.Body) >= len(written[name])+len(pages.Colors()) || bytes.Contains(asset.Body, []byte("\n//")) {
			t.Errorf("%s is not minified: %d bytes of %d", name, len(asset.Body), len(written[name]))
		}
		if !bytes.Equal(asset.Body, second[name].Body) {
			t.Errorf("%s differs between two starts", name)
		}
	}
}

// The page loads its own files only, each of them, and each import finds its file.
func TestFiles(t *testing.T) {
	t.Parallel()
	page, assets := sources(t)
	loaded := map[string]bool{}
	for _, match := range regexp.MustCompile(`(?:src|href)="([^"#]+)"`).FindAllStringSubmatch(page, -1) {
		if match[1] != config().AppURL {
			loaded[strings.TrimPrefix(match[1], "account/")] = true
		}
	}
	for name, body := range assets {
		for _, match := range regexp.MustCompile(`(?:from |import\()'([^']+)'`).FindAllStringSubmatch(body, -1) {
			loaded[strings.TrimPrefix(match[1], "./")] = true
		}
		if !regexp.MustCompile(`^[a-z0-9.-]{1,64}$`).MatchString(name) {
			t.Errorf("openapi.yaml does not allow the name %s", name)
		}
	}
	if got, want := slices.Sorted(maps.Keys(loaded)), slices.Sorted(maps.Keys(assets)); !slices.Equal(got, want) {
		t.Errorf("the page loads %v, but there are %v", got, want)
	}
}

// Nothing turns text into code, and nothing is inline: the policy of the page would stop it in the browser only.
func TestNoInjection(t *testing.T) {
	t.Parallel()
	page, assets := sources(t)
	for name, body := range assets {
		for _, sink := range []string{"innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function", "setAttribute('on", "DOMParser", "cookie"} {
			if strings.Contains(body, sink) {
				t.Errorf("%s has %s", name, sink)
			}
		}
	}
	if found := regexp.MustCompile(`(?i) (on[a-z]+|style)=|<style|<script(?: [a-z]+="[a-z/.]+")*>[^<]`).FindString(page); found != "" {
		t.Errorf("the page has %q", found)
	}
}

// Nothing that is pasted is cut off: a password without its end would be stored, and refused elsewhere (ASVS 6.2.8).
func TestNothingIsCutOff(t *testing.T) {
	t.Parallel()
	page, _ := sources(t)
	if strings.Contains(page, "maxlength") {
		t.Error("a browser cuts off what is pasted into a field with maxlength")
	}
}

// A name or URL with markup stays text.
func TestPageEscapes(t *testing.T) {
	t.Parallel()
	c := config()
	c.Service, c.AppURL = `"><script>alert(1)</script>`, `javascript:alert(1)`
	page, err := Page(c)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(page), "<script>alert") || strings.Contains(string(page), `href="javascript:`) {
		t.Errorf("the page has markup of its settings:\n%s", page)
	}
}

var (
	wordLine    = regexp.MustCompile(`(?m)^  (\w+): '(.*)',$`)
	placeholder = regexp.MustCompile(`\{\w+(?::\w+)?\}`)
)

// words returns the texts of a language by key. Every line of the file is a text, so none is overlooked.
func words(t *testing.T, source string) map[string]string {
	t.Helper()
	_, body, _ := strings.Cut(source, "export default {\n")
	body, _, found := strings.Cut(body, "};")
	if !found {
		t.Fatalf("no texts in:\n%s", source)
	}
	texts := map[string]string{}
	for line := range strings.Lines(body) {
		if strings.TrimSpace(line) == "" {
			continue
		}
		match := wordLine.FindStringSubmatch(strings.TrimSuffix(line, "\n"))
		if match == nil {
			t.Fatalf("not a text: %s", line)
		}
		if _, twice := texts[match[1]]; twice {
			t.Errorf("two texts %s", match[1])
		}
		texts[match[1]] = match[2]
	}
	return texts
}

// The languages have the same texts with the same values, and the page uses each of them. Russian one-letter words stay with the next word.
func TestWords(t *testing.T) {
	t.Parallel()
	page, assets := sources(t)
	withoutCode, err := Page(Config{}) // has the texts of a page without required invite codes
	if err != nil {
		t.Fatal(err)
	}
	english, russian := words(t, assets["words-en.js"]), words(t, assets["words-ru.js"])
	delete(assets, "words-en.js")
	delete(assets, "words-ru.js")
	code := strings.Join(slices.Collect(maps.Values(assets)), "\n")
	html := page + string(withoutCode)
	for key, text := range english {
		values := func(s string) []string {
			return slices.Sorted(slices.Values(placeholder.FindAllString(strings.ToLower(s), -1)))
		}
		if translated, known := russian[key]; !known || !slices.Equal(values(text), values(translated)) {
			t.Errorf("%s: %q in English, %q in Russian", key, text, translated)
		}
		if !strings.Contains(html, `"`+key+`"`) && !strings.Contains(code, "'"+key+"'") {
			t.Errorf("nothing uses the text %s", key)
		}
	}
	for key, text := range russian {
		if _, known := english[key]; !known {
			t.Errorf("%s is only in Russian", key)
		}
		if found := regexp.MustCompile(`(?i)(?:^|[\s(«])[вкосуияа] `).FindString(text); found != "" {
			t.Errorf("%s: %q needs a no-break space", key, found)
		}
	}
	for _, match := range regexp.MustCompile(`data-(?:t|label)="(\w[^"]*)"`).FindAllStringSubmatch(html, -1) {
		if _, known := english[match[1]]; !known {
			t.Errorf("the page has no text %s", match[1])
		}
	}
}

// The page learns from its HTML whether the service has passkeys: it shows nothing about them otherwise.
func TestPageWithoutPasskeys(t *testing.T) {
	t.Parallel()
	for _, has := range []bool{true, false} {
		c := config()
		c.Passkeys = has
		page, err := Page(c)
		if err != nil {
			t.Fatal(err)
		}
		if got := bytes.Contains(page, []byte(" data-passkeys>")); got != has {
			t.Errorf("with passkeys: %t, the page says %t", has, got)
		}
	}
}
