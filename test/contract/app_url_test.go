package contract

import (
	"bytes"
	"html"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/financelime/authorization/test/harness"
	"github.com/financelime/authorization/test/harness/smtprecorder"
)

const (
	configuredAppURL = "https://App.b\u00fccher.example/\u0432\u0445\u043e\u0434?from=mail&lang=ru#/log/in"
	appURL           = "https://app.xn--bcher-kva.example/%D0%B2%D1%85%D0%BE%D0%B4?from=mail&lang=ru#/log/in"
)

// TestAppURL tests that the pages and the mails with a password lead to the app that the operator configured, and to no other.
func TestAppURL(t *testing.T) {
	t.Parallel()
	harness.EachEngine(t, func(t *testing.T, engine string) {
		s := harness.Start(t, binary, contract, engine, "AUTH_APP_URL="+configuredAppURL)
		code := s.Invite(t, 10)
		for _, language := range []string{"en", "ru"} {
			p := newPerson(t, s)
			p.language = language
			p.want("sign up", p.signUp(code).StatusCode(), 204)
			p.wantPageWithApp(p.mail().Link(t))
			p.wantMailWithApp(p.mail())
			p.want("reset", p.resetPassword().StatusCode(), 204)
			p.wantPageWithApp(p.mail().Link(t))
			p.wantMailWithApp(p.mail())
		}
		otherFormats(t, s, code)
		redirectParameters(t, s, code)
	})
}

// hrefs matches the addresses of the links in HTML.
var hrefs = regexp.MustCompile(`<a [^>]*href="([^"]*)"`)

// linksIn returns the addresses of the links in a page or a mail.
func linksIn(source string) []string {
	var links []string
	for _, match := range hrefs.FindAllStringSubmatch(source, -1) {
		links = append(links, html.UnescapeString(match[1]))
	}
	return links
}

// wantPageWithApp opens a link, and again when it is used up: both pages lead to the app, and do not disclose the link to it.
func (p *person) wantPageWithApp(link *url.URL) {
	p.t.Helper()
	key := strings.TrimPrefix(link.Path, "/u/")
	for _, want := range []int{http.StatusOK, http.StatusNotFound} {
		header := http.Header{"Accept": {"text/html"}, "Accept-Language": {p.language}}
		response, body := send(p.t, p.s, http.MethodGet, link.RequestURI(), header, "")
		p.want("open the link", response.StatusCode, want)
		caption := map[string]string{"en": ">Back to the app</a>", "ru": ">Вернуться в\u00a0приложение</a>"}[p.language]
		if links := linksIn(body); !slices.Equal(links, []string{appURL}) || !strings.Contains(body, caption) {
			p.t.Errorf("%d, %s: links %q, want %q as %q", want, p.language, links, appURL, caption)
		}
		if got := response.Header.Get("Referrer-Policy"); got != "no-referrer" {
			p.t.Errorf("%d: Referrer-Policy %q: the app would learn the address of the page", want, got)
		}
		if policy := response.Header.Get("Content-Security-Policy"); !strings.HasPrefix(policy, "default-src 'none'; style-src 'sha256-") {
			p.t.Errorf("%d: Content-Security-Policy %q", want, policy)
		}
		if strings.Contains(body, key) || strings.Contains(body, "<script") {
			p.t.Errorf("%d: the page has its key or a script: %s", want, body)
		}
	}
}

// wantMailWithApp checks a mail with a password: its links are the configured address, without anything about the user.
func (p *person) wantMailWithApp(m harness.Mail) {
	p.t.Helper()
	m.Password(p.t)
	caption := map[string]string{"en": ">Open the app</a>", "ru": ">Открыть приложение</a>"}[p.language]
	if links := linksIn(m.HTML); !slices.Equal(links, []string{appURL, appURL}) || !strings.Contains(m.HTML, caption) {
		p.t.Errorf("the mail %q has the links %q, want twice %q, once as %q", m.Subject, links, appURL, caption)
	}
	if !strings.Contains(m.Text, "\n\n"+appURL+"\n\n") {
		p.t.Errorf("the text of the mail %q does not have the address as a paragraph:\n%s", m.Subject, m.Text)
	}
}

// otherFormats checks the page as text, and that JSON, which the app itself reads, is as without the setting.
func otherFormats(t *testing.T, s *harness.Service, code string) {
	t.Helper()
	for accept, want := range map[string]string{"text/plain": "\n\nBack to the app: " + appURL + "\n\n", "application/json": ""} {
		p := newPerson(t, s)
		p.want("sign up", p.signUp(code).StatusCode(), 204)
		link := p.mail().Link(t)
		for _, status := range []int{http.StatusOK, http.StatusNotFound} {
			response, body := send(t, s, http.MethodGet, link.RequestURI(), http.Header{"Accept": {accept}}, "")
			p.want("open the link", response.StatusCode, status)
			if !strings.Contains(body, want) || want == "" && strings.Contains(body, "bcher") {
				t.Errorf("%d %s: %s", status, accept, body)
			}
		}
	}
}

