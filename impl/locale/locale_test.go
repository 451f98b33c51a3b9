package locale

import (
	"io/fs"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/financelime/authorization"
	"github.com/financelime/authorization/impl/locale/localetest"
)

func TestEmbeddedLanguages(t *testing.T) {
	t.Parallel()
	folders, err := fs.Sub(embedded, "messages")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Load(folders); err != nil {
		t.Error(err)
	}
}

// openapi.yaml is the other place that lists the languages.
func TestContractListsLanguages(t *testing.T) {
	t.Parallel()
	doc, err := openapi3.NewLoader().LoadFromData(authorization.Spec())
	if err != nil {
		t.Fatal(err)
	}
	schema := doc.Components.Schemas["SignUpRequest"].Value.Properties["language"].Value
	pattern := regexp.MustCompile(schema.Pattern)
	tags := Default().Tags()
	for first := range strings.SplitSeq("abcdefghijklmnopqrstuvwxyz", "") {
		for second := range strings.SplitSeq("abcdefghijklmnopqrstuvwxyz", "") {
			tag := first + second
			if got, want := pattern.MatchString(tag), slices.Contains(tags, tag); got != want {
				t.Errorf("openapi.yaml accepts the language %s: %t; it has a folder: %t", tag, got, want)
			}
		}
	}
	for _, tag := range tags {
		if !pattern.MatchString(tag) || !pattern.MatchString(strings.ToUpper(tag)+"-XX") || !strings.Contains(schema.Description, "`"+tag+"`") {
			t.Errorf("openapi.yaml does not accept or does not describe the language %s", tag)
		}
	}
}

// A text that lacks its translation, or has other letters in place of similar ones, is found by its alphabet.
func TestRussianIsRussian(t *testing.T) {
	t.Parallel()
	action := regexp.MustCompile(`\{\{.*?\}\}|^\w+:`)
	latin := regexp.MustCompile(`(?i)[a-z]+`)
	mixed := regexp.MustCompile(`(?i)[а-яё][a-z]|[a-z][а-яё]`)
	single := regexp.MustCompile(`(?i)(?:^|[\s«(])[вскуоиая][ \n]`)
	eachFile(t, "ru", func(t *testing.T, source string) {
		for line := range strings.Lines(source) {
			if mixed.MatchString(line) {
				t.Errorf("Latin and Cyrillic letters in one word: %q", line)
			}
			if single.MatchString(line) {
				t.Errorf("a one-letter word needs a non-breaking space after it: %q", line)
			}
			words := action.ReplaceAllString(line, "")
			words = strings.ReplaceAll(words, "IP-", "")
			if found := latin.FindString(words); found != "" {
				t.Errorf("%q is not Russian: %q", found, line)
			}
		}
	})
}

