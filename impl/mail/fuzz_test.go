package mail

import (
	"bytes"
	"crypto/tls"
	"io"
	"mime"
	"net"
	netmail "net/mail"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// However a mail URL is misspelt, no complaint shows the password; and what is accepted sends nothing without TLS to
// another machine.
func FuzzMailURL(f *testing.F) {
	for _, seed := range [][2]string{
		{"", "@mail.example.com:587"}, {"x/y", "@host"}, {"12?", "@host"}, {"#", "@host:1"}, {"%zz", "@host"}, {":", "@[::1]:25?tls=none"},
		{"", "@127.0.0.1?tls=none"}, {"", "@host?tls=none"}, {"", "@host?helo=a&helo=b"}, {"", "@host?ca=/etc/hostname"}, {"", "@host:0"}, {"@", "@localhost?tls=none"},
		{" ", "@host/path"}, {"\n", "@host"}, {"%0d%0a", "@host"}, {"&x=", "@host?x"},
	} {
		f.Add("smtp", seed[0], seed[1])
		f.Add("smtps", seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, scheme, before, rest string) {
		if scheme = strings.ToLower(scheme); scheme != "smtp" && scheme != "smtps" || strings.Contains(rest, "hunter2") {
			return
		}
		text := scheme + "://user:" + before + "hunter2" + rest
		r, err := openSMTP(text, "example.org", time.Second)
		if err != nil {
			if !strings.HasPrefix(err.Error(), "AUTH_MAIL_URL ") || strings.Contains(err.Error(), "hunter2") {
				t.Fatalf("%q: %v", text, err)
			}
			return
		}
		port, err := strconv.Atoi(r.port)
		switch {
		case r.host == "", err != nil, port < 1, port > 65535, r.implicitTLS != (scheme == "smtps"):
			t.Fatalf("%q became %s:%s", text, r.host, r.port)
		case r.plain && (!isLoopback(r.host) || r.implicitTLS):
			t.Fatalf("%q is sent to %s without TLS", text, r.host)
		case !r.plain && (r.tls == nil || r.tls.ServerName != r.host || r.tls.MinVersion < tls.VersionTLS12 || r.tls.InsecureSkipVerify):
			t.Fatalf("%q: TLS %+v", text, r.tls)
		case (r.user == "") != (r.pass == ""):
			t.Fatalf("%q: a user or a password alone", text)
		case strings.ContainsAny(r.helo, " \r\n"), strings.ContainsAny(r.user+r.pass, "\r\n\x00"):
			t.Fatalf("%q: more than one command", text)
		}
	})
}

// AUTH_MAIL_FROM is one plain address, and its header reads as what it was.
func FuzzSender(f *testing.F) {
	for _, seed := range []string{
		"Financelime <no-reply@financelime.com>", "a@b.com", `"Doe, Jane" <jane@example.org>`, "=?utf-8?q?A=0D=0ABcc:_x?= <a@b.com>",
		"Имя <a@b.com>", "A <a@b.com>\r\nBcc: c@d.com", "a@b.com, c@d.com", "A (x) <a@b.com>", "<@x:a@b.com>",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, from string) {
		s, err := parseSender(from)
		if err != nil {
			return
		}
		header := headerField("From", mailboxWords(s.name, s.address)...)
		checkHeaderLines(t, header)
		header = strings.TrimPrefix(unfold(header), "From: ")
		again, err := netmail.ParseAddress(header)
		if err != nil || again.Address != s.address || again.Name != s.name || bareAddress(s.address) != nil || strings.ContainsAny(header, "\r\n\x00") ||
			!strings.HasSuffix(s.address, "@"+s.domain) || strings.TrimSpace(s.service) == "" {
			t.Fatalf("%q became %+v: %v", from, s, err)
		}
	})
}

