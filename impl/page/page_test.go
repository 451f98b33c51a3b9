package page

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"golang.org/x/net/html"
)

var (
	languages = []string{"en", "ru"}
	formats   = []Format{HTML, Text, JSON}
	purposes  = []string{"signup", "password"}
	statuses  = []int{400, 404, 405, 413, 503, 500}
)

// everyPage calls check with each page there is.
func everyPage(t *testing.T, check func(t *testing.T, p Page, f Format, lang string, text words)) {
	for _, lang := range languages {
		for _, f := range formats {
			for _, purpose := range purposes {
				t.Run(fmt.Sprintf("%s/%s/%s", lang, f, purpose), func(t *testing.T) {
					check(t, Confirmed(f, lang, purpose), f, lang, texts[lang][outcome(purpose)])
				})
			}
			t.Run(fmt.Sprintf("%s/%s/429", lang, f), func(t *testing.T) {
				text := texts[lang][tooMany]
				text.Next = []string{strings.ReplaceAll(text.Next[0], waitMark, wordedWait(3*time.Minute, lang))}
				check(t, TooManyRequests(f, lang, 3*time.Minute), f, lang, text)
			})
			for _, status := range statuses {
				t.Run(fmt.Sprintf("%s/%s/%d", lang, f, status), func(t *testing.T) {
					check(t, Failure(f, lang, status), f, lang, texts[lang][failureOf(status)])
				})
			}
		}
	}
}

func TestEveryPage(t *testing.T) {
	t.Parallel()
	everyPage(t, func(t *testing.T, p Page, f Format, lang string, text words) {
		if !utf8.Valid(p.Body) || p.Body[len(p.Body)-1] != '\n' {
			t.Error("the body is not UTF-8 that ends with a line feed")
		}
		if !strings.HasPrefix(p.ContentType, f.String()) {
			t.Errorf("content type %q", p.ContentType)
		}
		for name, want := range map[string]string{
			"Cache-Control": "no-store", "Referrer-Policy": "no-referrer", "Content-Security-Policy": CSP(),
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
	})
}

// checkHTML holds a page against what browsers, small screens, screen readers and the content policy need.
func checkHTML(t *testing.T, p Page, lang string, text words) {
	checkNesting(t, string(p.Body))
	root, err := html.Parse(strings.NewReader(string(p.Body)))
	if err != nil {
		t.Fatal(err)
	}
	count := map[string]int{}
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
			// Nothing that fetches, runs, leads away or would need a wider policy.
			if slices.Contains([]string{"src", "href", "srcset", "style", "action", "data"}, a.Key) || strings.HasPrefix(a.Key, "on") {
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
			if hash := base64.StdEncoding.EncodeToString(sum[:]); !strings.Contains(CSP(), "'sha256-"+hash+"'") {
				t.Errorf("the style's hash %s is not in %q", hash, CSP())
			}
		case "script", "img", "link", "iframe", "form", "object", "base", "a":
			t.Errorf("<%s> has no place here", n.Data)
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
	for _, want := range append([]string{text.Title, text.Lead, text.Hint}, text.Next...) {
		if !strings.Contains(visible.String(), want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	failure := strings.Contains(string(p.Body), `class="failure"`)
	if failure != (p.Status >= 400) {
		t.Errorf("status %d, looks like a failure: %t", p.Status, failure)
	}
}

// checkNesting reports unclosed and wrongly closed elements, which html.Parse mends in silence.
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
			if name, _ := z.TagName(); string(name) != "meta" {
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
	if bytes.ContainsAny(p.Body, "<>&\r") {
		t.Errorf("not plain: %s", p.Body)
	}
	for _, want := range append([]string{text.Title, text.Lead, text.Hint}, text.Next...) {
		if !strings.Contains(string(p.Body), want) {
			t.Errorf("the text does not say %q", want)
		}
	}
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
		if !slices.Contains(purposes, fmt.Sprint(got["purpose"])) {
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
	if got, want := string(Failure(JSON, "ru", 404).Body), `{"code":404,"message":"404 Not Found"}`+"\n"; got != want {
		t.Errorf("got %s want %s", got, want)
	}
	if got := string(Confirmed(JSON, "en", "password").Body); !strings.HasPrefix(got, `{"purpose":"password","message":"The password reset is confirmed. `) {
		t.Errorf("got %s", got)
	}
}

func TestTranslationsComplete(t *testing.T) {
	t.Parallel()
	outcomes := []outcome{signUpConfirmed, passwordConfirmed, linkUseless, badRequest, wrongMethod, tooLarge, tooMany, unavailable, broken}
	if len(texts) != len(languages) {
		t.Errorf("%d languages, want %v", len(texts), languages)
	}
	for lang, pages := range texts {
		if len(pages) != len(outcomes) {
			t.Errorf("%s has %d pages, want %d", lang, len(pages), len(outcomes))
		}
		for _, kind := range outcomes {
			text, english := pages[kind], texts["en"][kind]
			if len(text.Next) != len(english.Next) {
				t.Errorf("%s, %s: %d pieces of advice, %d in English", lang, kind, len(text.Next), len(english.Next))
			}
			for _, sentence := range append([]string{text.Title, text.Lead, text.Hint}, text.Next...) {
				if sentence == "" {
					t.Errorf("%s, %s: a sentence is missing", lang, kind)
				}
				if cyrillic := strings.ContainsFunc(sentence, func(r rune) bool { return r >= 'А' && r <= 'я' }); cyrillic != (lang == "ru") {
					t.Errorf("%s, %s: not translated: %q", lang, kind, sentence)
				}
			}
		}
	}
}

// Who has to wait is told for how long, in words, and not whose fault it is.
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
		for i, lang := range languages {
			p := TooManyRequests(Text, lang, wait)
			if body := string(p.Body); p.Status != 429 || !strings.Contains(body, want[i]) || strings.Contains(body, waitMark) ||
				strings.Contains(body, "fault") || strings.Contains(body, "Дело в нас") {
				t.Errorf("%s, %s: %s", wait, lang, body)
			}
		}
	}
	if texts["en"][tooMany].Next[0] != "Open the link again in "+waitMark+"." {
		t.Error("a page was written into the table of all")
	}
}

func TestUnforeseenArguments(t *testing.T) {
	t.Parallel()
	if p := Confirmed(HTML, "de", "signup"); p.Header.Get("Content-Language") != "en" {
		t.Errorf("an unknown language is answered in %q", p.Header.Get("Content-Language"))
	}
	for status, want := range map[int]outcome{418: badRequest, 429: tooMany, 502: broken} {
		p := Failure(Text, "en", status)
		if p.Status != status || !strings.Contains(string(p.Body), texts["en"][want].Title) {
			t.Errorf("%d: status %d, %s", status, p.Status, p.Body)
		}
	}
}
