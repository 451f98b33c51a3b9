package mail

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"github.com/financelime/authorization/impl/locale"
	"github.com/financelime/authorization/impl/locale/localetest"
)

// withApp renders a message for a service with AUTH_APP_URL.
func withApp(t *testing.T, language *locale.Language, kind, appURL string) Message {
	t.Helper()
	values := sampleValues(kind)
	values.AppURL = appURL
	m, err := render(language, kind, values)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// links returns the addresses and captions of the links in an HTML part.
func links(t *testing.T, source string) (addresses, captions []string) {
	t.Helper()
	root, err := html.Parse(strings.NewReader(source))
	if err != nil {
		t.Fatal(err)
	}
	for n := range root.Descendants() {
		if n.Type == html.ElementNode && n.Data == "a" {
			addresses = append(addresses, n.Attr[0].Val)
			captions = append(captions, n.FirstChild.Data)
		}
	}
	return addresses, captions
}

// A mail with a password has a button to the app and its address, in both parts. Every other mail is as without AUTH_APP_URL: it has a
// link of its own, or is a notice, which should not train its readers to follow links.
func TestMailWithApp(t *testing.T) {
	t.Parallel()
	catalog, err := locale.Load(localetest.With(t, "sl")) // a language that only this test has
	if err != nil {
		t.Fatal(err)
	}
	for _, tag := range catalog.Tags() {
		language := catalog.Lookup(tag)
		for _, kind := range allKinds {
			without, with := withApp(t, language, kind, ""), withApp(t, language, kind, sampleAppURL)
			if kind != KindPassword {
				if with != without {
					t.Errorf("%s, %s: differs with AUTH_APP_URL:\n%s", kind, tag, with.Text)
				}
				continue
			}
			checkAppMail(t, language, without, with)
		}
	}
}

func checkAppMail(t *testing.T, language *locale.Language, without, with Message) {
	t.Helper()
	text, _ := language.Text("mail/password")
	filled, err := text.Fill(struct{ Service, AppURL, Password, Life string }{"Financelime", sampleAppURL, samplePassword, "24 h"})
	if err != nil {
		t.Fatal(err)
	}
	at := slices.Index(filled.Paragraphs, sampleAppURL)
	if at < 1 {
		t.Fatalf("%s: no paragraph with the address: %q", language.Tag, filled.Paragraphs)
	}
	sentence, button := filled.Paragraphs[at-1], filled.Fields["Button"]

	// The text part: a sentence, then the address on a line of its own, exactly as configured.
	added := sentence + "\n\n" + sampleAppURL + "\n\n"
	if !strings.HasSuffix(sentence, ":") || strings.Replace(with.Text, "\n\n"+added, "\n\n", 1) != without.Text || strings.Count(with.Text, sampleAppURL) != 1 {
		t.Errorf("%s: with AUTH_APP_URL\n%s\nwithout\n%s", language.Tag, with.Text, without.Text)
	}

	// The HTML part: the sentence, the button, and the address as a link.
	addresses, captions := links(t, with.HTML)
	if !slices.Equal(addresses, []string{sampleAppURL, sampleAppURL}) || !slices.Equal(captions, []string{button, sampleAppURL}) || button == "" {
		t.Errorf("%s: the links %q lead to %q", language.Tag, captions, addresses)
	}
	for _, part := range []string{sentence, language.CopyLink} {
		if !strings.Contains(with.HTML, html.EscapeString(part)) {
			t.Errorf("%s: the HTML does not say %q", language.Tag, part)
		}
	}
	if strings.Contains(with.HTML, "mail&lang") {
		t.Errorf("%s: the ampersand is not escaped: %s", language.Tag, with.HTML)
	}
	if with.Subject != without.Subject {
		t.Errorf("%s: subject %q", language.Tag, with.Subject)
	}
	if addresses, _ := links(t, without.HTML); addresses != nil || strings.Contains(without.HTML, "</p>\n<p style=\"margin:0 0 16px\"></p>") || strings.Contains(without.Text, "\n\n\n") {
		t.Errorf("%s: without AUTH_APP_URL there is a link or an empty paragraph: %s", language.Tag, without.HTML)
	}
}

// Scanners open the links in mails, and mail programs show and log them. The link to the app is the one in the setting: it names neither
// the user nor the password.
func TestAppLinkHasNoSecret(t *testing.T) {
	t.Parallel()
	for _, tag := range allLanguages {
		addresses, _ := links(t, withApp(t, locale.Default().Lookup(tag), KindPassword, "https://app.example.org/").HTML)
		if !slices.Equal(addresses, []string{"https://app.example.org/", "https://app.example.org/"}) {
			t.Errorf("%s: links to %q", tag, addresses)
		}
	}
}

// A long address is sent in lines that every relay accepts, and arrives as one.
func TestComposeLongAppURL(t *testing.T) {
	t.Parallel()
	long := "https://app.example.org/" + strings.Repeat("p/", 200) + "?a=" + strings.Repeat("%D0%B6", 80) + "&b=c#" + strings.Repeat("=", 30)
	for _, tag := range allLanguages {
		m := withApp(t, locale.Default().Lookup(tag), KindPassword, long)
		data, err := compose(mustSender(t, sampleFrom), "jane@example.org", sampleID, sampleDate, m)
		if err != nil {
			t.Fatal(err)
		}
		for line := range bytes.Lines(data) {
			const maxLen = 76 + len("\r\n") // RFC 2045, 6.7
			if len(line) > maxLen || bytes.ContainsFunc(line, func(r rune) bool { return r > '~' }) {
				t.Errorf("a line of %d characters: %q", len(line), line)
			}
		}
		p := parse(t, data)
		if got := p.parts["text/plain; charset=UTF-8"]; got != m.Text || !strings.Contains(got, "\n"+long+"\n") {
			t.Errorf("%s: the text came out as %s", tag, got)
		}
		if addresses, _ := links(t, p.parts["text/html; charset=UTF-8"]); !slices.Equal(addresses, []string{long, long}) {
			t.Errorf("%s: the links came out as %q", tag, addresses)
		}
	}
}
