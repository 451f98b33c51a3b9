package mail

import (
	"bytes"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	netmail "net/mail"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
)

var (
	sampleID   = uuid.MustParse("01932f6e-7c1a-7b3c-8d4e-5f6a7b8c9d0e")
	sampleDate = time.Date(2026, 5, 17, 8, 9, 10, 123456000, time.UTC)
)

const sampleFrom = "Financelime <no-reply@financelime.com>"

func mustSender(t testing.TB, from string) sender {
	t.Helper()
	s, err := parseSender(from)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// parsed is a mail read with the standard library, independently of what wrote it.
type parsed struct {
	header netmail.Header
	parts  map[string]string
}

func parse(t testing.TB, data []byte) parsed {
	t.Helper()
	m, err := netmail.ReadMessage(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	mediaType, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil || mediaType != "multipart/alternative" {
		t.Fatalf("content type %q: %v", m.Header.Get("Content-Type"), err)
	}
	p := parsed{header: m.Header, parts: map[string]string{}}
	for reader := multipart.NewReader(m.Body, params["boundary"]); ; {
		part, err := reader.NextPart()
		if errors.Is(err, io.EOF) {
			return p
		}
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(part)
		if err != nil {
			t.Fatal(err)
		}
		p.parts[part.Header.Get("Content-Type")] = strings.ReplaceAll(string(body), "\r\n", "\n")
	}
}

func TestCompose(t *testing.T) {
	t.Parallel()
	eachMessage(t, func(t *testing.T, kind, language string) {
		m := mustRender(t, kind, language)
		data, err := compose(mustSender(t, sampleFrom), "jane.doe+x@example.org", sampleID, sampleDate, m)
		if err != nil {
			t.Fatal(err)
		}
		p := parse(t, data)
		for name, want := range map[string]string{
			"From":             `"Financelime" <no-reply@financelime.com>`,
			"To":               "<jane.doe+x@example.org>",
			"Message-Id":       "<01932f6e-7c1a-7b3c-8d4e-5f6a7b8c9d0e@financelime.com>",
			"Date":             "Sun, 17 May 2026 08:09:10 +0000",
			"Auto-Submitted":   "auto-generated",
			"Content-Language": language,
			"Mime-Version":     "1.0",
		} {
			if got := p.header[name]; len(got) != 1 || got[0] != want {
				t.Errorf("%s: %q, want %q", name, got, want)
			}
		}
		subject, err := new(mime.WordDecoder).DecodeHeader(p.header.Get("Subject"))
		if err != nil || subject != m.Subject || len(p.header["Subject"]) != 1 {
			t.Errorf("subject %q, want %q (%v)", subject, m.Subject, err)
		}
		if len(p.header) != 9 { // those, the subject and the content type
			t.Errorf("headers %v", p.header)
		}
		if p.parts["text/plain; charset=UTF-8"] != m.Text || p.parts["text/html; charset=UTF-8"] != m.HTML || len(p.parts) != 2 {
			t.Errorf("the parts came out as %v", p.parts)
		}
		for line := range strings.Lines(string(data)) {
			if !strings.HasSuffix(line, "\r\n") && !strings.HasSuffix(string(data), line) || len(line) > 998 {
				t.Errorf("a bad line: %q", line)
			}
		}
		if strings.ContainsFunc(string(data), func(r rune) bool { return r > 126 }) {
			t.Error("not ASCII: it would need 8BITMIME")
		}
	})
}

func TestComposeRefusesRecipients(t *testing.T) {
	t.Parallel()
	m := mustRender(t, KindPassword, "en")
	for _, to := range []string{
		"", "@", "a@", "@b.com", "ab.com", "a@b.com,c@d.com", "a@b.com c@d.com", "a@b.com\r\nBcc: c@d.com", "a@b.com\nX: y",
		"a@b.com\r", "a@b.com\x00", "<a@b.com>", "Foo <a@b.com>", "a@b.com (x)", `"a b"@b.com`,
		`"x@evil.com x"@internal.domain`, "a@b.com> SIZE=1", "a@b@c.com", "a@[127.0.0.1]", "a@b.com\t", "a:b@c.com;",
		"ä@example.org", "a@exämple.org", "a@b.com\u2028", "a\u760d\u760ab@c.com", strings.Repeat("a", 250) + "@b.com",
	} {
		if _, err := compose(mustSender(t, sampleFrom), to, sampleID, sampleDate, m); err == nil {
			t.Errorf("a mail was made for %q", to)
		} else if to != "" && len(to) > 2 && strings.Contains(err.Error(), to) {
			t.Errorf("the error tells the address: %v", err)
		}
	}
}

func TestComposeRefusesSubjects(t *testing.T) {
	t.Parallel()
	for _, subject := range []string{"a\r\nBcc: x@y.z", "a\nb", "a\rb", "a\x00b", "a\x1bb", "a\u0085b", "a\u2028b", "a\xffb"} {
		_, err := compose(mustSender(t, sampleFrom), "a@b.com", sampleID, sampleDate, Message{Subject: subject, Text: "x", HTML: "x"})
		if err == nil {
			t.Errorf("subject %q was accepted", subject)
		}
	}
}

func TestParseSender(t *testing.T) {
	t.Parallel()
	for from, want := range map[string]sender{
		"Financelime <no-reply@financelime.com>": {"Financelime", "no-reply@financelime.com", "financelime.com", "Financelime"},
		"no-reply@example.org":                   {"", "no-reply@example.org", "example.org", "example.org"},
		`"Doe, Jane" <jane@example.org>`:         {"Doe, Jane", "jane@example.org", "example.org", "Doe, Jane"},
	} {
		if got := mustSender(t, from); got != want {
			t.Errorf("%q: got %+v, want %+v", from, got, want)
		}
	}
	for _, from := range []string{
		"", "nobody", "Foo <>", "a@b.com, c@d.com", "A <a@b.com>\r\nBcc: c@d.com", "A\n<a@b.com>", "A\x00 <a@b.com>",
		"=?utf-8?q?A=0D=0ABcc:_x?= <a@b.com>", `"x y"@b.com`, "Имя <имя@пример.рф>", "A <a@[127.0.0.1]>",
	} {
		_, err := parseSender(from)
		if err == nil || !strings.HasPrefix(err.Error(), "AUTH_MAIL_FROM ") && !strings.HasPrefix(err.Error(), "AUTH_MAIL_FROM:") {
			t.Errorf("%q: %v", from, err)
		}
	}
}

// The library that builds the mail takes addresses apart at commas; names with them must come out whole all the same.
func TestComposeSenderNames(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"Doe, Jane", "Финансы, Лайм", `A "B" <c@d.e>`, "a@b.c, d@e.f", "ООО «Лайм»", "=?utf-8?q?x?="} {
		from := (&netmail.Address{Name: name, Address: "no-reply@financelime.com"}).String()
		data, err := compose(mustSender(t, from), "a@b.com", sampleID, sampleDate, mustRender(t, KindPassword, "ru"))
		if err != nil {
			t.Fatal(err)
		}
		p := parse(t, data)
		list, err := p.header.AddressList("From")
		if err != nil || len(list) != 1 || len(p.header["From"]) != 1 {
			t.Fatalf("%q came out as %q: %v", name, p.header["From"], err)
		}
		if got := strings.Join(strings.Fields(list[0].Name), " "); got != name || list[0].Address != "no-reply@financelime.com" {
			t.Errorf("%q came out as %q", name, p.header["From"])
		}
	}
}
