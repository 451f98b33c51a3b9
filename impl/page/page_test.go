package page

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/getkin/kin-openapi/openapi3"
	"golang.org/x/net/html"

	"github.com/financelime/authorization"
	"github.com/financelime/authorization/impl/link"
	"github.com/financelime/authorization/impl/locale"
	"github.com/financelime/authorization/impl/locale/localetest"
)

var (
	formats  = []Format{HTML, Text, JSON}
	purposes = []link.Purpose{link.SignUp, link.PasswordReset}
	// sample is what a failure page can show.
	sample = Failure{RequestID: "request-1", RetryAfter: 3 * time.Minute}
)

const (
	service = `Tom & "Jerry"`
	// appURL has what must be escaped in HTML. html/template percent-encodes no character of it.
	appURL = "https://app.example.com/login?from=mail&lang=%C3%BC#/log/in?a=b&c=d"
)

// statuses are the failures of a link that openapi.yaml documents, and 400: a request that the HTTP layer rejects.
func statuses(t *testing.T) []int {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromData(authorization.Spec())
	if err != nil {
		t.Fatal(err)
	}
	all := []int{400}
	for status := range doc.Paths.Value("/u/{confirmationKey}").Get.Responses.Map() {
		if code, err := strconv.Atoi(status); err != nil || code >= 400 {
			all = append(all, code)
		}
	}
	if len(all) < 7 {
		t.Fatalf("statuses %v", all)
	}
	return all
}

