// Package locale holds every sentence that users read, in each language.
//
// A language is one folder, messages/TAG, named by a primary language subtag (BCP 47) such as "en":
//
//	language.json    the language's name, units of time and shared words
//	mail/KIND.txt    the mail of that kind: see impl/mail
//	page/NAME.txt    the page of that status or purpose: see impl/page
//
// To add a language, add a folder; no Go code changes. Only openapi.yaml lists the languages too: a sign-up with
// another one is refused. Load checks that a folder has every text of the English folder, with the same fields,
// placeholders and number of paragraphs.
package locale

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"sync"

	"golang.org/x/text/language"
)

// Fallback is the language of users whose language the service does not have.
const Fallback = "en"

//go:embed messages
var embedded embed.FS

// Default returns the catalog of the languages that are built into the service.
func Default() *Catalog { return defaultCatalog() }

//nolint:gochecknoglobals // a constant that is computed on first use
var defaultCatalog = sync.OnceValue(func() *Catalog {
	folders, err := fs.Sub(embedded, "messages")
	if err != nil {
		panic(err)
	}
	catalog, err := Load(folders)
	if err != nil {
		panic(err) // the files are part of the binary, and tests load them
	}
	return catalog
})

// Catalog is a set of languages. It never changes.
type Catalog struct {
	languages map[string]*Language
}

// Load reads a catalog: each folder of fsys is a language. Every language must have the same texts as Fallback.
func Load(fsys fs.FS) (*Catalog, error) {
	entries, err := fs.ReadDir(fsys, ".")
	if err != nil {
		return nil, fmt.Errorf("read the languages: %w", err)
	}
	c := &Catalog{languages: make(map[string]*Language)}
	for _, entry := range entries {
		folder, err := fs.Sub(fsys, entry.Name())
		if err != nil {
			return nil, fmt.Errorf("read the languages: %w", err)
		}
		if c.languages[entry.Name()], err = loadLanguage(folder, entry.Name()); err != nil {
			return nil, fmt.Errorf("language %s: %w", entry.Name(), err)
		}
	}
	model, ok := c.languages[Fallback]
	if !ok {
		return nil, fmt.Errorf("there is no language %s", Fallback)
	}
	var errs []error
	for _, tag := range c.Tags() {
		if err := c.languages[tag].compare(model); err != nil {
			errs = append(errs, fmt.Errorf("language %s: %w", tag, err))
		}
	}
	return c, errors.Join(errs...)
}

// Tags returns the tags of all languages, sorted.
func (c *Catalog) Tags() []string { return slices.Sorted(maps.Keys(c.languages)) }

// Names returns the sorted names of the texts in a directory of each language's folder, such as "mail".
func (c *Catalog) Names(directory string) []string {
	var names []string
	for name := range c.languages[Fallback].texts {
		if path.Dir(name) == directory {
			names = append(names, path.Base(name))
		}
	}
	slices.Sort(names)
	return names
}

// Lookup returns the language with a tag such as "ru", or Fallback.
func (c *Catalog) Lookup(tag string) *Language {
	if l, ok := c.languages[tag]; ok {
		return l
	}
	return c.languages[Fallback]
}

// Match returns the language for an Accept-Language header (RFC 9110, 12.5.4): the user's first choice that the catalog
// has, in any region, or Fallback. It never assumes that readers of one language can read another one.
func (c *Catalog) Match(acceptLanguage string) *Language {
	tags, _, err := language.ParseAcceptLanguage(acceptLanguage)
	if err != nil {
		return c.Lookup(Fallback)
	}
	for _, tag := range tags {
		base, confidence := tag.Base()
		if l, ok := c.languages[base.String()]; ok && confidence == language.Exact {
			return l
		}
	}
	return c.Lookup(Fallback)
}

// Primary returns the primary language subtag of a language tag, in lower case: "en" of "en-US".
func Primary(tag string) string {
	primary, _, _ := strings.Cut(tag, "-")
	return strings.ToLower(primary)
}
