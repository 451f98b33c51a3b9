package mail

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/financelime/authorization/test/testca"
)

func sampleEnvelope() Envelope {
	return Envelope{
		ID: sampleID, Kind: KindPassword, CreatedAt: sampleDate,
		From: "no-reply@financelime.com", To: "jane@example.org",
		Data: []byte("Subject: Hello\r\n\r\n.a line with a dot\r\n.\r\nthe end\r\n"),
	}
}

func open(t *testing.T, url string, timeout time.Duration) Transport {
	t.Helper()
	transport, err := OpenTransport(url, sampleFrom, timeout)
	if err != nil {
		t.Fatal(err)
	}
	if r, ok := transport.(*relay); ok {
		r.pool.idleTimeout = 0 // one session for each mail; TestSMTPReuse tests reuse
	}
	return transport
}

// sessionLines returns the commands that the relay must have received, after those before.
func sessionLines(prefix string, before ...string) []string {
	lines := before
	for _, line := range []string{"MAIL FROM:<no-reply@financelime.com>", "RCPT TO:<jane@example.org>", "DATA", "QUIT"} {
		lines = append(lines, prefix+line)
	}
	return lines
}

func (r *recorder) expect(t *testing.T, lines []string) {
	t.Helper()
	received, mails := r.recorded()
	if !slices.Equal(received, lines) {
		t.Errorf("received\n%s\nwant\n%s", strings.Join(received, "\n"), strings.Join(lines, "\n"))
	}
	const wire = "Subject: Hello\r\n\r\n..a line with a dot\r\n..\r\nthe end\r\n"
	if len(mails) != 1 || mails[0] != wire {
		t.Errorf("mails %q", mails)
	}
}

func TestSMTPPlainOnLoopback(t *testing.T) {
	t.Parallel()
	r := new(recorder).start(t)
	for _, host := range []string{"127.0.0.1", "localhost"} {
		t.Run(host, func(t *testing.T) {
			r := new(recorder).start(t)
			if err := open(t, "smtp://"+host+":"+r.port+"?tls=none", time.Minute).Send(t.Context(), sampleEnvelope()); err != nil {
				t.Fatal(err)
			}
			r.expect(t, sessionLines("", "EHLO financelime.com"))
		})
	}
	if err := open(t, "smtp://127.0.0.1:"+r.port+"?tls=none&helo=mx.example.org", time.Minute).Send(t.Context(), sampleEnvelope()); err != nil {
		t.Fatal(err)
	}
	r.expect(t, sessionLines("", "EHLO mx.example.org"))
}

func TestSMTPWithTLS(t *testing.T) {
	t.Parallel()
	ca := testca.New(t)
	for _, c := range []struct {
		name, scheme, auth string
		first              []string // the commands before the mail
	}{
		{"starttls", "smtp://", "", []string{"EHLO financelime.com", "STARTTLS", "+EHLO financelime.com"}},
		{"starttls and PLAIN", "smtp://user:p%40ss%2F@", "LOGIN PLAIN", []string{
			"EHLO financelime.com", "STARTTLS", "+EHLO financelime.com", "+AUTH PLAIN AHVzZXIAcEBzcy8="}},
		{"starttls and LOGIN", "smtp://user:p%40ss%2F@", "CRAM-MD5 LOGIN", []string{
			"EHLO financelime.com", "STARTTLS", "+EHLO financelime.com", "+AUTH LOGIN"}},
		{"smtps", "smtps://", "", []string{"+EHLO financelime.com"}},
		{"smtps and PLAIN", "smtps://user:p%40ss%2F@", "PLAIN", []string{"+EHLO financelime.com", "+AUTH PLAIN AHVzZXIAcEBzcy8="}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := (&recorder{
				tls: ca.Server(t, "localhost", time.Hour), implicit: strings.HasPrefix(c.scheme, "smtps"),
				auth: c.auth, password: "p@ss/",
			}).start(t)
			transport := open(t, c.scheme+"localhost:"+r.port+"?ca="+ca.File, time.Minute)
			if err := transport.Send(t.Context(), sampleEnvelope()); err != nil {
				t.Fatal(err)
			}
			r.expect(t, sessionLines("+", c.first...))
		})
	}
}

