// Package smtprecorder is a mail relay on this machine that keeps every line it is told, and fails at whatever step it is
// told to: it hangs up, falls silent, takes forever or refuses.
package smtprecorder

import (
	"bufio"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// Step is a moment of a conversation at which the relay can fail.
type Step string

// The steps, in their order.
const (
	Connect  Step = "connect"  // a connection comes in
	Greeting Step = "greeting" // the relay should greet
	EHLO     Step = "EHLO"
	STARTTLS Step = "STARTTLS"
	AUTH     Step = "AUTH"
	MAIL     Step = "MAIL"
	RCPT     Step = "RCPT"
	DATA     Step = "DATA"
	Content  Step = "content" // in the middle of the message
	Dot      Step = "dot"     // the message has come to its end, the relay should take it over
	Taken    Step = "taken"   // the relay has said that it took the message over
	QUIT     Step = "QUIT"
)

// Answer is what the relay does at a step: one of the faults, a reply of its own such as "451 4.3.0 later", or the usual
// if it is empty. At connect, content and taken, where no reply is due, a reply means the usual.
type Answer string

// The faults.
const (
	Usual   Answer = ""
	Drop    Answer = "drop"    // closes the connection
	Reset   Answer = "reset"   // closes it so that the other side's unread bytes are lost too
	Stall   Answer = "stall"   // says nothing any more
	Trickle Answer = "trickle" // says something now and then, and comes to no end
)

// Moment is where a conversation is.
type Moment struct {
	Conversation int // counted from 1
	Step         Step
	To           string // the recipient, once it is known
}

// Plan decides what the relay does at a moment.
type Plan func(at Moment) Answer

// First does something at a step of the first conversation only.
func First(step Step, answer Answer) Plan {
	return func(at Moment) Answer {
		if at.Conversation == 1 && at.Step == step {
			return answer
		}
		return Usual
	}
}

// Recorder is the relay. Its exported fields are set before Start.
type Recorder struct {
	TLS      *tls.Config // offers STARTTLS if not nil
	Auth     string      // the mechanisms that it offers, such as "PLAIN LOGIN"
	Password string      // the only good one, of the user "user"
	Plan     Plan        // may be changed with SetPlan

	port     int
	sessions sync.WaitGroup

	mu            sync.Mutex
	listener      net.Listener
	open          map[net.Conn]bool
	conversations []*Conversation
	messages      []*Message
	byAddress     map[string][]*Message
}

// Conversation is what was said to the relay on one connection.
type Conversation struct {
	Number int
	lines  []string
}

// Message is a message whose final dot has come.
type Message struct {
	Conversation int
	Commands     []string // the raw lines from its MAIL to its DATA
	From, To     string   // of the envelope, as between the brackets
	Recipients   int      // how many RCPT TO there were
	Wire         string   // as it came: with dot-stuffing, without the final dot
	TLS          bool
	At           time.Time

	once   sync.Once
	parsed *parsed
}

// Start starts the relay, which ends with the test.
func (r *Recorder) Start(t testing.TB) *Recorder {
	t.Helper()
	r.open, r.byAddress = make(map[net.Conn]bool), make(map[string][]*Message)
	// Below the ports that systems give to outgoing connections, so that Open finds the port free again after Close.
	for try := 0; ; try++ {
		r.port = 20000 + rand.IntN(12000)
		err := r.Open()
		if err == nil {
			break
		}
		if try == 100 {
			t.Fatalf("no free port for the mail relay: %v", err)
		}
	}
	t.Cleanup(func() {
		r.Close()
		r.sessions.Wait()
	})
	return r
}

// Address is host and port.
func (r *Recorder) Address() string { return fmt.Sprintf("127.0.0.1:%d", r.port) }

// Setting is the service's AUTH_MAIL_URL for a relay without TLS.
func (r *Recorder) Setting() string { return "AUTH_MAIL_URL=smtp://" + r.Address() + "?tls=none" }

// Port is the relay's port.
func (r *Recorder) Port() int { return r.port }

// Close refuses connections from now on and cuts those that are open.
func (r *Recorder) Close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.listener != nil {
		_ = r.listener.Close()
		r.listener = nil
	}
	for conn := range r.open {
		_ = conn.Close()
	}
}

// Open takes connections, again after Close.
func (r *Recorder) Open() error {
	listener, err := net.Listen("tcp", r.Address())
	if err != nil {
		return fmt.Errorf("mail relay: %w", err)
	}
	r.mu.Lock()
	r.listener = listener
	r.mu.Unlock()
	r.sessions.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			r.sessions.Go(func() { r.serve(conn) })
		}
	})
	return nil
}

// SetPlan changes the plan.
func (r *Recorder) SetPlan(p Plan) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.Plan = p
}

