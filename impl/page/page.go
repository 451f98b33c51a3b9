// Package page writes the answers to a click on a mailed link: a page for people, plain text and JSON for programs.
package page

import (
	"bytes"
	"crypto/sha256"
	_ "embed" // the template and its style
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html/template"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Page is a whole answer.
type Page struct {
	Status      int
	ContentType string
	Header      http.Header // every header but Content-Type and Content-Length
	Body        []byte
}

// Confirmed says that a link has done its work and that a password is on its way.
// Purpose is the confirmation's: "signup" or "password".
func Confirmed(format Format, lang, purpose string) Page {
	kind := passwordConfirmed
	if purpose == string(signUpConfirmed) {
		kind = signUpConfirmed
	}
	lang, text := lookUp(lang, kind)
	return write(format, lang, http.StatusOK, text, struct {
		Purpose string `json:"purpose"`
		Message string `json:"message"`
	}{string(kind), text.Title + ". " + text.Lead})
}

// Failure says why a click did not work and what to do now. In JSON it is the API's usual failure body.
func Failure(format Format, lang string, status int) Page {
	if status == http.StatusTooManyRequests {
		return TooManyRequests(format, lang, time.Minute)
	}
	lang, text := lookUp(lang, failureOf(status))
	return write(format, lang, status, text, failure(status))
}

// failureBody is the API's failure in JSON.
type failureBody struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
}

func failure(status int) failureBody {
	return failureBody{status, strconv.Itoa(status) + " " + http.StatusText(status)}
}

// TooManyRequests says when the link can be opened again.
func TooManyRequests(format Format, lang string, retryAfter time.Duration) Page {
	lang, text := lookUp(lang, tooMany)
	when := wordedWait(retryAfter, lang)
	text.Lead = strings.ReplaceAll(text.Lead, waitMark, when)
	text.Next = slices.Clone(text.Next)
	for i := range text.Next {
		text.Next[i] = strings.ReplaceAll(text.Next[i], waitMark, when)
	}
	const status = http.StatusTooManyRequests
	return write(format, lang, status, text, failure(status))
}

func lookUp(lang string, kind outcome) (string, words) {
	if _, ours := texts[lang]; !ours {
		lang = fallbackLanguage
	}
	return lang, texts[lang][kind]
}

// write puts an answer together; inJSON is its form for programs.
func write(format Format, lang string, status int, text words, inJSON any) Page {
	var body bytes.Buffer
	var err error
	switch format {
	case JSON:
		encoder := json.NewEncoder(&body)
		encoder.SetEscapeHTML(false)
		err = encoder.Encode(inJSON)
	case Text:
		writeText(&body, text)
	default:
		format = HTML
		err = htmlTemplate.Execute(&body, struct {
			words
			Lang  string
			OK    bool
			Style template.CSS
		}{text, lang, status < 400, template.CSS(style)}) //nolint:gosec // our own embedded file
	}
	if err != nil {
		// Every page there can be is made of constants and is made by a test.
		panic(fmt.Sprintf("page: write %d in %s: %v", status, format, err))
	}
	page := Page{Status: status, ContentType: format.String(), Header: header(format, lang), Body: body.Bytes()}
	if format != JSON { // JSON is UTF-8 by definition: RFC 8259, section 11
		page.ContentType += "; charset=utf-8"
	}
	return page
}

func writeText(body *bytes.Buffer, text words) {
	fmt.Fprintf(body, "%s.\n%s\n\n%s:\n", text.Title, text.Lead, text.Hint)
	for _, next := range text.Next {
		fmt.Fprintf(body, "- %s\n", next)
	}
}

func header(format Format, lang string) http.Header {
	h := http.Header{
		// The address of this page is a secret until it is used, and its content is true only now.
		"Cache-Control":           {"no-store"},
		"Referrer-Policy":         {"no-referrer"},
		"Content-Security-Policy": {CSP()},
		"X-Content-Type-Options":  {"nosniff"},
		"X-Robots-Tag":            {"noindex"},
		"Vary":                    {"Accept, Accept-Language"},
	}
	if format != JSON { // what JSON says is for programs
		h.Set("Content-Language", lang)
	}
	return h
}

//go:embed style.css
var style string

//go:embed page.html.tmpl
var htmlSource string

var htmlTemplate = template.Must(template.New("page").Parse(htmlSource))

// CSP is the content security policy of the pages: nothing is allowed but the style that they carry themselves.
func CSP() string {
	sum := sha256.Sum256([]byte(style))
	return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) +
		"'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
}
