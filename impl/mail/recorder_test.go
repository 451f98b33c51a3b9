package mail

import (
	"bufio"
	"crypto/tls"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/financelime/authorization/test/harness/smtprecorder"
)

// Faults, in place of a reply.
const (
	drop    = "drop"    // closes the connection
	stall   = "stall"   // sends nothing, forever
	trickle = "trickle" // sends lines of a reply that never ends
)

// recorder is a mail relay that records each line that it receives, and fails as the test wants.
type recorder struct {
	tls      *tls.Config // offers STARTTLS, if not nil
	implicit bool        // TLS from the first byte
	auth     string      // the offered mechanisms
	password string      // the correct one
	// answer, if not nil, may return another reply or a fault for a verb, or for "greeting" and "message".
	answer  func(verb string) string
	refuse  func(line string) string  // the same for a whole line such as RCPT TO
	style   func(reply string) string // if not nil, changes each reply, which is without its last line end
	segment int                       // if not 0, the size of the writes in bytes

	port string

	mu    sync.Mutex
	lines []string // the commands; with "+" in front if under TLS
	mails []string // the accepted messages, as received
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
				go func() { // ends a session that hangs with the test
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
	prefix := ""
	if r.implicit {
		conn, prefix = tls.Server(conn, r.tls), "+"
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
		r.record(prefix + line)
		verb, _, _ := strings.Cut(line, " ")
		switch verb = strings.ToUpper(verb); verb {
		case "EHLO":
			offer := "250-recorder\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n"
			if r.tls != nil && prefix == "" {
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
			conn, prefix = tls.Server(conn, r.tls), "+"
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
			if !r.accept(conn, mail.String()) {
				return
			}
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

// accept replies to a message and records it. It holds the lock, so that a test that has seen the reply finds the message.
func (r *recorder) accept(conn net.Conn, message string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.reply(conn, "message", "250 queued") {
		return false
	}
	r.mails = append(r.mails, message)
	return true
}

// authenticate does the rest of an AUTH exchange and returns the last reply.
func (r *recorder) authenticate(conn net.Conn, reader *bufio.Reader, line string) string {
	prompt := func(text string) string {
		_ = r.send(conn, "334 "+text)
		line, _ := reader.ReadString('\n')
		return strings.TrimSuffix(line, "\r\n")
	}
	if smtprecorder.CheckAuth(strings.TrimPrefix(line, "AUTH "), r.password, prompt) {
		return "235 welcome"
	}
	return "535 5.7.8 no"
}

// reply sends the reply or fault that the test wants, or usual. It reports false if the session is over.
func (r *recorder) reply(conn net.Conn, verb, usual string) bool {
	if r.answer != nil {
		switch other := r.answer(verb); other {
		case "":
		case drop:
			return false
		case stall:
			_, _ = io.Copy(io.Discard, conn) // until the client closes the connection
			return false
		case trickle:
			for {
				if _, err := io.WriteString(conn, "250-and\r\n"); err != nil {
					return false
				}
				time.Sleep(10 * time.Millisecond) // simulates a slow relay
			}
		default:
			usual = other
		}
	}
	return r.send(conn, usual) == nil
}

func (r *recorder) send(conn net.Conn, reply string) error {
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

// recorded returns the commands and the accepted messages.
func (r *recorder) recorded() (lines, mails []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string(nil), r.lines...), append([]string(nil), r.mails...)
}

// accepted counts the accepted messages.
func (r *recorder) accepted() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.mails)
}