// Messages are all messages whose final dot has come and that the relay has not refused, in their order.
func (r *Recorder) Messages() []*Message {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]*Message(nil), r.messages...)
}

// To is like Messages, for one address.
func (r *Recorder) To(address string) []*Message {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]*Message(nil), r.byAddress[address]...)
}

// Conversations counts the connections.
func (r *Recorder) Conversations() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.conversations)
}

// Lines are the raw lines of the conversation of a number, with their line ends; those of a message are not among them.
func (r *Recorder) Lines(conversation int) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string(nil), r.conversations[conversation-1].lines...)
}

func (r *Recorder) serve(conn net.Conn) {
	r.mu.Lock()
	if r.listener == nil {
		r.mu.Unlock()
		_ = conn.Close()
		return
	}
	r.open[conn] = true
	c := &Conversation{Number: len(r.conversations) + 1}
	r.conversations = append(r.conversations, c)
	r.mu.Unlock()
	defer func() {
		_ = conn.Close()
		r.mu.Lock()
		delete(r.open, conn)
		r.mu.Unlock()
	}()
	s := &session{recorder: r, record: c, conn: conn, lines: bufio.NewReader(conn)}
	s.run()
}

// session is the relay's side of one conversation.
type session struct {
	recorder   *Recorder
	record     *Conversation
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

// command answers one command; it is false when the conversation is over.
func (s *session) command(verb, rest string) bool {
	switch verb {
	case "EHLO", "HELO":
		return s.reply(EHLO, s.offer())
	case "STARTTLS":
		if s.recorder.TLS == nil {
			return s.say("502 5.5.1 not offered")
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
		return s.say("250 ok")
	default:
		return s.say("500 5.5.2 what?")
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
	answer := s.answer(Dot)
	if !isReply(answer) || answer[0] == '2' {
		// It is the relay's now, whether or not the other side will ever know.
		s.keep(&Message{
			Conversation: s.record.Number, Commands: slices.Clone(s.commands), From: s.from, To: s.to, Recipients: s.recipients,
			Wire: wire.String(), TLS: s.underTLS, At: time.Now(),
		})
	}
	return s.act(answer, "250 2.0.0 taken over") && s.pass(Taken)
}

func (s *session) keep(m *Message) {
	r := s.recorder
	r.mu.Lock()
	defer r.mu.Unlock()
	r.messages = append(r.messages, m)
	r.byAddress[m.To] = append(r.byAddress[m.To], m)
}

// authenticate has the rest of an AUTH conversation and gives its last reply.
func (s *session) authenticate(rest string) string {
	decode := func(text string) string {
		b, _ := base64.StdEncoding.DecodeString(text)
		return string(b)
	}
	ask := func(prompt string) string {
		s.say("334 " + base64.StdEncoding.EncodeToString([]byte(prompt)))
		line, _ := s.lines.ReadString('\n')
		return decode(strings.TrimRight(line, "\r\n"))
	}
	var user, password string
	mechanism, initial, _ := strings.Cut(rest, " ")
	if mechanism == "PLAIN" {
		if parts := strings.Split(decode(initial), "\x00"); len(parts) == 3 {
			user, password = parts[1], parts[2]
		}
	} else {
		user = ask("Username:")
		password = ask("Password:")
	}
	if user == "user" && password == s.recorder.Password {
		return "235 2.7.0 welcome"
	}
	return "535 5.7.8 no"
}

func (s *session) answer(step Step) Answer {
	s.recorder.mu.Lock()
	plan := s.recorder.Plan
	s.recorder.mu.Unlock()
	if plan == nil {
		return Usual
	}
	return plan(Moment{Conversation: s.record.Number, Step: step, To: s.to})
}

// reply says what the plan wants at a step, or the usual.
func (s *session) reply(step Step, usual string) bool { return s.act(s.answer(step), usual) }

// pass is a step without a reply.
func (s *session) pass(step Step) bool {
	answer := s.answer(step)
	return answer == Usual || isReply(answer) || s.act(answer, "")
}

func isReply(a Answer) bool { return a != Usual && a[0] >= '0' && a[0] <= '9' }

func (s *session) act(answer Answer, usual string) bool {
	switch answer {
	case Usual:
		return s.say(usual)
	case Drop:
		return false
	case Reset:
		if conn, isTCP := s.conn.(*net.TCPConn); isTCP {
			_ = conn.SetLinger(0)
		}
		return false
	case Stall:
		_, _ = io.Copy(io.Discard, s.conn) // until the other side has had enough
		return false
	case Trickle:
		for s.say("250-and") {
			time.Sleep(100 * time.Millisecond) // that is what a tar-pit does; nothing waits for it
		}
		return false
	default:
		return s.say(string(answer))
	}
}

func (s *session) say(line string) bool {
	_, err := io.WriteString(s.conn, line+"\r\n")
	return err == nil
}
