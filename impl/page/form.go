package page

import (
	"bytes"
	"fmt"
	"net/http"

	"github.com/financelime/authorization/impl/link"
	"github.com/financelime/authorization/impl/locale"
)

// Link is what the pages about a link of /l/ depend on.
type Link struct {
	Purpose   link.Purpose
	Email     string // the account's address
	Address   string // the address that the account gets; empty if the link changes no address
	MinLength int    // of a chosen password, in characters
}

func (l Link) values() values {
	return values{Email: l.Email, Address: l.Address, MinLength: l.MinLength}
}

// Refusal is why a chosen password was refused. The values are those of openapi.yaml.
type Refusal string

// The refusals.
const (
	TooShort  Refusal = "PASSWORD_TOO_SHORT"
	Known     Refusal = "PASSWORD_KNOWN"
	Guessable Refusal = "PASSWORD_GUESSABLE"
)

// form is the form of a page. Without ChoosesPassword, it is one button.
type form struct {
	Submit          string // the caption of the button
	ChoosesPassword bool
	Email           string // for password managers: whose password it is
	Label, Rule     string
	Reason          string // why the last password was refused; may be empty
	MinLength       int
}

// linkJSON is the JSON of a page about a link of /l/.
type linkJSON struct {
	Purpose link.Purpose `json:"purpose"`
	Message string       `json:"message"`
}

// Open renders the page on which the user decides. The language is the user's. A purpose without a page is an error.
func (r *Renderer) Open(format Format, language string, l Link) (Page, error) {
	in := r.catalog.Lookup(language)
	words, err := linkWords(in, "open_", l)
	if err != nil {
		return Page{}, err
	}
	words.Form = newForm(in, l, "")
	return r.write(format, in, http.StatusOK, words, linkJSON{l.Purpose, words.Title + ". " + words.Lead}), nil
}

// Used renders the page about a link that worked.
func (r *Renderer) Used(format Format, language string, l Link) (Page, error) {
	in := r.catalog.Lookup(language)
	words, err := linkWords(in, "used_", l)
	if err != nil {
		return Page{}, err
	}
	return r.write(format, in, http.StatusOK, words, linkJSON{l.Purpose, words.Title + ". " + words.Lead}), nil
}

// Refused renders the page of Open again, with the reason why the password was refused. A refusal without words is an error.
func (r *Renderer) Refused(format Format, language string, l Link, refusal Refusal) (Page, error) {
	in := r.catalog.Lookup(language)
	words, err := linkWords(in, "open_", l)
	if err != nil {
		return Page{}, err
	}
	if words.Form = newForm(in, l, refusal); words.Form.Reason == "" {
		return Page{}, fmt.Errorf("no words for the refusal %q", refusal)
	}
	again := fill(in, chooseName, l.values())
	words.Title, words.Lead = again.Title, again.Lead
	failure := Failure{Status: http.StatusUnprocessableEntity, Message: string(refusal)}
	return r.write(format, in, failure.Status, words, failure.JSON()), nil
}

// linkWords returns the words of a page about a link.
func linkWords(language *locale.Language, prefix string, l Link) (words, error) {
	switch l.Purpose {
	case link.SignUp, link.PasswordReset, link.Email, link.EmailUndo, link.DeletionUndo:
		return fill(language, prefix+string(l.Purpose), l.values()), nil
	default:
		return words{}, fmt.Errorf("no page for a link with the purpose %q", l.Purpose)
	}
}

// chooseName is the name of the text around the field for a password.
const chooseName = "choose"

func newForm(language *locale.Language, l Link, refusal Refusal) *form {
	f := &form{Submit: fillText(language, "open_"+string(l.Purpose), l.values()).Fields["Submit"]}
	if !l.Purpose.ChoosesPassword() {
		return f
	}
	choose := fillText(language, chooseName, l.values())
	f.ChoosesPassword, f.Email, f.MinLength = true, l.Email, l.MinLength
	f.Label, f.Rule = choose.Fields["Label"], choose.Paragraphs[1]
	if name, ok := map[Refusal]string{TooShort: "Short", Known: "Known", Guessable: "Guessable"}[refusal]; ok {
		f.Reason = choose.Fields[name]
	}
	return f
}

// writeText writes what the form says. A text has no form: the link must be opened in a browser.
func (f *form) writeText(body *bytes.Buffer) {
	for _, line := range []string{f.Reason, f.Rule} {
		if line != "" {
			fmt.Fprintf(body, "%s\n\n", line)
		}
	}
}
