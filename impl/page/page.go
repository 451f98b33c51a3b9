// Package page renders the responses about mailed links: HTML for people, plain text or JSON for programs.
//
// The words of a page are page/NAME.txt in each language's folder of impl/locale: Title, Hint and perhaps Note as fields, then one
// paragraph about what happened, then a paragraph for each thing that the user can do. A page about a failure is named by its
// status, a page about a link that worked by the purpose of the link.
//
// The links of /l/ have pages of their own: open_PURPOSE has the form, used_PURPOSE says that the link worked, link_STATUS is a
// failure, if it differs from that of /u/. choose.txt has the words around the field for a password. See form.go.
//
// A page whose words have the field Button is one after which the user continues in the app: a link that worked, and one that no
// longer works. If the service has the app's URL (AUTH_APP_URL), the page has a button that leads there. The other failures ask the
// user to open the link again, so they have none.
package page

import (
	"bytes"
	_ "embed" // the template and its style
	"encoding/json"
	"fmt"
	"html/template"
	"net/http"
	"strconv"
	"time"

	"github.com/financelime/authorization/impl/digest"
	"github.com/financelime/authorization/impl/link"
	"github.com/financelime/authorization/impl/locale"
)

// Page is a complete response.
type Page struct {
	Status      int
	ContentType string
	Header      http.Header // every header but Content-Type and Content-Length
	Body        []byte
}

// Renderer renders the pages of a service.
type Renderer struct {
	service string
	appURL  string
	catalog *locale.Catalog
}

// NewRenderer returns a Renderer of pages that name the service and lead to the app at appURL, an http or https URL. An empty name and
// an empty URL are left out. Nothing in a request changes the URL, so the pages are no open redirect.
func NewRenderer(service, appURL string) *Renderer {
	return &Renderer{service: service, appURL: appURL, catalog: locale.Default()}
}

// Failure is what a page about a failure depends on.
type Failure struct {
	Status     int
	OpensPage  bool          // the link opens a page (/l/)
	RequestID  string        // a page about a status of 500 shows it
	RetryAfter time.Duration // a page about a status of 429 shows it
	Message    string        // the message in JSON; empty: the status and its text
	Parameters []string      // the rejected parameters in JSON; may be empty
}

// Confirmed renders the page about a link that worked. The language is the user's. A purpose without a page is an error.
func (r *Renderer) Confirmed(format Format, language string, purpose link.Purpose) (Page, error) {
	switch purpose {
	case link.SignUp, link.PasswordReset:
	default:
		return Page{}, fmt.Errorf("no page for a link with the purpose %q", purpose)
	}
	in := r.catalog.Lookup(language)
	words := fill(in, string(purpose), values{})
	return r.write(format, in, http.StatusOK, words, struct {
		Purpose link.Purpose `json:"purpose"`
		Message string       `json:"message"`
	}{purpose, words.Title + ". " + words.Lead}), nil
}

// Failure renders the page about a link that did not work. The language is that of the Accept-Language header, because it is not
// known whose link it was. The JSON is that of any failure of the API.
func (r *Renderer) Failure(format Format, acceptLanguage string, f Failure) Page {
	language := r.catalog.Match(acceptLanguage)
	words := fill(language, failureName(language, f), values{
		RequestID: f.RequestID, Wait: formatWait(f.RetryAfter, language),
	})
	return r.write(format, language, f.Status, words, f.JSON())
}

// FailureJSON is the JSON of a failure: CommonFailure and its relatives in openapi.yaml, such as CommonFailure400.
type FailureJSON struct {
	Code       int      `json:"code"`
	Message    string   `json:"message"`
	Parameters []string `json:"parameters,omitempty"`
}

// JSON returns the failure as JSON.
func (f Failure) JSON() FailureJSON {
	message := f.Message
	if message == "" {
		message = strconv.Itoa(f.Status) + " " + http.StatusText(f.Status)
	}
	return FailureJSON{f.Status, message, f.Parameters}
}

// failureName returns the name of the page about a failure. A status without a page has that of its class.
func failureName(language *locale.Language, f Failure) string {
	class := http.StatusInternalServerError
	if f.Status < class {
		class = http.StatusBadRequest
	}
	for _, status := range []int{f.Status, class} {
		names := []string{strconv.Itoa(status)}
		if f.OpensPage {
			names = []string{"link_" + names[0], names[0]}
		}
		for _, name := range names {
			if _, ok := language.Text(textDirectory + "/" + name); ok {
				return name
			}
		}
	}
	panic(fmt.Sprintf("page: no page for the class %d", class)) // a test renders every class
}

// textDirectory is the directory of a language's folder that has the words of pages.
const textDirectory = "page"

// values are the values in the words of a page.
type values struct {
	RequestID string
	Wait      string

	Email, Address string // of Link
	MinLength      int
}