func eachFile(t *testing.T, language string, check func(t *testing.T, source string)) {
	t.Helper()
	err := fs.WalkDir(embedded, "messages/"+language, func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, textExtension) {
			return err
		}
		source, err := embedded.ReadFile(path)
		t.Run(path, func(t *testing.T) { check(t, string(source)) })
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// A folder is all that a language needs, and everything that is wrong in it is an error.
func TestAnotherLanguage(t *testing.T) {
	t.Parallel()
	catalog, err := Load(localetest.With(t, "sl"))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := strings.Join(catalog.Tags(), " "), "en ru sl"; got != want {
		t.Errorf("languages %s, want %s", got, want)
	}
	slovene := catalog.Lookup("sl")
	for n, want := range map[int]string{1: "1\u00a0day-one", 2: "2\u00a0day-two", 3: "3\u00a0day-few", 5: "5\u00a0day-other", 101: "101\u00a0day-one"} {
		if got := slovene.Duration(n, Day); got != want {
			t.Errorf("%d: %q, want %q", n, got, want)
		}
	}
	for name, c := range map[string]struct {
		change func(files fstest.MapFS)
		want   string
	}{
		"a missing text":     {func(f fstest.MapFS) { delete(f, "sl/mail/password.txt") }, "language sl: mail/password.txt is missing"},
		"a text too many":    {func(f fstest.MapFS) { f["sl/mail/x.txt"] = file("A: b\n\nc\n") }, "mail/x.txt is not in en"},
		"a foreign file":     {func(f fstest.MapFS) { f["sl/mail/password.txt~"] = file("x") }, "is neither language.json nor a text"},
		"a placeholder":      {func(f fstest.MapFS) { replace(f, "mail/password.txt", "{{.Life}}", "24 hours") }, `mail/password.txt: has the placeholders ["AppURL" "Password" "Service"]`},
		"a field":            {func(f fstest.MapFS) { replace(f, "mail/signup_link.txt", "Button:", "Buton:") }, `has the fields ["Buton" "Subject"]`},
		"a paragraph":        {func(f fstest.MapFS) { replace(f, "page/404.txt", "\n\n", "\n\nMore.\n\n") }, "page/404.txt: has"},
		"no empty line":      {func(f fstest.MapFS) { f["sl/page/404.txt"] = file("Title: x\n") }, "no empty line"},
		"no field":           {func(f fstest.MapFS) { f["sl/page/404.txt"] = file("Title\n\nx\n") }, "is not a field"},
		"an empty field":     {func(f fstest.MapFS) { f["sl/page/404.txt"] = file("Title:\n\nx\n") }, "is empty"},
		"a broken action":    {func(f fstest.MapFS) { replace(f, "page/429.txt", "{{.Wait}}", "{{.Wait") }, `page/429.txt: template`},
		"no name":            {func(f fstest.MapFS) { replace(f, "language.json", `"name": "sl"`, `"name": ""`) }, "name or copyLink is missing"},
		"a plural form":      {func(f fstest.MapFS) { replace(f, "language.json", `"two"`, `"dual"`) }, `unit day has no form "two"`},
		"no language.json":   {func(f fstest.MapFS) { delete(f, "sl/language.json") }, "language.json"},
		"no JSON":            {func(f fstest.MapFS) { f["sl/language.json"] = file("{") }, "language.json"},
		"no language's tag":  {func(f fstest.MapFS) { f["xx-YY/language.json"] = file("{}") }, "is not a primary language subtag"},
		"no tag of anything": {func(f fstest.MapFS) { f["README.md"] = file("x") }, "is not a primary language subtag"},
	} {
		files := localetest.With(t, "sl")
		c.change(files)
		if _, err := Load(files); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	if _, err := Load(fstest.MapFS{}); err == nil {
		t.Error("a catalog without English was loaded")
	}
}

func file(content string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(content)} }

func replace(files fstest.MapFS, name, from, to string) {
	files["sl/"+name] = file(strings.ReplaceAll(string(files["sl/"+name].Data), from, to))
}

func TestMatch(t *testing.T) {
	t.Parallel()
	for header, want := range map[string]string{
		"":                               "en",
		"ru":                             "ru",
		"ru-RU,ru;q=0.9,en-US;q=0.8":     "ru",
		"en-GB, ru;q=0.9":                "en",
		"ru;q=0.5, en;q=0.6":             "en",
		"de-DE, ru;q=0.5, en;q=0.2":      "ru",
		"uk, be;q=0.9, en;q=0.1":         "en", // related to Russian, but not Russian
		"de":                             "en",
		"*":                              "en",
		"ru;q=0":                         "en",
		"RU":                             "ru",
		"ru-Cyrl-BY":                     "ru",
		"not a language":                 "en",
		strings.Repeat("-", 2000):        "en",
		strings.Repeat("ru,", 100) + "!": "en",
	} {
		if got := Default().Match(header).Tag; got != want {
			t.Errorf("Match(%.40q) = %q, want %q", header, got, want)
		}
	}
}

func TestLookup(t *testing.T) {
	t.Parallel()
	for tag, want := range map[string]string{"en": "en", "ru": "ru", "": "en", "de": "en", "../x": "en"} {
		if got := Default().Lookup(tag).Tag; got != want {
			t.Errorf("Lookup(%q) = %q, want %q", tag, got, want)
		}
	}
}

func TestPrimary(t *testing.T) {
	t.Parallel()
	for tag, want := range map[string]string{"en": "en", "en-US": "en", "RU": "ru", "Ru-Cyrl-BY": "ru", "fil-PH": "fil"} {
		if got := Primary(tag); got != want {
			t.Errorf("Primary(%q) = %q, want %q", tag, got, want)
		}
	}
}

// A value is a value, whatever is in it: it begins no field, no paragraph and no action.
func TestFill(t *testing.T) {
	t.Parallel()
	text, err := parseText("Subject: For {{.Service}}\n\nOne\nline {{.Service}}.\n\nTwo.\n")
	if err != nil {
		t.Fatal(err)
	}
	filled, err := text.Fill(struct{ Service string }{"a\n\nb: {{.X}} <i>"})
	if err != nil {
		t.Fatal(err)
	}
	if filled.Fields["Subject"] != "For a\n\nb: {{.X}} <i>" || len(filled.Fields) != 1 {
		t.Errorf("fields %q", filled.Fields)
	}
	if want := []string{"One line a\n\nb: {{.X}} <i>.", "Two."}; !slices.Equal(filled.Paragraphs, want) {
		t.Errorf("paragraphs %q, want %q", filled.Paragraphs, want)
	}
	if _, err := text.Fill(struct{}{}); err == nil {
		t.Error("a missing value was filled in")
	}
}
