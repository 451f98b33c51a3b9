package smtprecorder

import (
	"bufio"
	"crypto/tls"
	"encoding/base64"
	"io"
	"net"
	"slices"
	"strings"
	"time"
)

// session is the relay's side of an SMTP session.
type session struct {
	recorder   *Recorder
	record     *transcript
	conn       net.Conn
	lines      *bufio.Reader
	underTLS   bool
	commands   []string // since MAIL
	from, to   string
	recipients int
}

func (s *session) run() {
	if !s.pass(Connect) || !s.reply(Greeting, "220 recorder.test ready") {
		return
	}
	for {
		line, err := s.lines.ReadString('\n')
		if err != nil {
			return
		}
		s.recorder.mu.Lock()
		s.record.lines = append(s.record.lines, line)
		s.recorder.mu.Unlock()
		s.commands = append(s.commands, line)
		verb, rest, _ := strings.Cut(strings.TrimRight(line, "\r\n"), " ")
		if !s.command(strings.ToUpper(verb), rest) {
			return
		}
	}
}

// command replies to one command. It reports false if the session is over.
func (s *session) command(verb, rest string) bool {
	switch verb {
	case "EHLO", "HELO":
		return s.reply(EHLO, s.offer())
	case "STARTTLS":
		if s.recorder.TLS == nil {
			return s.send("502 5.5.1 not offered")
		}
		if !s.reply(STARTTLS, "220 go ahead") {
			return false
		}
		s.conn, s.underTLS = tls.Server(s.conn, s.recorder.TLS), true
		s.lines = bufio.NewReader(s.conn)
		return true
	case "AUTH":
		return s.reply(AUTH, s.authenticate(rest))
	case "MAIL":
		s.from, s.to, s.recipients, s.commands = between(rest), "", 0, s.commands[len(s.commands)-1:]
		return s.reply(MAIL, "250 ok")
	case "RCPT":
		s.to, s.recipients = between(rest), s.recipients+1
		return s.reply(RCPT, "250 ok")
	case "DATA":
		return s.data()
	case "QUIT":
		s.reply(QUIT, "221 bye")
		return false
	case "RSET", "NOOP":
		return s.send("250 ok")
	default:
		return s.send("500 5.5.2 what?")
	}
}

func (s *session) offer() string {
	lines := []string{"recorder.test"}
	if s.recorder.TLS != nil && !s.underTLS {
		lines = append(lines, "STARTTLS")
	}
	if s.recorder.Auth != "" {
		lines = append(lines, "AUTH "+s.recorder.Auth)
	}
	return "250-" + strings.Join(lines, "\r\n250-") + "\r\n250 SIZE 1000000"
}

func between(rest string) string {
	_, after, _ := strings.Cut(rest, "<")
	address, _, _ := strings.Cut(after, ">")
	return address
}

func (s *session) data() bool {
	if !s.reply(DATA, "354 go ahead") {
		return false
	}
	var wire strings.Builder
	for n := 0; ; n++ {
		line, err := s.lines.ReadString('\n')
		if err != nil {
			return false
		}
		if line == ".\r\n" {
			break
		}
		wire.WriteString(line)
		if n == 3 && !s.pass(Content) {
			return false
		}
	}
	action := s.plan(Dot)
	if !isReply(action) || action[0] == '2' {
		// The relay has the message, even if the client does not receive the reply.
		s.keep(&Message{
			Session: s.record.number, Commands: slices.Clone(s.commands), From: s.from, To: s.to, Recipients: s.recipients,
			Wire: wire.String(), TLS: s.underTLS, At: time.Now(),
		})
	}
	return s.act(action, "250 2.0.0 taken over") && s.pass(Accepted)
}

func (s *session) keep(m *Message) {
	r := s.recorder
	r.mu.Lock()
	defer r.mu.Unlock()
	r.messages = append(r.messages, m)
	r.byAddress[m.To] = append(r.byAddress[m.To], m)
}

// authenticate does the rest of an AUTH exchange and returns the last reply.
func (s *session) authenticate(arguments string) string {
	prompt := func(text string) string {
		s.send("334 " + text)
		line, _ := s.lines.ReadString('\n')
		return strings.TrimRight(line, "\r\n")
	}
	if CheckAuth(arguments, s.recorder.Password, prompt) {
		return "235 2.7.0 welcome"
	}
	return "535 5.7.8 no"
}

// CheckAuth does an AUTH exchange as a server. The arguments are those of the command. prompt sends a prompt and returns the client's
// response, both in base64. CheckAuth reports whether the client is the user "user" with the password.
func CheckAuth(arguments, password string, prompt func(text string) string) bool {
	decode := func(text string) string {
		b, _ := base64.StdEncoding.DecodeString(text)
		return string(b)
	}
	mechanism, initial, _ := strings.Cut(arguments, " ")
	if mechanism == "PLAIN" {
		if initial == "" {
			initial = prompt("")
		}
		return decode(initial) == "\x00user\x00"+password
	}
	user := decode(prompt(base64.StdEncoding.EncodeToString([]byte("Username:"))))
	given := decode(prompt(base64.StdEncoding.EncodeToString([]byte("Password:"))))
	return user == "user" && given == password
}

func (s *session) plan(step Step) Action {
	s.recorder.mu.Lock()
	plan := s.recorder.Plan
	s.recorder.mu.Unlock()
	if plan == nil {
		return Usual
	}
	return plan(Moment{Session: s.record.number, Step: step, To: s.to})
}

// reply acts as planned at a step. It reports false if the session is over.
func (s *session) reply(step Step, usual string) bool { return s.act(s.plan(step), usual) }

// pass is reply for a step without a reply.
func (s *session) pass(step Step) bool {
	action := s.plan(step)
	return action == Usual || isReply(action) || s.act(action, "")
}

func isReply(a Action) bool { return a != Usual && a[0] >= '0' && a[0] <= '9' }

func (s *session) act(action Action, usual string) bool {
	switch action {
	case Usual:
		return s.send(usual)
	case Drop:
		return false
	case Reset:
		if conn, isTCP := s.conn.(*net.TCPConn); isTCP {
			_ = conn.SetLinger(0)
		}
		return false
	case Stall:
		_, _ = io.Copy(io.Discard, s.conn) // until the client closes the connection
		return false
	case Trickle:
		for s.send("250-and") {
			time.Sleep(100 * time.Millisecond) // simulates a slow relay
		}
		return false
	default:
		return s.send(string(action))
	}
}

func (s *session) send(line string) bool {
	_, err := io.WriteString(s.conn, line+"\r\n")
	return err == nil
}
