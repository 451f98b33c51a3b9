package page

import (
	"html"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/financelime/authorization/impl/locale"
)

// After these pages a user continues in the app. The others ask the user to open the link again.
var pagesWithButton = map[string]bool{
	"signup": true, "password": true, "404": true,
	"used_signup": true, "used_password": true, "used_email": true, "used_email_undo": true, "used_deletion_undo": true, "link_404": true, "link_409": true,
}

func TestPagesWithButton(t *testing.T) {
	t.Parallel()
	for _, lang := range locale.Default().Tags() {
		language := locale.Default().Lookup(lang)
		for _, name := range locale.Default().Names(textDirectory) {
			if got := fill(language, name, values{}).Button != ""; got != pagesWithButton[name] {
				t.Errorf("%s, %s: has a button: %t, want %t", lang, name, got, pagesWithButton[name])
			}
		}
	}
}

// Without AUTH_APP_URL the pages are as if there were no such setting: with it, a page differs by the button and its style alone. A page
// without a button does not differ.
func TestButtonIsTheOnlyDifference(t *testing.T) {
	t.Parallel()
	without, with := NewRenderer(service, ""), NewRenderer(service, appURL)
	compare := func(t *testing.T, f Format, name string, plain, withApp Page) {
		t.Helper()
		if strings.Contains(string(plain.Body), "<a") || strings.Contains(string(plain.Body), ".button") || strings.Contains(string(plain.Body), "app.example.com") {
			t.Errorf("%s, %s: there is something of the button without the setting", name, f)
		}
		if f == HTML && !strings.Contains(string(plain.Body), "<style>"+pageStyle(false, false)+"</style>") {
			t.Errorf("%s: the style without the setting has changed", name)
		}
		if plain.Status != withApp.Status || plain.ContentType != withApp.ContentType {
			t.Errorf("%s, %s: status %d and %d", name, f, plain.Status, withApp.Status)
		}
		body, header := string(withApp.Body), withApp.Header.Clone()
		if pagesWithButton[name] {
			button := fill(locale.Default().Lookup(withApp.Header.Get("Content-Language")), name, values{}).Button
			switch f {
			case HTML:
				body = strings.Replace(body, `<p><a class="button" href="`+html.EscapeString(appURL)+`">`+button+"</a></p>\n", "", 1)
				body = strings.Replace(body, buttonStyle, "", 1)
				header.Set("Content-Security-Policy", csp(pageStyle(false, false), false))
			case Text:
				body = strings.Replace(body, button+": "+appURL+"\n\n", "", 1)
			case JSON:
			}
		}
		if body != string(plain.Body) {
			t.Errorf("%s, %s: with the setting and without the button it is\n%s, without the setting\n%s", name, f, body, plain.Body)
		}
		if !maps.EqualFunc(header, plain.Header, func(a, b []string) bool { return strings.Join(a, ",") == strings.Join(b, ",") }) {
			t.Errorf("%s, %s: headers %v and %v", name, f, header, plain.Header)
		}
	}
	for _, f := range formats {
		for _, lang := range locale.Default().Tags() {
			for _, purpose := range purposes {
				compare(t, f, string(purpose), confirmed(t, without, f, lang, purpose), confirmed(t, with, f, lang, purpose))
			}
			for _, status := range statuses(t) {
				failure := sample
				failure.Status = status
				compare(t, f, strconv.Itoa(status), without.Failure(f, lang, failure), with.Failure(f, lang, failure))
			}
		}
	}
}

// The address of a page is a secret until it is used: the app must not learn it, and nothing else may load or lead away.
func TestPagesWithButtonStayStrict(t *testing.T) {
	t.Parallel()
	with := NewRenderer(service, appURL)
	for _, p := range []Page{
		confirmed(t, with, HTML, "en", "signup"), confirmed(t, with, HTML, "ru", "password"), with.Failure(HTML, "ru", Failure{Status: http.StatusNotFound}),
	} {
		if got := p.Header.Get("Referrer-Policy"); got != "no-referrer" {
			t.Errorf("Referrer-Policy %q", got)
		}
		policy := p.Header.Get("Content-Security-Policy")
		if !strings.HasPrefix(policy, "default-src 'none'; style-src 'sha256-") || strings.Count(policy, "'sha256-") != 1 ||
			!strings.HasSuffix(policy, "; base-uri 'none'; form-action 'none'; frame-ancestors 'none'") || strings.Contains(policy, "unsafe") ||
			strings.Contains(policy, "app.example.com") {
			t.Errorf("Content-Security-Policy %q", policy)
		}
	}
}