// confirmed renders the page about a link that worked.
func confirmed(t *testing.T, r *Renderer, f Format, lang string, purpose link.Purpose) Page {
	t.Helper()
	p, err := r.Confirmed(f, lang, purpose)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// everyPage calls check with each page in each language of a catalog. The words have a button only if the page must have it.
func everyPage(t *testing.T, catalog *locale.Catalog, appURL string, check func(t *testing.T, p Page, f Format, lang string, text words)) {
	fill := func(language *locale.Language, name string, v values) words {
		text := fill(language, name, v)
		if appURL == "" {
			text.Button = ""
		}
		return text
	}
	r := &Renderer{service: service, appURL: appURL, catalog: catalog}
	for _, lang := range catalog.Tags() {
		language := catalog.Lookup(lang)
		for _, f := range formats {
			for _, purpose := range purposes {
				t.Run(fmt.Sprintf("%s/%s/%s", lang, f, purpose), func(t *testing.T) {
					check(t, confirmed(t, r, f, lang, purpose), f, lang, fill(language, string(purpose), values{}))
				})
			}
			for _, status := range statuses(t) {
				t.Run(fmt.Sprintf("%s/%s/%d", lang, f, status), func(t *testing.T) {
					failure := sample
					failure.Status = status
					text := fill(language, strconv.Itoa(status), values{RequestID: sample.RequestID, Wait: formatWait(sample.RetryAfter, language)})
					check(t, r.Failure(f, lang, failure), f, lang, text)
				})
			}
		}
	}
}

func TestEveryPage(t *testing.T) {
	t.Parallel()
	catalog, err := locale.Load(localetest.With(t, "sl")) // a language that only this test has
	if err != nil {
		t.Fatal(err)
	}
	if catalog.Lookup("sl").Tag != "sl" {
		t.Fatal("the third language is missing")
	}
	check := func(t *testing.T, p Page, f Format, lang string, text words) {
		if !utf8.Valid(p.Body) || p.Body[len(p.Body)-1] != '\n' {
			t.Error("the body is not UTF-8 that ends with a line feed")
		}
		if !strings.HasPrefix(p.ContentType, f.String()) {
			t.Errorf("content type %q", p.ContentType)
		}
		for name, want := range map[string]string{
			"Cache-Control": "no-store", "Referrer-Policy": "no-referrer", "Content-Security-Policy": csp(pageStyle(f == HTML && text.Button != "", false), false),
			"X-Content-Type-Options": "nosniff", "Vary": "Accept, Accept-Language",
		} {
			if got := p.Header.Get(name); got != want {
				t.Errorf("%s: %q, want %q", name, got, want)
			}
		}
		switch f {
		case HTML:
			checkHTML(t, p, lang, text)
		case Text:
			checkText(t, p, text)
		case JSON:
			checkJSON(t, p, text)
		}
	}
	t.Run("without an app", func(t *testing.T) { everyPage(t, catalog, "", check) })
	t.Run("with an app", func(t *testing.T) { everyPage(t, catalog, appURL, check) })
}

// checkHTML checks what browsers, small screens, screen readers and the content policy need.
func checkHTML(t *testing.T, p Page, lang string, text words) {
	checkNesting(t, string(p.Body))
	root, err := html.Parse(strings.NewReader(string(p.Body)))
	if err != nil {
		t.Fatal(err)
	}
	count := map[string]int{}
	var links, captions []string
	var visible strings.Builder
	for n := range root.Descendants() {
		if n.Type == html.TextNode && n.Parent.Data != "style" {
			visible.WriteString(n.Data)
		}
		if n.Type != html.ElementNode {
			continue
		}
		count[n.Data]++
		for _, a := range n.Attr {
			// Nothing that fetches, runs, leads away or would need a wider policy; only the button leads to the app.
			if n.Data == "a" && a.Key == "href" {
				links = append(links, a.Val)
			} else if slices.Contains([]string{"src", "href", "srcset", "style", "action", "data"}, a.Key) || strings.HasPrefix(a.Key, "on") {
				t.Errorf("<%s> has the attribute %s=%q", n.Data, a.Key, a.Val)
			}
		}
		switch n.Data {
		case "html":
			if got := attribute(n, "lang"); got != lang {
				t.Errorf("lang=%q, want %q", got, lang)
			}
		case "style":
			sum := sha256.Sum256([]byte(n.FirstChild.Data))
			if hash := base64.StdEncoding.EncodeToString(sum[:]); !strings.Contains(p.Header.Get("Content-Security-Policy"), "'sha256-"+hash+"'") {
				t.Errorf("the style's hash %s is not in %q", hash, p.Header.Get("Content-Security-Policy"))
			}
		case "a":
			captions = append(captions, n.FirstChild.Data)
		case "script", "img", "link", "iframe", "object", "base", "textarea", "select":
			t.Errorf("<%s> has no place here", n.Data)
		case "form", "button", "input", "label":
			if text.Form == nil {
				t.Errorf("<%s> has no place here", n.Data)
			}
		case "meta":
			if attribute(n, "name") == "viewport" && !strings.Contains(attribute(n, "content"), "width=device-width") {
				t.Error("the viewport is not the device's")
			}
		}
	}
	for _, one := range []string{"html", "title", "style", "main", "h1", "svg"} {
		if count[one] != 1 {
			t.Errorf("%d <%s>, want 1", count[one], one)
		}
	}
	for _, want := range append([]string{service, text.Title, text.Lead, text.Hint, text.Note, text.Title + " – " + service}, text.Next...) {
		if !strings.Contains(visible.String(), want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	if one := len(text.Next) == 1; one == (count["ul"] == 1) || !one && count["li"] != len(text.Next) {
		t.Errorf("%d <li> in %d <ul> for %d paragraphs", count["li"], count["ul"], len(text.Next))
	}
	checkRequestID(t, p, visible.String())
	var wantLinks, wantCaptions []string
	if text.Button != "" {
		wantLinks, wantCaptions = []string{appURL}, []string{text.Button}
	}
	if !slices.Equal(links, wantLinks) || !slices.Equal(captions, wantCaptions) {
		t.Errorf("links %q to %q, want %q to %q", captions, links, wantCaptions, wantLinks)
	}
	failure := strings.Contains(string(p.Body), `class="failure"`)
	if failure != (p.Status >= 400) {
		t.Errorf("status %d, looks like a failure: %t", p.Status, failure)
	}
}

// checkRequestID checks that a person who reads about an error of the service can report it.
func checkRequestID(t *testing.T, p Page, visible string) {
	if got, want := strings.Contains(visible, sample.RequestID), p.Status == 500; got != want {
		t.Errorf("status %d shows the request ID: %t", p.Status, got)
	}
}

// checkNesting reports unclosed and wrongly closed elements, which html.Parse silently repairs.
func checkNesting(t *testing.T, source string) {
	var open []string
	for z := html.NewTokenizer(strings.NewReader(source)); ; {
		switch z.Next() {
		case html.ErrorToken:
			if len(open) != 0 {
				t.Errorf("never closed: %v", open)
			}
			return
		case html.StartTagToken:
			if name, _ := z.TagName(); string(name) != "meta" && string(name) != "input" {
				open = append(open, string(name))
			}
		case html.EndTagToken:
			name, _ := z.TagName()
			if len(open) == 0 || open[len(open)-1] != string(name) {
				t.Fatalf("</%s> closes %v", name, open)
			}
			open = open[:len(open)-1]
		}
	}
}

func attribute(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

func checkText(t *testing.T, p Page, text words) {
	body := string(p.Body)
	if got, want := strings.Contains(body, text.Button+": "+appURL+"\n"), text.Button != ""; got != want {
		t.Errorf("leads to the app: %t, want %t: %s", got, want, body)
	}
	if strings.ContainsAny(body, "<>\r") || strings.Contains(body, "&amp;") {
		t.Errorf("not plain: %s", body)
	}
	for _, want := range append([]string{service + ": " + text.Title, text.Lead, text.Hint, text.Note}, text.Next...) {
		if !strings.Contains(body, want) {
			t.Errorf("the text does not say %q", want)
		}
	}
	checkRequestID(t, p, body)
}

func checkJSON(t *testing.T, p Page, text words) {
	var got map[string]any
	if err := json.Unmarshal(p.Body, &got); err != nil {
		t.Fatal(err)
	}
	if len(got) != 2 {
		t.Errorf("fields %v", got)
	}
	if p.Status == http.StatusOK {
		if message, _ := got["message"].(string); !strings.Contains(message, text.Lead) {
			t.Errorf("message %q", message)
		}
		if !slices.Contains(purposes, link.Purpose(fmt.Sprint(got["purpose"]))) {
			t.Errorf("purpose %v", got["purpose"])
		}
		return
	}
	want := fmt.Sprintf("%d %s", p.Status, http.StatusText(p.Status))
	if got["code"] != float64(p.Status) || got["message"] != want {
		t.Errorf("got %v, want code %d and message %q", got, p.Status, want)
	}
}

func TestJSONAsDocumented(t *testing.T) {
	t.Parallel()
	r := NewRenderer(service, "")
	if got, want := string(r.Failure(JSON, "ru", Failure{Status: 404}).Body), `{"code":404,"message":"404 Not Found"}`+"\n"; got != want {
		t.Errorf("got %s want %s", got, want)
	}
	if got := string(confirmed(t, r, JSON, "en", link.PasswordReset).Body); !strings.HasPrefix(got, `{"purpose":"password","message":"The password reset is confirmed. `) {
		t.Errorf("got %s", got)
	}
}

func TestTooManyRequests(t *testing.T) {
	t.Parallel()
	for wait, want := range map[time.Duration][2]string{
		0:                        {"in 1 second.", "через 1 секунду."},
		time.Second:              {"in 1 second.", "через 1 секунду."},
		2 * time.Second:          {"in 2 seconds.", "через 2 секунды."},
		11 * time.Second:         {"in 11 seconds.", "через 11 секунд."},
		12 * time.Second:         {"in 12 seconds.", "через 12 секунд."},
		21 * time.Second:         {"in 21 seconds.", "через 21 секунду."},
		20500 * time.Millisecond: {"in 21 seconds.", "через 21 секунду."},
		90 * time.Second:         {"in 90 seconds.", "через 90 секунд."},
		91 * time.Second:         {"in 2 minutes.", "через 2 минуты."},
		175 * time.Second:        {"in 3 minutes.", "через 3 минуты."},
		5 * time.Minute:          {"in 5 minutes.", "через 5 минут."},
		61 * time.Minute:         {"in 61 minutes.", "через 61 минуту."},
		2 * time.Hour:            {"in 2 hours.", "через 2 часа."},
		25 * time.Hour:           {"in 25 hours.", "через 25 часов."},
	} {
		for i, lang := range []string{"en", "ru"} {
			p := NewRenderer(service, "").Failure(Text, lang, Failure{Status: 429, RetryAfter: wait})
			if body := strings.ReplaceAll(string(p.Body), "\u00a0", " "); p.Status != 429 || !strings.Contains(body, want[i]) ||
				strings.Contains(body, "our side") || strings.Contains(body, "нашей стороне") { // it is not the service's error
				t.Errorf("%s, %s: %s", wait, lang, body)
			}
		}
	}
}

func TestUnforeseenArguments(t *testing.T) {
	t.Parallel()
	r := NewRenderer("", "")
	if p := confirmed(t, r, HTML, "de", link.SignUp); p.Header.Get("Content-Language") != "en" || strings.Contains(string(p.Body), "–") {
		t.Errorf("an unknown language and an empty name: %s", p.Body)
	}
	for status, want := range map[int]string{418: "This link is damaged", 429: "Please wait", 502: "Something went wrong"} {
		p := r.Failure(Text, "en", Failure{Status: status})
		if p.Status != status || !strings.HasPrefix(string(p.Body), want) {
			t.Errorf("%d: status %d, %s", status, p.Status, p.Body)
		}
	}
}

// A purpose without a page is an error, also if it is the name of another page.
func TestUnknownPurpose(t *testing.T) {
	t.Parallel()
	for _, purpose := range []link.Purpose{"", "other", "404", "Signup"} {
		for _, f := range formats {
			if p, err := NewRenderer(service, "").Confirmed(f, "en", purpose); err == nil || p.Body != nil {
				t.Errorf("%q: %v, %s", purpose, err, p.Body)
			}
		}
	}
}
