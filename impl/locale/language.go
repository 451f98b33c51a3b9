package locale

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/text/feature/plural"
	"golang.org/x/text/language"
)

// Language is the words of one language.
type Language struct {
	Tag      string // the folder's name, such as "ru"
	Name     string // what its speakers call it, such as "Русский"
	CopyLink string // what stands before the raw link of a mail, below the button

	parsed language.Tag
	units  map[Unit]map[string]string // plural category (CLDR) to word
	texts  map[string]*Text           // by path in the folder, without ".txt"
}

// Unit is a unit of time.
type Unit string

// The units of time. In language.json their words are in the case that follows "for" and "in" (accusative in Russian).
const (
	Second Unit = "second"
	Minute Unit = "minute"
	Hour   Unit = "hour"
	Day    Unit = "day"
)

// languageFile is language.json. All of it is required.
type languageFile struct {
	Name     string                     `json:"name"`
	CopyLink string                     `json:"copyLink"`
	Units    map[Unit]map[string]string `json:"units"`
}

const (
	languageFileName = "language.json"
	textExtension    = ".txt"
)

func loadLanguage(folder fs.FS, tag string) (*Language, error) {
	parsed, err := language.Parse(tag)
	if err != nil || Primary(tag) != tag {
		return nil, errors.New("the folder's name is not a primary language subtag in lower case")
	}
	data, err := fs.ReadFile(folder, languageFileName)
	if err != nil {
		return nil, err
	}
	var file languageFile
	if err := json.Unmarshal(data, &file); err != nil {
		return nil, fmt.Errorf("%s: %w", languageFileName, err)
	}
	l := &Language{
		Tag: tag, Name: file.Name, CopyLink: file.CopyLink, parsed: parsed, units: file.Units, texts: make(map[string]*Text),
	}
	return l, fs.WalkDir(folder, ".", func(file string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || file == languageFileName {
			return err
		}
		if path.Ext(file) != textExtension {
			return fmt.Errorf("%s is neither %s nor a text", file, languageFileName)
		}
		source, err := fs.ReadFile(folder, file)
		if err != nil {
			return err
		}
		text, err := parseText(string(source))
		if err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		l.texts[strings.TrimSuffix(file, textExtension)] = text
		return nil
	})
}

// Text returns the text in a file of the language's folder, named without its extension, such as "mail/password".
func (l *Language) Text(name string) (*Text, bool) {
	text, ok := l.texts[name]
	return text, ok
}

// Duration returns a number of units in words, such as "24 hours". The space between the two does not break.
func (l *Language) Duration(n int, unit Unit) string {
	return strconv.Itoa(n) + "\u00a0" + l.units[unit][l.pluralCategory(n)]
}

// pluralCategory returns the CLDR plural category of a whole number.
func (l *Language) pluralCategory(n int) string {
	return map[plural.Form]string{
		plural.Zero: "zero", plural.One: "one", plural.Two: "two", plural.Few: "few", plural.Many: "many", plural.Other: "other",
	}[plural.Cardinal.MatchPlural(l.parsed, n, 0, 0, 0, 0)]
}

// compare returns an error for everything that l lacks, or has in excess, compared with model.
func (l *Language) compare(model *Language) error {
	var errs []error
	if l.Name == "" || l.CopyLink == "" {
		errs = append(errs, fmt.Errorf("%s: name or copyLink is missing", languageFileName))
	}
	missing := make(map[string]bool)
	for n := range 1001 { // more than any duration has; plural rules look at the last two digits
		for _, unit := range []Unit{Second, Minute, Hour, Day} {
			if category := l.pluralCategory(n); l.units[unit][category] == "" {
				missing[fmt.Sprintf("%s: unit %s has no form %q", languageFileName, unit, category)] = true
			}
		}
	}
	for _, what := range slices.Sorted(maps.Keys(missing)) {
		errs = append(errs, errors.New(what))
	}
	for _, name := range slices.Sorted(maps.Keys(model.texts)) {
		text, ok := l.texts[name]
		if !ok {
			errs = append(errs, fmt.Errorf("%s%s is missing", name, textExtension))
			continue
		}
		if err := text.compare(model.texts[name]); err != nil {
			errs = append(errs, fmt.Errorf("%s%s: %w", name, textExtension, err))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(l.texts)) {
		if _, ok := model.texts[name]; !ok {
			errs = append(errs, fmt.Errorf("%s%s is not in %s", name, textExtension, model.Tag))
		}
	}
	return errors.Join(errs...)
}