// Without TLS and a valid certificate, no credentials, addresses or mails are sent.
func TestSMTPRefusesInsecurity(t *testing.T) {
	t.Parallel()
	ca, otherCA := testca.New(t), testca.New(t)
	for name, c := range map[string]struct {
		relay *recorder
		url   string // with %s for the port
		want  string
	}{
		"no STARTTLS":     {&recorder{}, "smtp://localhost:%s?ca=" + ca.File, "does not offer"},
		"unknown CA":      {&recorder{tls: ca.Server(t, "localhost", time.Hour)}, "smtp://localhost:%s?ca=" + otherCA.File, "certificate"},
		"system's CAs":    {&recorder{tls: ca.Server(t, "localhost", time.Hour)}, "smtp://localhost:%s", "certificate"},
		"other name":      {&recorder{tls: ca.Server(t, "example.org", time.Hour)}, "smtp://localhost:%s?ca=" + ca.File, "certificate"},
		"no name":         {&recorder{tls: ca.Server(t, "localhost", time.Hour)}, "smtp://127.0.0.1:%s?ca=" + ca.File, "certificate"},
		"expired":         {&recorder{tls: ca.Server(t, "localhost", -time.Hour)}, "smtp://localhost:%s?ca=" + ca.File, "certificate"},
		"smtps, other CA": {&recorder{tls: ca.Server(t, "localhost", time.Hour), implicit: true}, "smtps://localhost:%s?ca=" + otherCA.File, "certificate"},
		"smtps, no TLS":   {&recorder{}, "smtps://localhost:%s?ca=" + ca.File, "TLS"},
		"STARTTLS refused": {&recorder{tls: ca.Server(t, "localhost", time.Hour), answer: func(verb string) string {
			return map[string]string{"STARTTLS": "454 4.7.0 not now"}[verb]
		}}, "smtp://localhost:%s?ca=" + ca.File, "454"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.relay.auth, c.relay.password = "PLAIN LOGIN", "secret"
			r := c.relay.start(t)
			url := strings.Replace(fmt.Sprintf(c.url, r.port), "://", "://user:secret@", 1)
			err := open(t, url, 5*time.Second).Send(t.Context(), sampleEnvelope())
			if _, is := errors.AsType[*RelayError](err); !is || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want one of the relay with %q", err, c.want)
			}
			lines, mails := r.recorded()
			for _, line := range lines {
				for _, verb := range []string{"AUTH", "MAIL", "RCPT", "DATA"} {
					if strings.HasPrefix(strings.TrimPrefix(line, "+"), verb) {
						t.Errorf("received %q", line)
					}
				}
			}
			if len(mails) != 0 {
				t.Error("sent the mail")
			}
		})
	}
}

func TestSMTPRefusals(t *testing.T) {
	t.Parallel()
	for verb, isFinal := range map[string]bool{ // whether a 5xx is a permanent failure; a 4xx never is
		"greeting": false, "EHLO": false, "AUTH": false, "MAIL": false, "RCPT": true, "DATA": true, "message": true,
	} {
		for _, code := range []string{"421", "450", "500", "535", "550", "554"} {
			t.Run(verb+" "+code, func(t *testing.T) {
				t.Parallel()
				r := (&recorder{auth: "PLAIN", password: "secret", answer: func(v string) string {
					if v == verb || verb == "EHLO" && v == "HELO" {
						return code + " 5.1.1 <jane@example.org> no"
					}
					return ""
				}}).start(t)
				err := open(t, "smtp://user:secret@127.0.0.1:"+r.port+"?tls=none", time.Minute).Send(t.Context(), sampleEnvelope())
				if err == nil || !strings.Contains(err.Error(), code) {
					t.Fatalf("error %v", err)
				}
				if want := isFinal && code[0] == '5'; isPermanent(err) != want {
					t.Errorf("permanent: %t, want %t: %v", isPermanent(err), want, err)
				}
				before, leaving := !afterRecipient(verb), code == "421"
				relayErr, is := errors.AsType[*RelayError](err)
				if want := before || leaving; is != want || is && relayErr.AfterRecipient == before {
					t.Errorf("a relay problem: %t, want %t: %+v", is, want, relayErr)
				}
				if _, mails := r.recorded(); len(mails) != 0 && verb != "message" {
					t.Error("the mail was sent")
				}
			})
		}
	}
}

// afterRecipient reports whether the relay has the recipient at a step.
func afterRecipient(verb string) bool {
	return slices.Contains([]string{"RCPT", "DATA", "message"}, verb)
}

