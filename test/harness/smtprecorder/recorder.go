// Package smtprecorder is a mail relay for tests. It records each line that it receives, and fails at any step: it closes the
// connection, hangs, replies endlessly or refuses.
package smtprecorder

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"
)

// Step is a step of an SMTP session at which the relay can fail.
type Step string

// The steps, in their order.
const (
	Connect  Step = "connect"  // a client connects
	Greeting Step = "greeting" // before the greeting
	EHLO     Step = "EHLO"
	STARTTLS Step = "STARTTLS"
	AUTH     Step = "AUTH"
	MAIL     Step = "MAIL"
	RCPT     Step = "RCPT"
	DATA     Step = "DATA"
	Content  Step = "content"  // in the middle of the message
	Dot      Step = "dot"      // after the final dot, before the reply to it
	Accepted Step = "accepted" // after the positive reply to the final dot
	QUIT     Step = "QUIT"
)

// Action is what the relay does at a step: a fault, a reply such as "451 4.3.0 later", or the usual reply if it is empty. At the steps
// Connect, Content and Accepted, which have no reply, any reply counts as the usual one.
type Action string

// The faults.
const (
	Usual   Action = ""
	Drop    Action = "drop"    // closes the connection
	Reset   Action = "reset"   // closes it so that bytes that the client has not read are lost
	Stall   Action = "stall"   // sends nothing more
	Trickle Action = "trickle" // sends lines of a reply that never ends
)

// Moment is the state of a session when a Plan is called.
type Moment struct {
	Session int // from 1
	Step    Step
	To      string // the recipient, once it is known
}

// Plan decides what the relay does at a moment.
type Plan func(at Moment) Action

// First returns a plan that acts at one step of the first session only.
func First(step Step, action Action) Plan {
	return func(at Moment) Action {
		if at.Session == 1 && at.Step == step {
			return action
		}
		return Usual
	}
}

// Recorder is the relay. Its exported fields are set before Start.
type Recorder struct {
	TLS      *tls.Config // offers STARTTLS if not nil
	Auth     string      // the offered mechanisms, such as "PLAIN LOGIN"
	Password string      // the correct password of the user "user"
	Plan     Plan        // may be changed with SetPlan

	port     int
	sessions sync.WaitGroup

	mu          sync.Mutex
	listener    net.Listener
	open        map[net.Conn]bool
	transcripts []*transcript
	messages    []*Message
	byAddress   map[string][]*Message
}

// transcript is the lines that the relay received in one session.
type transcript struct {
	number int
	lines  []string
}

// Message is a message that the relay received up to the final dot.
type Message struct {
	Session    int
	Commands   []string // the raw lines from MAIL to DATA
	From, To   string   // of the envelope, without brackets
	Recipients int      // the number of RCPT TO
	Wire       string   // as received: with dot-stuffing, without the final dot
	TLS        bool
	At         time.Time

	once   sync.Once
	parsed *parsed
}

// Start starts the relay. It stops at the end of the test.
func (r *Recorder) Start(t testing.TB) *Recorder {
	t.Helper()
	r.open, r.byAddress = make(map[net.Conn]bool), make(map[string][]*Message)
	// Ports below the ephemeral range, so that no outgoing connection takes the port between Close and Open.
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

// Address returns host and port.
func (r *Recorder) Address() string { return fmt.Sprintf("127.0.0.1:%d", r.port) }

// Setting returns the service's AUTH_MAIL_URL for a relay without TLS.
func (r *Recorder) Setting() string { return "AUTH_MAIL_URL=smtp://" + r.Address() + "?tls=none" }

// Port returns the relay's port.
func (r *Recorder) Port() int { return r.port }

// Close closes all connections and refuses new ones.
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

// Open accepts connections, also after Close.
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

// Messages returns all messages that the relay received and did not refuse, in order.
func (r *Recorder) Messages() []*Message {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]*Message(nil), r.messages...)
}

// To returns the Messages to one address.
func (r *Recorder) To(address string) []*Message {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]*Message(nil), r.byAddress[address]...)
}

// Sessions returns the number of connections.
func (r *Recorder) Sessions() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.transcripts)
}

// Lines returns the raw lines of a session with their line ends, except those of messages.
func (r *Recorder) Lines(session int) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string(nil), r.transcripts[session-1].lines...)
}

func (r *Recorder) serve(conn net.Conn) {
	r.mu.Lock()
	if r.listener == nil {
		r.mu.Unlock()
		_ = conn.Close()
		return
	}
	r.open[conn] = true
	c := &transcript{number: len(r.transcripts) + 1}
	r.transcripts = append(r.transcripts, c)
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
