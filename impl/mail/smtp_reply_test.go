package mail

import (
	"bufio"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/financelime/authorization/test/testca"
)

// eachLine changes every line of a reply: its code, its separator and its text.
func eachLine(change func(code, separator, text string) string) func(string) string {
	return func(reply string) string {
		var out []string
		for line := range strings.SplitSeq(reply, "\r\n") {
			out = append(out, change(line[:3], line[3:4], line[4:]))
		}
		return strings.Join(out, "\r\n")
	}
}

// keepingMeaning changes every reply except those to EHLO and AUTH LOGIN, whose text matters.
func keepingMeaning(change func(code, separator, text string) string) func(string) string {
	style := eachLine(change)
	return func(reply string) string {
		if strings.HasPrefix(reply, "250-recorder") || strings.HasPrefix(reply, "334 ") {
			return reply
		}
		return style(reply)
	}
}

// Every form of a reply that RFC 5321 allows is accepted, and the mail is sent once.
func TestSMTPAcceptsEveryLegalReply(t *testing.T) {
	t.Parallel()
	ca := testca.New(t)
	for name, style := range map[string]func(string) string{
		"code alone": keepingMeaning(func(code, _, _ string) string { return code }),
		"no text":    keepingMeaning(func(code, _, _ string) string { return code + " " }),
		"several lines without text": keepingMeaning(func(code, _, _ string) string {
			return code + "-\r\n" + code + "-\r\n" + code
		}),
		"several lines, the last with a blank": keepingMeaning(func(code, _, text string) string {
			return code + "-" + text + "\r\n" + code + " "
		}),
		"lower case": eachLine(func(code, separator, text string) string { return code + separator + strings.ToLower(text) }),
		"mixed case": eachLine(func(code, separator, text string) string {
			mixed := []byte(strings.ToUpper(text))
			for i := 0; i < len(mixed); i += 2 {
				mixed[i] = strings.ToLower(text)[i]
			}
			return code + separator + string(mixed)
		}),
		"a tab":                eachLine(func(code, separator, text string) string { return code + separator + "\t" + text }),
		"enhanced codes alone": keepingMeaning(func(code, _, _ string) string { return code + " " + code[:1] + ".0.0" }),
		"lines of 512 bytes": keepingMeaning(func(code, separator, text string) string {
			return code + separator + text + strings.Repeat("x", 512-6-len(text))
		}),
		"lines of 10,000 bytes": keepingMeaning(func(code, separator, text string) string {
			return code + separator + text + strings.Repeat(" x", 5000)
		}),
		"a hundred lines": keepingMeaning(func(code, _, text string) string {
			return strings.Repeat(code+"-"+text+"\r\n", 99) + code + " " + text
		}),
		"other codes of the same class": keepingMeaning(func(code, separator, text string) string {
			return map[string]string{"220": "220", "250": "251", "235": "235", "354": "354", "221": "221"}[code] + separator + text
		}),
		"252 and others": keepingMeaning(func(code, separator, text string) string { return code[:1] + "59" + separator + text }),
		"unknown keywords": func(reply string) string {
			if strings.HasPrefix(reply, "250-recorder") {
				return strings.Replace(reply, "recorder\r\n", "recorder\r\n250-X-UNKNOWN a=b c\r\n250-\r\n250-LIMITS MAILMAX=1\r\n250-auth\r\n", 1)
			}
			return reply
		},
		"bytes beyond ASCII": keepingMeaning(func(code, separator, text string) string { return code + separator + "\xff\xfeпривет" + text }),
	} {
		for _, mechanism := range []string{"PLAIN", "LOGIN"} {
			for _, segment := range []int{0, 1, 3} {
				if strings.Contains(name, "0 bytes") && segment == 1 {
					continue // a system call for each byte
				}
				t.Run(name+" "+mechanism, func(t *testing.T) {
					t.Parallel()
					r := (&recorder{
						tls: ca.Server(t, "localhost", time.Hour), auth: mechanism, password: "secret", style: style, segment: segment,
					}).start(t)
					transport := open(t, "smtp://user:secret@localhost:"+r.port+"?ca="+ca.File, 10*time.Second)
					if err := transport.Send(t.Context(), sampleEnvelope()); err != nil {
						t.Fatal(err)
					}
					if _, mails := r.recorded(); len(mails) != 1 {
						t.Errorf("%d mails", len(mails))
					}
				})
			}
		}
	}
}