func TestSMTPWrongPassword(t *testing.T) {
	t.Parallel()
	for _, mechanism := range []string{"PLAIN", "LOGIN", "", "CRAM-MD5"} {
		r := (&recorder{auth: mechanism, password: "other"}).start(t)
		err := open(t, "smtp://user:hidden-word@127.0.0.1:"+r.port+"?tls=none", time.Minute).Send(t.Context(), sampleEnvelope())
		if err == nil || isPermanent(err) || strings.Contains(err.Error(), "hidden-word") || !strings.HasPrefix(err.Error(), "AUTH: ") {
			t.Errorf("%s: %v", mechanism, err)
		}
		if _, mails := r.recorded(); len(mails) != 0 {
			t.Errorf("%s: the mail was sent all the same", mechanism)
		}
	}
}

// A relay that hangs or closes the connection delays a mail, but neither loses nor blocks it.
func TestSMTPFaults(t *testing.T) {
	t.Parallel()
	for _, verb := range []string{"greeting", "EHLO", "AUTH", "MAIL", "RCPT", "DATA", "message"} {
		for _, fault := range []string{drop, stall, trickle} {
			t.Run(verb+" "+fault, func(t *testing.T) {
				t.Parallel()
				r := (&recorder{auth: "PLAIN", password: "secret", answer: func(v string) string {
					if v == verb || verb == "EHLO" && v == "HELO" {
						return fault
					}
					return ""
				}}).start(t)
				transport := open(t, "smtp://user:secret@127.0.0.1:"+r.port+"?tls=none", 300*time.Millisecond)
				start := time.Now()
				err := transport.Send(t.Context(), sampleEnvelope())
				if err == nil || isPermanent(err) {
					t.Errorf("error %v", err)
				}
				if _, is := errors.AsType[*RelayError](err); is == afterRecipient(verb) {
					t.Errorf("a relay problem: %t: %v", is, err)
				}
				if took := time.Since(start); took > 10*time.Second {
					t.Errorf("took %s", took)
				}
			})
		}
	}
}

// The relay has accepted the mail with its reply to the final dot. A failure at QUIT must not send the mail again.
func TestSMTPFaultsAfterTheMessage(t *testing.T) {
	t.Parallel()
	for _, fault := range []string{drop, stall, trickle, "500 what?", "421 going down"} {
		t.Run(fault, func(t *testing.T) {
			t.Parallel()
			r := (&recorder{answer: func(verb string) string { return map[string]string{"QUIT": fault}[verb] }}).start(t)
			start := time.Now()
			if err := open(t, "smtp://127.0.0.1:"+r.port+"?tls=none", time.Minute).Send(t.Context(), sampleEnvelope()); err != nil {
				t.Error(err)
			}
			if took := time.Since(start); took > 10*time.Second {
				t.Errorf("waited %s for the reply to QUIT", took)
			}
			r.expect(t, sessionLines("", "EHLO financelime.com"))
		})
	}
}

func TestSMTPContext(t *testing.T) {
	t.Parallel()
	reached := make(chan struct{})
	r := (&recorder{answer: func(verb string) string {
		if verb == "RCPT" {
			close(reached)
			return stall
		}
		return ""
	}}).start(t)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-reached
		cancel()
	}()
	err := open(t, "smtp://127.0.0.1:"+r.port+"?tls=none", time.Hour).Send(ctx, sampleEnvelope())
	if !errors.Is(err, context.Canceled) || isPermanent(err) {
		t.Errorf("error %v", err)
	}
}

// The content of a row cannot become a command.
func TestSMTPRefusesInjection(t *testing.T) {
	t.Parallel()
	r := new(recorder).start(t)
	transport := open(t, "smtp://127.0.0.1:"+r.port+"?tls=none", time.Minute)
	for _, to := range []string{
		"a@b.com>\r\nRCPT TO:<c@d.com", "a@b.com> NOTIFY=NEVER", "a@b.com,c@d.com", "", `"a b"@c.com`, "a@b.com\x00",
		"a\u760d\u760ab@c.com",
	} {
		env := sampleEnvelope()
		env.To = to
		if err := transport.Send(t.Context(), env); !isPermanent(err) {
			t.Errorf("%q: %v", to, err)
		}
	}
	if lines, mails := r.recorded(); len(lines)+len(mails) != 0 {
		t.Errorf("received %q", lines)
	}
}

func TestSMTPConnectionRefused(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	listener.Close()
	err = open(t, "smtp://127.0.0.1:"+port+"?tls=none", time.Minute).Send(t.Context(), sampleEnvelope())
	if relayErr, is := errors.AsType[*RelayError](err); !is || relayErr.AfterRecipient {
		t.Errorf("error %v", err)
	}
}

