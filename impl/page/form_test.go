package page

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"github.com/financelime/authorization/impl/link"
	"github.com/financelime/authorization/impl/locale"
)

var (
	linkPurposes = []link.Purpose{link.SignUp, link.PasswordReset, link.Email, link.EmailUndo, link.DeletionUndo}
	refusals     = []Refusal{TooShort, Known, Guessable}
)

// sampleLink is a link of a purpose, with addresses that must be escaped in HTML.
func sampleLink(purpose link.Purpose) Link {
	return Link{Purpose: purpose, Email: `o'neil&sons@example.com`, Address: `"new"&old@example.com`, MinLength: 17}
}

// linkPage is a page about a link of /l/, and what it must say.
type linkPage struct {
	name   string
	render func(r *Renderer, f Format) (Page, error)
	words  func(language *locale.Language) words
	status int
}

// linkPages returns every page about a link of /l/ in a language.
func linkPages(lang string) []linkPage {
	var all []linkPage
	for _, purpose := range linkPurposes {
		l := sampleLink(purpose)
		all = append(all, linkPage{
			"open " + string(purpose), func(r *Renderer, f Format) (Page, error) { return r.Open(f, lang, l) },
			func(language *locale.Language) words {
				text := fill(language, "open_"+string(purpose), l.values())
				text.Form = newForm(language, l, "")
				return text
			}, http.StatusOK,
		}, linkPage{
			"used " + string(purpose), func(r *Renderer, f Format) (Page, error) { return r.Used(f, lang, l) },
			func(language *locale.Language) words { return fill(language, "used_"+string(purpose), l.values()) }, http.StatusOK,
		})
		for _, refusal := range refusals {
			if !l.Purpose.ChoosesPassword() {
				continue
			}
			all = append(all, linkPage{
				fmt.Sprint("refused ", purpose, " ", refusal), func(r *Renderer, f Format) (Page, error) { return r.Refused(f, lang, l, refusal) },
				func(language *locale.Language) words {
					text := fill(language, "open_"+string(purpose), l.values())
					again := fill(language, chooseName, l.values())
					text.Title, text.Lead, text.Form = again.Title, again.Lead, newForm(language, l, refusal)
					return text
				}, http.StatusUnprocessableEntity,
			})
		}
	}
	for _, status := range []int{400, 404, 405, 409, 413, 429, 500, 503} {
		failure := sample
		failure.Status, failure.OpensPage = status, true
		all = append(all, linkPage{
			fmt.Sprint(status), func(r *Renderer, f Format) (Page, error) { return r.Failure(f, lang, failure), nil },
			func(language *locale.Language) words {
				return fill(language, failureName(language, failure), values{RequestID: failure.RequestID, Wait: formatWait(failure.RetryAfter, language)})
			}, status,
		})
	}
	return all
}

func TestEveryLinkPage(t *testing.T) {
	t.Parallel()
	r := NewRenderer(service, appURL)
	for _, lang := range locale.Default().Tags() {
		for _, page := range linkPages(lang) {
			for _, f := range formats {
				t.Run(fmt.Sprintf("%s/%s/%s", lang, f, page.name), func(t *testing.T) {
					p, err := page.render(r, f)
					if err != nil {
						t.Fatal(err)
					}
					text := page.words(locale.Default().Lookup(lang))
					if p.Status != page.status {
						t.Errorf("status %d, want %d", p.Status, page.status)
					}
					form := f == HTML && text.Form != nil
					if got, want := p.Header.Get("Content-Security-Policy"), csp(pageStyle(f == HTML && text.Button != "", form), form); got != want ||
						strings.Contains(got, "form-action 'self'") != form || p.Header.Get("Referrer-Policy") != "no-referrer" {
						t.Errorf("Content-Security-Policy %q, want %q", got, want)
					}
					switch f {
					case HTML:
						checkHTML(t, p, lang, text)
						checkForm(t, p, text.Form)
					case Text:
						checkText(t, p, text)
						if text.Form != nil && text.Form.Rule != "" && !strings.Contains(string(p.Body), text.Form.Rule) {
							t.Error("the text does not say the rule")
						}
					case JSON:
						checkLinkJSON(t, p, text)
					}
				})
			}
		}
	}
}