// An old relay refuses EHLO and has no extensions.
func TestSMTPHelo(t *testing.T) {
	t.Parallel()
	for _, refusal := range []string{"500", "502 5.5.1 unknown command", "550 no"} {
		r := (&recorder{answer: func(verb string) string { return map[string]string{"EHLO": refusal}[verb] }}).start(t)
		if err := open(t, "smtp://127.0.0.1:"+r.port+"?tls=none", 10*time.Second).Send(t.Context(), sampleEnvelope()); err != nil {
			t.Fatal(err)
		}
		r.expect(t, sessionLines("", "EHLO financelime.com", "HELO financelime.com"))
	}
}

// Some relays still use the old spelling "AUTH=".
func TestSMTPOldSpellingOfAuth(t *testing.T) {
	t.Parallel()
	r := (&recorder{auth: "PLAIN", password: "secret", style: func(reply string) string {
		return strings.ReplaceAll(reply, "250-AUTH PLAIN", "250-auth=CRAM-MD5\r\n250-AUTH=plain")
	}}).start(t)
	if err := open(t, "smtp://user:secret@127.0.0.1:"+r.port+"?tls=none", 10*time.Second).Send(t.Context(), sampleEnvelope()); err != nil {
		t.Error(err)
	}
}

// A command line has at most 512 bytes: a long password is sent on a line of its own.
func TestSMTPLongPassword(t *testing.T) {
	t.Parallel()
	secret := strings.Repeat("s", 1000)
	for _, mechanism := range []string{"PLAIN", "LOGIN"} {
		r := (&recorder{auth: mechanism, password: secret}).start(t)
		if err := open(t, "smtp://user:"+secret+"@127.0.0.1:"+r.port+"?tls=none", 10*time.Second).Send(t.Context(), sampleEnvelope()); err != nil {
			t.Errorf("%s: %v", mechanism, err)
		}
		lines, _ := r.recorded()
		for _, line := range lines {
			if len(line) > 510 {
				t.Errorf("%s: a line of %d bytes", mechanism, len(line))
			}
		}
	}
}

func TestReadReply(t *testing.T) {
	t.Parallel()
	for wire, want := range map[string]struct {
		code int
		text string
	}{
		"250\r\n":                         {250, ""},
		"250 \r\n":                        {250, ""},
		"250\n":                           {250, ""},
		"250 ok\r\n":                      {250, "ok"},
		"250-\r\n250\r\n":                 {250, "\n"},
		"250-a\r\n250-b\r\n250 c\r\n":     {250, "a\nb\nc"},
		"250-a\r\nb\r\n\r\n250 c\r\n":     {250, "a\nb\n\nc"},
		"250-a\r\n550 c\r\n":              {550, "a\nc"},
		"220" + strings.Repeat("x", 5000): {},
		"250ok\r\n":                       {},
		"25\r\n":                          {},
		"\r\n":                            {},
		"":                                {},
		"250":                             {},
		"250 ok":                          {},
		"250-ok\r\n":                      {},
		"250-ok\r\n250":                   {},
		"150 ok\r\n":                      {},
		"650 ok\r\n":                      {},
		"2a0 ok\r\n":                      {},
		"SSH-2.0-x\r\n":                   {},
		strings.Repeat("250-x\r\n", 20_000) + "250\r\n": {},
		"250 " + strings.Repeat("x", maxReply):          {},
	} {
		for name, reader := range map[string]io.Reader{
			"whole": strings.NewReader(wire), "byte by byte": iotest.OneByteReader(strings.NewReader(wire)),
		} {
			got, err := readReply(bufio.NewReader(reader))
			if got.code != want.code || got.text() != want.text || (err == nil) != (want.code != 0) {
				t.Errorf("%.40q %s: got %d %q, %v", wire, name, got.code, got.text(), err)
			}
			if err != nil && errors.Is(err, io.EOF) != (wire == "" || wire == "250-ok\r\n") {
				t.Errorf("%.40q: %v", wire, err)
			}
		}
	}
}

func TestEnhancedCode(t *testing.T) {
	t.Parallel()
	for line, want := range map[string][2]int{
		"550 5.1.1 no": {1, 1}, "550 5.7.1": {7, 1}, "450 4.7.25 x": {7, 25}, "550 5.7.606 banned": {7, 606}, "550-5.7.1 a": {7, 1},
		"550 no": {}, "550": {}, "550 4.1.1 class of another": {}, "550 5.1.1no": {}, "550 5.1": {}, "550 5.0.0 other": {}, "550 x 5.1.1": {},
	} {
		code, _, text, ok := parseReplyLine(line)
		subject, detail, found := reply{code: code, lines: []string{text}}.enhanced()
		if !ok || found && [2]int{subject, detail} != want || found != (want != [2]int{}) {
			t.Errorf("%q: %d.%d, %t", line, subject, detail, found)
		}
	}
}
