package mail

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// Answers that are not replies but faults.
const (
	drop    = "drop"    // closes the connection
	stall   = "stall"   // says nothing, for ever
	trickle = "trickle" // says something all the time and comes to no end
)

// recorder is a mail relay that records what is said to it, line by line, and fails as it is told.
type recorder struct {
	tls      *tls.Config // offers STARTTLS, if not nil
	implicit bool        // TLS from the first byte
	auth     string      // the mechanisms that it offers
	password string      // the only good one
	// answer, if not nil, may give another reply or a fault for a verb, or for "greeting" and "message".
	answer  func(verb string) string
	refuse  func(line string) string  // the same for a whole line, of those that have no verb of their own here
	style   func(reply string) string // if not nil, spells a reply in its own way; the reply has no line end at its end
	segment int                       // if not 0, what it says comes in TCP segments of so many bytes

	port string

	mu    sync.Mutex
	lines []string // the commands, those under TLS with "+" in front
	mails []string // the messages that were accepted, as they came over the wire
}

func (r *recorder) start(t *testing.T) *recorder {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, r.port, _ = net.SplitHostPort(listener.Addr().String())
	var sessions sync.WaitGroup
	closing := make(chan struct{})
	sessions.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			sessions.Go(func() {
				defer conn.Close()
				over := make(chan struct{})
				defer close(over)
				go func() { // a session that hangs ends with the test
					select {
					case <-closing:
						conn.Close()
					case <-over:
					}
				}()
				r.session(conn)
			})
		}
	})
	t.Cleanup(func() {
		listener.Close()
		close(closing)
		sessions.Wait()
	})
	return r
}

func (r *recorder) session(conn net.Conn) {
	mark := ""
	if r.implicit {
		conn, mark = tls.Server(conn, r.tls), "+"
	}
	reader := bufio.NewReader(conn)
	if !r.reply(conn, "greeting", "220 recorder ready") {
		return
	}
	for {
		line, err := reader.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimSuffix(line, "\r\n")
		r.record(mark + line)
		verb, _, _ := strings.Cut(line, " ")
		switch verb = strings.ToUpper(verb); verb {
		case "EHLO":
			offer := "250-recorder\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n"
			if r.tls != nil && mark == "" {
				offer += "250-STARTTLS\r\n"
			}
			if r.auth != "" {
				offer += "250-AUTH " + r.auth + "\r\n"
			}
			if !r.reply(conn, verb, offer+"250 SIZE 1000000") {
				return
			}
		case "STARTTLS":
			if !r.reply(conn, verb, "220 go ahead") {
				return
			}
			conn, mark = tls.Server(conn, r.tls), "+"
			reader = bufio.NewReader(conn)
		case "AUTH":
			if !r.reply(conn, verb, r.authenticate(conn, reader, line)) {
				return
			}
		case "DATA":
			if !r.reply(conn, verb, "354 go ahead") {
				return
			}
			var mail strings.Builder
			for {
				line, err := reader.ReadString('\n')
				if err != nil {
					return
				}
				if line == ".\r\n" {
					break
				}
				mail.WriteString(line)
			}
			if !r.reply(conn, "message", "250 queued") {
				return
			}
			r.mu.Lock()
			r.mails = append(r.mails, mail.String())
			r.mu.Unlock()
		case "QUIT":
			r.reply(conn, verb, "221 bye")
			return
		default:
			usual := "250 ok"
			if r.refuse != nil {
				if other := r.refuse(line); other != "" {
					usual = other
				}
			}
			if !r.reply(conn, verb, usual) {
				return
			}
		}
	}
}

// authenticate has the rest of an AUTH conversation and gives its last reply.
func (r *recorder) authenticate(conn net.Conn, reader *bufio.Reader, line string) string {
	decode := func(s string) string {
		b, _ := base64.StdEncoding.DecodeString(s)
		return string(b)
	}
	var user, pass string
	if initial, ok := strings.CutPrefix(line, "AUTH PLAIN"); ok {
		if initial = strings.TrimSpace(initial); initial == "" {
			initial = r.ask(conn, reader, "")
		}
		if parts := strings.Split(decode(initial), "\x00"); len(parts) == 3 {
			user, pass = parts[1], parts[2]
		}
	} else {
		user = decode(r.ask(conn, reader, "Username:"))
		pass = decode(r.ask(conn, reader, "Password:"))
	}
	if user == "user" && pass == r.password {
		return "235 welcome"
	}
	return "535 5.7.8 no"
}

func (r *recorder) ask(conn net.Conn, reader *bufio.Reader, prompt string) string {
	_ = r.say(conn, "334 "+base64.StdEncoding.EncodeToString([]byte(prompt)))
	line, _ := reader.ReadString('\n')
	return strings.TrimSuffix(line, "\r\n")
}

// reply says what the test wants, or the usual; it is false when the session is over.
func (r *recorder) reply(conn net.Conn, verb, usual string) bool {
	if r.answer != nil {
		switch other := r.answer(verb); other {
		case "":
		case drop:
			return false
		case stall:
			_, _ = io.Copy(io.Discard, conn) // until the other side has had enough
			return false
		case trickle:
			for {
				if _, err := io.WriteString(conn, "250-and\r\n"); err != nil {
					return false
				}
				time.Sleep(10 * time.Millisecond) // a slow writer, nothing waits for it
			}
		default:
			usual = other
		}
	}
	return r.say(conn, usual) == nil
}

func (r *recorder) say(conn net.Conn, reply string) error {
	if r.style != nil {
		reply = r.style(reply)
	}
	out := []byte(reply + "\r\n")
	for n := len(out); r.segment > 0 && n > 0; n = len(out) {
		if _, err := conn.Write(out[:min(n, r.segment)]); err != nil {
			return err
		}
		out = out[min(n, r.segment):]
	}
	_, err := conn.Write(out)
	return err
}

func (r *recorder) record(line string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lines = append(r.lines, line)
}

func (r *recorder) said() (lines, mails []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string(nil), r.lines...), append([]string(nil), r.mails...)
}

// accepted counts the messages that it has.
func (r *recorder) accepted() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.mails)
}

// authority is a certificate authority for tests.
type authority struct {
	file        string // its certificate
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) authority {
	t.Helper()
	key := newKey(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Test CA"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return authority{file: file, certificate: certificate, key: key}
}

// server makes the TLS configuration of a server of that name.
func (a authority) server(t *testing.T, name string, notAfter time.Time) *tls.Config {
	t.Helper()
	key := newKey(t)
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(2), DNSNames: []string{name},
		NotBefore: time.Now().Add(-24 * time.Hour), NotAfter: notAfter,
	}, a.certificate, &key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}},
		MinVersion:   tls.VersionTLS12,
	}
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}