// redirectParameters checks that nothing in a request changes where the page leads.
func redirectParameters(t *testing.T, s *harness.Service, code string) {
	t.Helper()
	page := func(path string, header http.Header) (int, string) {
		t.Helper()
		response, body := send(t, s, http.MethodGet, path, header, "")
		if location := response.Header.Get("Location"); location != "" {
			t.Errorf("%s: Location %q", path, location)
		}
		return response.StatusCode, body
	}
	every := url.Values{}
	for _, name := range []string{
		"redirect", "redirect_uri", "redirect_url", "redirectTo", "redirect_to", "next", "app", "app_url", "appUrl", "AUTH_APP_URL", "url", "uri", "return",
		"return_to", "returnTo", "return_url", "continue", "callback", "target", "to", "goto", "dest", "destination", "origin", "referer", "r", "u",
	} {
		every.Set(name, "https://evil.example/"+name)
	}
	headers := http.Header{
		"Referer": {"https://evil.example/"}, "Origin": {"https://evil.example"}, "X-Forwarded-Host": {"evil.example"}, "X-Forwarded-Proto": {"http"},
		"Forwarded": {"host=evil.example"}, "X-Original-Url": {"https://evil.example/"}, "X-Rewrite-Url": {"https://evil.example/"},
	}
	unknown := "/u/" + strings.Repeat("A", 43) + "?rid=" + rid()
	status, plain := page(unknown, nil)
	for name, values := range every {
		for _, value := range []string{values[0], "//evil.example", `javascript:alert(1)`, `"><a href=https://evil.example>`} {
			if gotStatus, got := page(unknown+"&"+url.Values{name: {value}}.Encode(), nil); gotStatus != status || got != plain {
				t.Errorf("?%s=%s changes the page: %d %s", name, value, gotStatus, got)
			}
		}
	}
	if gotStatus, got := page(unknown, headers); gotStatus != status || got != plain {
		t.Errorf("headers change the page: %d %s", gotStatus, got)
	}
	var pages []string // about links that work
	for _, changes := range []struct {
		query  string
		header http.Header
	}{{"", nil}, {"&" + every.Encode(), headers}} {
		p := newPerson(t, s)
		p.want("sign up", p.signUp(code).StatusCode(), 204)
		status, body := page(p.mail().Link(t).RequestURI()+changes.query, changes.header)
		p.want("open the link", status, 200)
		pages = append(pages, body)
	}
	if pages[0] != pages[1] || strings.Contains(pages[1], "evil") {
		t.Errorf("the request changes the page: %s", pages[1])
	}
}

// TestNoAppURL tests that without the setting neither pages nor mails lead anywhere.
func TestNoAppURL(t *testing.T) {
	t.Parallel()
	harness.EachEngine(t, func(t *testing.T, engine string) {
		s := harness.Start(t, binary, contract, engine)
		p := newPerson(t, s)
		p.want("sign up", p.signUp(s.Invite(t, 1)).StatusCode(), 204)
		link := p.mail().Link(t)
		for _, accept := range []string{"text/html", "text/plain"} {
			_, body := send(t, s, http.MethodGet, link.RequestURI(), http.Header{"Accept": {accept}}, "")
			if strings.Contains(body, "<a") || strings.Contains(body, "http") || strings.Contains(body, "button") {
				t.Errorf("%s: there is something of a button: %s", accept, body)
			}
		}
		if m := p.mail(); linksIn(m.HTML) != nil || strings.Contains(m.Text, "http") || strings.Contains(m.Text, "open the app") || strings.Contains(m.Text, "\n\n\n") {
			t.Errorf("the mail leads somewhere: %s", m.Text)
		}
	})
}

// TestAppURLOverSMTP tests what a relay receives: a long address, in short lines.
func TestAppURLOverSMTP(t *testing.T) {
	t.Parallel()
	harness.EachEngine(t, func(t *testing.T, engine string) {
		long := "https://app.example.com/" + strings.Repeat(".", 90) + "?a=b&c=" + strings.Repeat("%D0%B6", 100) + "#" + strings.Repeat("=&", 60)
		relay := new(smtprecorder.Recorder).Start(t)
		s := harness.Start(t, binary, contract, engine, relay.Setting(), "AUTH_APP_URL="+long)
		p := newPerson(t, s)
		received := func(n int) *smtprecorder.Message {
			t.Helper()
			eventually(t, "the relay receives a mail", func() bool { return len(relay.To(p.email)) >= n })
			m := relay.To(p.email)[n-1]
			if err := m.Err(); err != nil {
				t.Fatal(err)
			}
			return m
		}
		p.want("sign up", p.signUp(s.Invite(t, 1)).StatusCode(), 204)
		link, err := url.Parse(received(1).Link())
		p.must(err)
		if strings.Contains(received(1).Text(), long) {
			t.Errorf("the mail with a link to confirm leads to the app, too:\n%s", received(1).Text())
		}
		p.want("open the link", p.open(link).StatusCode, 200)
		m := received(2)
		if !strings.Contains(m.Text(), "\n\n"+long+"\n\n") || m.Password() == "" {
			t.Errorf("the text came out as\n%s", m.Text())
		}
		p.password = m.Password()
		p.login()
		for line := range bytes.Lines([]byte(m.Wire)) {
			const maxLen = 76 + len("\r\n") + 1 // RFC 2045, 6.7, and a dot that SMTP adds
			if len(line) > maxLen || bytes.ContainsFunc(line, func(r rune) bool { return r > '~' }) {
				t.Errorf("a line of %d bytes: %q", len(line), line)
			}
		}
	})
}