// pooledTransport returns a transport that reuses its sessions, and keeps them until the end of the test.
func (r *recorder) pooledTransport(t *testing.T) *relay {
	t.Helper()
	transport := open(t, "smtp://127.0.0.1:"+r.port+"?tls=none", 10*time.Second).(*relay)
	transport.pool.idleTimeout = time.Hour
	t.Cleanup(func() {
		for c := transport.pool.get(); c != nil; c = transport.pool.get() {
			c.quit()
		}
	})
	return transport
}

func sendMany(t *testing.T, transport *relay, mails int) {
	t.Helper()
	for range mails {
		if err := transport.Send(t.Context(), sampleEnvelope()); err != nil {
			t.Error(err)
		}
	}
}

func TestSMTPReuse(t *testing.T) {
	t.Parallel()
	r := new(recorder).start(t)
	transport := r.pooledTransport(t)
	transport.pool.maxMails = 3
	sendMany(t, transport, 7)
	lines, mails := r.recorded()
	var want []string
	for _, n := range []int{3, 3, 1} {
		want = append(want, "EHLO financelime.com")
		for range n {
			want = append(want, "MAIL FROM:<no-reply@financelime.com>", "RCPT TO:<jane@example.org>", "DATA")
		}
		if n == 3 {
			want = append(want, "QUIT")
		}
	}
	if !slices.Equal(lines, want) || len(mails) != 7 {
		t.Errorf("%d mails, received\n%s", len(mails), strings.Join(lines, "\n"))
	}
}

// A relay that ends an idle session, in whatever way, has no problem: the mail is sent in a new session.
func TestSMTPReuseOfEndedSession(t *testing.T) {
	t.Parallel()
	for _, end := range []string{drop, "421 4.4.2 idle for too long", "452 4.5.3 enough for one connection"} {
		t.Run(end, func(t *testing.T) {
			t.Parallel()
			var froms atomic.Int64
			r := (&recorder{answer: func(verb string) string {
				if verb == "MAIL" && froms.Add(1)%2 == 0 { // the second of each session
					return end
				}
				return ""
			}}).start(t)
			sendMany(t, r.pooledTransport(t), 4)
			if _, mails := r.recorded(); len(mails) != 4 {
				t.Errorf("%d mails", len(mails))
			}
		})
	}
}

// If the new session fails too, its error counts. Once the relay has the recipient, there is no second session.
func TestSMTPReuseFails(t *testing.T) {
	t.Parallel()
	for verb, fault := range map[string]string{"MAIL": "451 no", "RCPT": drop, "DATA": drop, "message": drop} {
		t.Run(verb, func(t *testing.T) {
			t.Parallel()
			var broken atomic.Bool
			r := (&recorder{answer: func(v string) string {
				if v == verb && broken.Load() {
					return fault
				}
				return ""
			}}).start(t)
			transport := r.pooledTransport(t)
			if err := transport.Send(t.Context(), sampleEnvelope()); err != nil {
				t.Fatal(err)
			}
			before, _ := r.recorded()
			broken.Store(true)
			err := transport.Send(t.Context(), sampleEnvelope())
			relayErr, is := errors.AsType[*RelayError](err)
			if err == nil || is == afterRecipient(verb) || is && relayErr.AfterRecipient {
				t.Errorf("error %v", err)
			}
			after, mails := r.recorded()
			isNewSession := slices.Contains(after[len(before):], "EHLO financelime.com")
			if isNewSession == afterRecipient(verb) || len(mails) != 1 {
				t.Errorf("%d mails, received %q", len(mails), after[len(before):])
			}
		})
	}
}

// An idle session ends with QUIT.
func TestSMTPIdleSessionEnds(t *testing.T) {
	t.Parallel()
	r := new(recorder).start(t)
	transport := r.pooledTransport(t)
	transport.pool.idleTimeout = 10 * time.Millisecond
	sendMany(t, transport, 1)
	eventually(t, "the session ends", func() bool {
		lines, _ := r.recorded()
		return lines[len(lines)-1] == "QUIT"
	})
	r.expect(t, sessionLines("", "EHLO financelime.com"))
}

