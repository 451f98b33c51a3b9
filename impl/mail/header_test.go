package mail

import (
	"mime"
	netmail "net/mail"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"
)

var (
	encodedWord = regexp.MustCompile(`=\?[^? ]+\?[^? ]+\?[^? ]*\?=`)
	longToken   = regexp.MustCompile(`^([A-Za-z-]+:)? ?<[^ ]+>$`) // an address or an ID is not split
)

// checkHeaderLines checks the lines of a header against RFC 5322, section 2.1.1, and RFC 2047, section 2.
func checkHeaderLines(t testing.TB, head string) {
	t.Helper()
	for line := range strings.SplitSeq(strings.TrimSuffix(head, "\r\n"), "\r\n") {
		words := encodedWord.FindAllString(line, -1)
		switch {
		case len(line) > 998, len(line) > 78 && !longToken.MatchString(line), len(words) > 0 && len(line) > 76:
			t.Errorf("a line of %d bytes: %q", len(line), line)
		case strings.TrimSpace(line) == "":
			t.Error("a line of blanks alone")
		}
		for _, word := range words {
			if len(word) > 75 {
				t.Errorf("an encoded word of %d bytes: %q", len(word), word)
			}
			if text, err := new(mime.WordDecoder).Decode(word); err != nil || !utf8.ValidString(text) || strings.ContainsRune(text, utf8.RuneError) {
				t.Errorf("%q splits a character: %q, %v", word, text, err)
			}
		}
	}
}

func unfold(header string) string {
	return strings.ReplaceAll(strings.TrimSuffix(header, "\r\n"), "\r\n ", " ")
}

// senderNames returns realistic and difficult names of senders.
func senderNames() []string {
	return []string{
		"Financelime", "Acme, Inc.", "Acme,  Inc.", "Acme,Inc.", "a,  b,,c ,d", `The "Best" Bank`, `back\slash`, `"`, `\`, `\"`, "O'Neil & Söhne",
		"Финансы, Лайм", "ООО «Лайм»", "日本語の名前、株式会社", "مرحبا", "🏦 Bank 👩‍👩‍👧‍👦", "e\u0301", "=?utf-8?q?x?=", "a@b.c, d@e.f", `A "B" <c@d.e>`, "(comment)", "a;b:c",
		"Acme   and   Sons", "Dr. No", ".", strings.Repeat("x", 70), strings.Repeat("long name ", 20) + "end", strings.Repeat("Длинное имя ", 10) + "конец",
		strings.Repeat("x", 300), strings.Repeat("щ", 100), strings.Repeat("🏦", 50), strings.Repeat(`"\`, 60),
	}
}

// With every name of the sender, the header of each mail in each language is within the limits and has that name.
func TestHeaderOfEveryMail(t *testing.T) {
	t.Parallel()
	for _, name := range senderNames() {
		setting := `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(name) + `" <no-reply@acme.example>`
		from, err := parseSender(setting)
		if err != nil {
			t.Errorf("%q: %v", setting, err)
			continue
		}
		for _, kind := range Kinds() {
			for _, language := range []string{"en", "ru"} {
				m, err := Render(kind, language, Values{Service: from.service, Link: sampleLink, Password: "x"})
				if err != nil {
					t.Fatal(err)
				}
				for _, to := range []string{"jane@example.org", strings.Repeat("j", 64) + "@" + strings.Repeat("example.", 23) + "org"} {
					data, err := compose(from, to, sampleID, sampleDate, m)
					if err != nil {
						t.Errorf("%q: %v", name, err)
						continue
					}
					head, _, _ := strings.Cut(string(data), "\r\n\r\n")
					checkHeaderLines(t, head)
					header := parse(t, data).header
					list, err := header.AddressList("From")
					if err != nil || len(list) != 1 || list[0].Name != name || list[0].Address != "no-reply@acme.example" {
						t.Errorf("%q became %q, %v", name, header["From"], err)
					}
					if subject, err := new(mime.WordDecoder).DecodeHeader(header.Get("Subject")); err != nil || subject != m.Subject {
						t.Errorf("the subject %q became %q, %v", m.Subject, subject, err)
					}
					if list, err := header.AddressList("To"); err != nil || len(list) != 1 || list[0].Address != to {
						t.Errorf("to %q, %v", header["To"], err)
					}
				}
			}
		}
	}
}

// All spellings of a name in the setting have the same result.
func TestSenderSpellings(t *testing.T) {
	t.Parallel()
	for setting, want := range map[string]string{
		`"Acme, Inc." <no-reply@acme.example>`:               "Acme, Inc.",
		`Acme Inc <no-reply@acme.example>`:                   "Acme Inc",
		`Acme   Inc <no-reply@acme.example>`:                 "Acme Inc", // spaces between two words outside quotes count as one
		`"Acme   Inc" <no-reply@acme.example>`:               "Acme   Inc",
		`=?utf-8?q?Acme=2C_Inc=2E?= <no-reply@acme.example>`: "Acme, Inc.",
		`=?utf-8?b?0JvQsNC50Lw=?= <no-reply@acme.example>`:   "Лайм",
		`Лайм <no-reply@acme.example>`:                       "Лайм",
		`no-reply@acme.example`:                              "",
		`"\"Acme\" \\ Inc" <no-reply@acme.example>`:          `"Acme" \ Inc`,
	} {
		s := mustSender(t, setting)
		header := unfold(headerField("From", mailboxWords(s.name, s.address)...))
		got, err := netmail.ParseAddress(strings.TrimPrefix(header, "From: "))
		if err != nil || got.Name != want {
			t.Errorf("%q became %q, %v", setting, header, err)
		}
	}
}