// Whatever stands in a row, a mail goes to its one address, has the headers that it should have and no others, and
// passes every relay: lines of ASCII that end with CRLF.
func FuzzCompose(f *testing.F) {
	f.Add("a@b.com", "Hello", "text", "<p>html</p>")
	f.Add("a@b.com\r\nBcc: c@d.com", "Привет", "строка\nстрока", "x")
	f.Add("a@b.com,c@d.com", "a\r\nBcc: x@y.z", strings.Repeat("x", 5000), strings.Repeat("é", 3000))
	f.Add("a!b%c@d.com", strings.Repeat("Щ", 500), ".\r\n.\n\r\r\n", "\x00\xff")
	f.Add("=?utf-8?q?x?=@b.com", "=?utf-8?q?=0D=0ABcc:_x?=", "a  \n b \t\n", "--x--")
	from, err := parseSender(sampleFrom)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, to, subject, text, html string) {
		data, err := compose(from, to, sampleID, sampleDate, Message{Language: "en", Subject: subject, Text: text, HTML: html})
		if err != nil || text == "" || html == "" { // no message of ours lacks a part
			return
		}
		p := parse(t, data)
		for _, name := range []string{"From", "To", "Subject", "Message-Id", "Date", "Auto-Submitted", "Content-Language", "Mime-Version", "Content-Type"} {
			if len(p.header[name]) != 1 {
				t.Fatalf("%s: %q", name, p.header[name])
			}
		}
		list, err := p.header.AddressList("To")
		if err != nil || len(list) != 1 || list[0].Address != to || len(p.header) > 9 {
			t.Fatalf("for %q: %v, %v", to, p.header, err)
		}
		head, _, _ := strings.Cut(string(data), "\r\n\r\n")
		checkHeaderLines(t, head)
		decoded, err := new(mime.WordDecoder).DecodeHeader(p.header.Get("Subject"))
		if err != nil || decoded != subject {
			t.Fatalf("subject %q became %q: %v", subject, decoded, err)
		}
		for line := range strings.Lines(string(data)) {
			body := strings.TrimSuffix(line, "\r\n")
			if strings.ContainsAny(body, "\r\n") && !strings.HasSuffix(string(data), line) || len(line) > 998 {
				t.Fatalf("a bad line: %q", line)
			}
		}
		if bytes.ContainsFunc(data, func(r rune) bool { return r > 126 || r == 0 }) {
			t.Fatal("not ASCII")
		}
	})
}

var finalReply = regexp.MustCompile(`(?m)^([0-9]{3})(?:[ \t]|\r*$)`)

// Whatever a relay replies, send succeeds only if the relay accepted the mail, and the relay gets one mail with one recipient at most.
func FuzzSMTPReplies(f *testing.F) {
	for _, seed := range []string{
		"220 x\r\n250 x\r\n250 ok\r\n250 ok\r\n354 go\r\n250 ok\r\n221 bye\r\n",
		"220 x\r\n250-x\r\n250 AUTH PLAIN\r\n235 in\r\n250 ok\r\n250 ok\r\n354 go\r\n250 ok\r\n",
		"220 x\r\n250-x\r\n250 AUTH LOGIN\r\n334 VXNlcm5hbWU6\r\n334 UGFzc3dvcmQ6\r\n235 in\r\n250 ok\r\n250 ok\r\n354 go\r\n250 ok\r\n",
		"220 x\r\n500 what\r\n250 x\r\n250 ok\r\n251 forwarded\r\n354 go\r\n554 spam\r\n",
		"220 x\r\n250 x\r\n250 ok\r\n550-no\r\n550 such user\r\n", "554 go away\r\n", "421 later\r\n", "220", "", "\x00\xff\r\n", "220\r\n250\r\n250\r\n251\r\n354\r\n250\r\n",
		"220 \r\n250-\r\n250-starttls\r\n250\r\n250-\r\n250\r\n252\r\n300\r\n299\r\n", "250 250\n220-220\n",
	} {
		f.Add(seed, false)
		f.Add(seed, true)
	}
	f.Fuzz(func(t *testing.T, replies string, login bool) {
		r := &relay{host: "127.0.0.1", port: "25", plain: true, helo: "example.org", timeout: 5 * time.Second, pool: newPool()}
		r.pool.idleTimeout = 0
		if login {
			r.user, r.pass = "user", "hunter2"
		}
		client, server := net.Pipe()
		var received bytes.Buffer
		var relaying sync.WaitGroup
		relaying.Go(func() { _, _ = io.Copy(&received, server) })
		relaying.Go(func() {
			_, _ = io.WriteString(server, replies)
			_ = server.Close()
		})
		err := (&smtpSession{relay: r, raw: client, conn: client}).send(t.Context(), sampleEnvelope())
		_ = client.Close()
		relaying.Wait()

		sent := received.String()
		if strings.Count(sent, "RCPT TO:") > 1 || strings.Count(sent, "MAIL FROM:") > 1 {
			t.Fatalf("sent\n%s", sent)
		}
		if err != nil {
			if isPermanent(err) && !regexp.MustCompile(`(?m)^5[0-9][0-9]`).MatchString(replies) {
				t.Fatalf("%q was treated as a refusal: %v", replies, err)
			}
			return
		}
		if !strings.Contains(sent, "\r\n.\r\n") {
			t.Fatalf("sent without the final dot:\n%s", sent)
		}
		want := []string{"2", "2", "2", "2", "3", "2"}
		if login {
			want = []string{"2", "2", "2", "2", "2", "3", "2"}
		}
		for _, m := range finalReply.FindAllStringSubmatch(replies, -1) {
			if len(want) > 0 && strings.HasPrefix(m[1], want[0]) {
				want = want[1:]
			}
		}
		if len(want) > 0 {
			t.Fatalf("%q was treated as acceptance", replies)
		}
	})
}