func TestOpenTransportRefuses(t *testing.T) {
	t.Parallel()
	notPEM := filepath.Join(t.TempDir(), "x")
	if err := os.WriteFile(notPEM, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	for url, want := range map[string]string{
		"":                                "must begin with",
		"hidden-word":                     "must begin with",
		"http://user:hidden-word@host":    "must begin with",
		"smtp:host":                       "no host",
		"smtp://":                         "no host",
		"smtp://user:hidden-word@":        "no host",
		"smtp://user:hidden-word@:587":    "no host",
		"smtp://user:hidden-word/x@host":  "not a URL",
		"smtp://user:hidden-word%@host":   "not a URL",
		"smtp://user:hidden-word#x@host":  "not a URL",
		"smtp://user:hidden-word@host\n":  "not a URL",
		"smtp://user:hidden-word@host:0":  "port",
		"smtp://host:99999":               "port",
		"smtp://user@host":                "both a user name and a password",
		"smtp://:hidden-word@host":        "both a user name and a password",
		"smtp://u:hidden-word%0d@host":    "control character",
		"smtp://host/path":                "after the host",
		"smtp://host#fragment":            "after the host",
		"smtp://host?tls=off":             "parameter tls",
		"smtp://host?tls=none":            "on this machine",
		"smtp://10.0.0.1?tls=none":        "on this machine",
		"smtp://localhost.evil?tls=none":  "on this machine",
		"smtp://localhost?tls=none&x=y":   `unknown parameter "x"`,
		"smtp://host?TLS=none":            `unknown parameter "TLS"`,
		"smtp://host?helo=a&helo=b":       `"helo" twice`,
		"smtp://host?helo=a%0d%0ab":       "parameter helo",
		"smtp://host?helo=":               "parameter helo",
		"smtp://host?ca=/does/not/exist":  "parameter ca",
		"smtp://host?ca=" + notPEM:        "no PEM certificate",
		"smtp://host?%zz":                 "parameters",
		"smtps://localhost?tls=none":      "with smtps",
		"file:":                           "no directory",
		"file://":                         "names a host",
		"file://host/dir":                 "names a host",
		"file:dir?x=y":                    "no parameters",
		"smtp://localhost?tls=none&tls=x": `"tls" twice`,
	} {
		_, err := OpenTransport(url, sampleFrom, time.Second)
		if err == nil || !strings.HasPrefix(err.Error(), "AUTH_MAIL_URL ") || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", url, err, want)
		} else if strings.Contains(err.Error(), "hidden-word") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: the error has too much: %v", url, err)
		}
	}
	if _, err := OpenTransport("smtp://host", "nobody", time.Second); err == nil || !strings.Contains(err.Error(), "AUTH_MAIL_FROM") {
		t.Errorf("bad sender: %v", err)
	}
	if _, err := OpenTransport("smtp://host", sampleFrom, 0); err == nil || !strings.Contains(err.Error(), "AUTH_MAIL_TIMEOUT") {
		t.Errorf("no timeout: %v", err)
	}
}

func TestOpenTransportDefaults(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]relay{
		"smtp://mx.example.org":              {host: "mx.example.org", port: "587", helo: "financelime.com"},
		"smtps://mx.example.org/":            {host: "mx.example.org", port: "465", helo: "financelime.com", implicitTLS: true},
		"SMTP://u:p@mx.example.org:25":       {host: "mx.example.org", port: "25", helo: "financelime.com", user: "u", pass: "p"},
		"smtp://[::1]:25?tls=none&helo=[::]": {host: "::1", port: "25", helo: "[::]", plain: true},
		"smtp://127.8.8.8?tls=none":          {host: "127.8.8.8", port: "587", helo: "financelime.com", plain: true},
	} {
		transport, err := OpenTransport(url, sampleFrom, time.Second)
		if err != nil {
			t.Errorf("%s: %v", url, err)
			continue
		}
		got := *transport.(*relay)
		if (got.tls == nil) != want.plain || got.tls != nil && got.tls.ServerName != want.host {
			t.Errorf("%s: TLS %+v", url, got.tls)
		}
		got.tls, got.pool, want.timeout = nil, nil, time.Second
		if got != want {
			t.Errorf("%s: got %+v, want %+v", url, got, want)
		}
	}
	for url, want := range map[string]string{
		"file:data/mail": "data/mail", "file:/srv/mail/": "/srv/mail", "file:///srv/mail": "/srv/mail", "FILE:mail": "mail",
	} {
		if files, ok := open(t, url, time.Second).(*Files); !ok || files.Dir != want {
			t.Errorf("%s: %+v, want %s", url, files, want)
		}
	}
}