// words are the words of one page.
type words struct {
	Title string
	Lead  string   // what happened
	Hint  string   // introduces Next
	Next  []string // what the user can do now
	Note  string   // may be empty

	Button string // the caption of the button that leads to the app; empty on a page without one
	Form   *form  // nil on a page without one
}

func fill(language *locale.Language, name string, v values) words {
	filled := fillText(language, name, v)
	return words{
		Title: filled.Fields["Title"], Lead: filled.Paragraphs[0], Hint: filled.Fields["Hint"], Next: filled.Paragraphs[1:],
		Note: filled.Fields["Note"], Button: filled.Fields["Button"],
	}
}

func fillText(language *locale.Language, name string, v values) locale.Filled {
	text, ok := language.Text(textDirectory + "/" + name)
	if !ok {
		panic(fmt.Sprintf("page: no page %q", name)) // only names of pages get here
	}
	filled, err := text.Fill(v)
	if err != nil {
		panic(fmt.Sprintf("page: fill %s in %s: %v", name, language.Tag, err)) // a test fills every page
	}
	return filled
}

// write renders a page; asJSON is its form for programs.
func (r *Renderer) write(format Format, language *locale.Language, status int, text words, asJSON any) Page {
	if r.appURL == "" {
		text.Button = ""
	}
	hasForm := format == HTML && text.Form != nil
	style := pageStyle(format == HTML && text.Button != "", hasForm)
	var body bytes.Buffer
	var err error
	switch format {
	case JSON:
		encoder := json.NewEncoder(&body)
		encoder.SetEscapeHTML(false)
		err = encoder.Encode(asJSON)
	case Text:
		r.writeText(&body, text)
	default:
		format = HTML
		err = htmlTemplate.Execute(&body, struct {
			words
			Service, Lang, AppURL string
			OK                    bool
			Style                 template.CSS
		}{text, r.service, language.Tag, r.appURL, status < 400, template.CSS(style)}) //nolint:gosec // our own embedded files
	}
	if err != nil {
		panic(fmt.Sprintf("page: write %d in %s: %v", status, format, err)) // a test renders every page
	}
	page := Page{Status: status, ContentType: format.String(), Header: header(format, language.Tag, csp(style, hasForm)), Body: body.Bytes()}
	if format != JSON { // JSON is UTF-8 by definition: RFC 8259, section 11
		page.ContentType += "; charset=utf-8"
	}
	return page
}

func (r *Renderer) writeText(body *bytes.Buffer, text words) {
	if r.service != "" {
		fmt.Fprintf(body, "%s: ", r.service)
	}
	fmt.Fprintf(body, "%s.\n%s\n\n", text.Title, text.Lead)
	if text.Form != nil {
		text.Form.writeText(body)
	}
	if text.Button != "" {
		fmt.Fprintf(body, "%s: %s\n\n", text.Button, r.appURL)
	}
	fmt.Fprintf(body, "%s:\n", text.Hint)
	for _, next := range text.Next {
		fmt.Fprintf(body, "- %s\n", next)
	}
	if text.Note != "" {
		fmt.Fprintf(body, "\n%s\n", text.Note)
	}
}

func header(format Format, lang, policy string) http.Header {
	h := http.Header{
		// The address of a page is secret until it is used, and its content is true only now. The app must not receive it as a Referer.
		"Cache-Control":           {"no-store"},
		"Referrer-Policy":         {"no-referrer"},
		"Content-Security-Policy": {policy},
		"X-Content-Type-Options":  {"nosniff"},
		"X-Robots-Tag":            {"noindex"},
		"Vary":                    {"Accept, Accept-Language"},
	}
	if format != JSON { // the language of JSON is not the user's: most of it is for programs
		h.Set("Content-Language", lang)
	}
	return h
}

//go:embed colors.css
var colors string

// Colors returns the CSS variables with the colors of the pages, light and dark, for other pages of the same family.
func Colors() string { return colors }

//go:embed style.css
var baseStyle string

//go:embed button.css
var buttonStyle string

//go:embed form.css
var formStyle string

// pageStyle returns the style of a page. A page without a button and without a form has none for them.
func pageStyle(button, form bool) string {
	style := colors + baseStyle
	if button || form {
		style += buttonStyle
	}
	if form {
		style += formStyle
	}
	return style
}

//go:embed page.html.tmpl
var htmlSource string

var htmlTemplate = template.Must(template.New("page").Parse(htmlSource))

// csp returns the content security policy of a page with a style. It allows nothing but that inline style and, if the page has a form, to
// send it to this service.
func csp(style string, form bool) string {
	action := "'none'"
	if form {
		action = "'self'"
	}
	return "default-src 'none'; style-src " + digest.CSPSource(style) + "; base-uri 'none'; form-action " + action + "; frame-ancestors 'none'"
}