// checkForm checks that a form works without a script, with a keyboard, a screen reader and a password manager, and says the rule before
// the mistake.
func checkForm(t *testing.T, p Page, want *form) {
	root, err := html.Parse(strings.NewReader(string(p.Body)))
	if err != nil {
		t.Fatal(err)
	}
	byTag, byID := map[string][]*html.Node{}, map[string]*html.Node{}
	for n := range root.Descendants() {
		if n.Type == html.ElementNode {
			byTag[n.Data] = append(byTag[n.Data], n)
			byID[attribute(n, "id")] = n
		}
	}
	if want == nil {
		return // checkHTML expects no form
	}
	if len(byTag["form"]) != 1 || attribute(byTag["form"][0], "method") != "post" {
		t.Fatalf("%d forms", len(byTag["form"]))
	}
	if b := byTag["button"]; len(b) != 1 || b[0].FirstChild.Data != want.Submit || want.Submit == "" || len(b[0].Attr) != 1 {
		t.Errorf("the button does not say %q", want.Submit)
	}
	if !want.ChoosesPassword {
		if len(byTag["input"])+len(byTag["label"]) != 0 {
			t.Error("there is a field")
		}
		return
	}
	if len(byTag["input"]) != 2 {
		t.Fatalf("%d fields", len(byTag["input"]))
	}
	user, field := byTag["input"][0], byTag["input"][1]
	if attribute(user, "autocomplete") != "username" || attribute(user, "value") != want.Email || attribute(user, "name") != "" || !has(user, "hidden") {
		t.Errorf("the user of the password: %v", user.Attr)
	}
	for name, value := range map[string]string{
		"name": "newPassword", "type": "password", "autocomplete": "new-password", "minlength": fmt.Sprint(want.MinLength), "value": "", "maxlength": "",
	} {
		if got := attribute(field, name); got != value {
			t.Errorf("%s=%q, want %q", name, got, value)
		}
	}
	label := byTag["label"]
	if len(label) != 1 || attribute(label[0], "for") != attribute(field, "id") || label[0].FirstChild.Data != want.Label || !has(field, "required") {
		t.Error("the field has no label, or is not required")
	}
	var described []string
	for id := range strings.FieldsSeq(attribute(field, "aria-describedby")) {
		described = append(described, byID[id].FirstChild.Data)
	}
	texts := []string{want.Rule}
	if want.Reason != "" {
		texts = []string{want.Reason, want.Rule}
	}
	if !slices.Equal(described, texts) || !strings.Contains(want.Rule, "17") {
		t.Errorf("the field is described by %q, want %q", described, texts)
	}
	if failed := want.Reason != ""; has(field, "autofocus") != failed || (attribute(field, "aria-invalid") == "true") != failed {
		t.Errorf("refused: %t; the field: %v", failed, field.Attr)
	}
}

func has(n *html.Node, name string) bool {
	return slices.ContainsFunc(n.Attr, func(a html.Attribute) bool { return a.Key == name })
}

func checkLinkJSON(t *testing.T, p Page, text words) {
	var got struct {
		Code    int
		Purpose link.Purpose
		Message string
	}
	if err := json.Unmarshal(p.Body, &got); err != nil {
		t.Fatal(err)
	}
	switch {
	case p.Status == http.StatusOK:
		if !slices.Contains(linkPurposes, got.Purpose) || got.Message != text.Title+". "+text.Lead {
			t.Errorf("got %+v", got)
		}
	case p.Status == http.StatusUnprocessableEntity:
		if got.Code != p.Status || !slices.Contains(refusals, Refusal(got.Message)) {
			t.Errorf("got %+v", got)
		}
	case got.Code != p.Status || got.Message != fmt.Sprintf("%d %s", p.Status, http.StatusText(p.Status)):
		t.Errorf("got %+v", got)
	}
}

func TestLinkJSONAsDocumented(t *testing.T) {
	t.Parallel()
	r := NewRenderer(service, "")
	refused, err := r.Refused(JSON, "ru", sampleLink(link.SignUp), Known)
	if err != nil {
		t.Fatal(err)
	}
	bad := r.Failure(JSON, "ru", Failure{Status: 400, OpensPage: true, Message: "BAD_PARAMETERS", Parameters: []string{"newPassword"}})
	for want, got := range map[string]Page{
		`{"code":422,"message":"PASSWORD_KNOWN"}`:                              refused,
		`{"code":400,"message":"BAD_PARAMETERS","parameters":["newPassword"]}`: bad,
		`{"code":409,"message":"EMAIL_TAKEN"}`:                                 r.Failure(JSON, "", Failure{Status: 409, OpensPage: true, Message: "EMAIL_TAKEN"}),
		`{"code":404,"message":"404 Not Found"}`:                               r.Failure(JSON, "", Failure{Status: 404, OpensPage: true}),
		`{"code":500,"message":"500 Internal Server Error"}`:                   r.Failure(JSON, "", Failure{Status: 500, OpensPage: true, RequestID: "x"}),
	} {
		if string(got.Body) != want+"\n" {
			t.Errorf("got %s want %s", got.Body, want)
		}
	}
}

// A purpose, or a refusal, without words is an error.
func TestUnknownLink(t *testing.T) {
	t.Parallel()
	r := NewRenderer(service, "")
	for _, f := range formats {
		for _, purpose := range []link.Purpose{"", "other", "404", "Signup"} {
			_, openErr := r.Open(f, "en", Link{Purpose: purpose})
			_, usedErr := r.Used(f, "en", Link{Purpose: purpose})
			_, refusedErr := r.Refused(f, "en", Link{Purpose: purpose}, Known)
			if openErr == nil || usedErr == nil || refusedErr == nil {
				t.Errorf("%q has a page", purpose)
			}
		}
		if _, err := r.Refused(f, "en", sampleLink(link.SignUp), "PASSWORD_UNCHANGED"); err == nil {
			t.Error("a refusal without words has a page")
		}
	}
}
