package mail

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/textproto"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"
)

// relay is the transport of smtp:// and smtps://: conversations with the mail relay, each for several mails if there are
// several to send.
//
// The conversation is our own because a lost or doubled mail hides in its details: every step has a deadline, nothing
// is said without TLS, and the relay's reply to the final dot alone decides whether it has the mail.
type relay struct {
	host, port  string
	implicitTLS bool        // smtps://
	plain       bool        // ?tls=none
	tls         *tls.Config // nil if plain
	user, pass  string      // no AUTH if user is empty
	helo        string
	timeout     time.Duration // of each step
	idle        *idle
}

func openSMTP(mailURL, mailDomain string, timeout time.Duration) (*relay, error) {
	u, err := url.Parse(mailURL)
	if err != nil { // the error would quote the URL
		return nil, mailURLError("is not a URL; special characters in its user name and password must be percent-encoded")
	}
	r := &relay{host: u.Hostname(), port: u.Port(), implicitTLS: u.Scheme == "smtps", helo: mailDomain, timeout: timeout, idle: newIdle()}
	switch {
	case timeout <= 0:
		return nil, errors.New("AUTH_MAIL_TIMEOUT must be more than 0")
	case u.Opaque != "" || r.host == "":
		return nil, mailURLError("names no host: write %s://host", u.Scheme)
	case u.Path != "" && u.Path != "/" || u.Fragment != "":
		return nil, mailURLError("has something after the host that is no parameter")
	}
	if r.port == "" {
		r.port = map[bool]string{false: "587", true: "465"}[r.implicitTLS] // RFC 6409, RFC 8314
	}
	if n, err := strconv.ParseUint(r.port, 10, 16); err != nil || n == 0 {
		return nil, mailURLError("has a bad port")
	}
	if u.User != nil {
		var withPassword bool
		r.user = u.User.Username()
		if r.pass, withPassword = u.User.Password(); r.user == "" || !withPassword {
			return nil, mailURLError("needs both a user name and a password, or neither")
		}
		if strings.ContainsAny(r.user+r.pass, "\x00\r\n") {
			return nil, mailURLError("has a control character in its user name or password")
		}
	}
	if err := r.setParameters(u.RawQuery); err != nil {
		return nil, err
	}
	return r, nil
}

// setParameters applies the query of the URL: tls=none, ca=FILE, helo=NAME.
func (r *relay) setParameters(rawQuery string) error {
	query, err := url.ParseQuery(rawQuery)
	if err != nil {
		return mailURLError("has malformed parameters")
	}
	if strings.Contains(rawQuery, "@") { // then what seems to be a parameter may be the end of a password
		return mailURLError("has an @ behind a ?; special characters in its user name and password must be percent-encoded")
	}
	var roots *x509.CertPool // the system's
	for name, values := range query {
		value := values[0]
		switch {
		case len(values) > 1:
			return mailURLError("has the parameter %q twice", name)
		case name == "tls" && value == "none":
			r.plain = true
		case name == "tls":
			return mailURLError("has a bad parameter tls: only none is known")
		case name == "ca":
			if roots, err = readCertificates(value); err != nil {
				return mailURLError("has a bad parameter ca: %w", err)
			}
		case name == "helo":
			if value == "" || strings.Trim(value, addressDomain+"[]:") != "" {
				return mailURLError("has a bad parameter helo: it must be a host name")
			}
			r.helo = value
		default:
			return mailURLError("has an unknown parameter %q: tls, ca and helo are known", name)
		}
	}
	if !r.plain {
		r.tls = &tls.Config{ServerName: r.host, RootCAs: roots, MinVersion: tls.VersionTLS12}
		return nil
	}
	switch {
	case r.implicitTLS:
		return mailURLError("cannot have tls=none with smtps://")
	case roots != nil:
		return mailURLError("cannot have both tls=none and ca")
	case !isLoopback(r.host):
		return mailURLError("has tls=none, which is only for a relay on this machine: localhost, 127.0.0.1 or [::1]")
	}
	return nil
}

func readCertificates(file string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(file) //nolint:gosec // the operator's own setting
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no PEM certificate", file)
	}
	return pool, nil
}

func isLoopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return strings.EqualFold(host, "localhost") || err == nil && addr.Unmap().IsLoopback()
}

// Send hands a mail to the relay. What its error means is decided in smtp_refusal.go.
func (r *relay) Send(ctx context.Context, env Envelope) error {
	// The last check before the wire: nothing that a row says can become a second command or parameter.
	if err := errors.Join(bareAddress(env.From), bareAddress(env.To)); err != nil {
		return permanent(fmt.Errorf("an address of the envelope %w", err))
	}
	if c := r.idle.take(); c != nil {
		err := c.send(ctx, env)
		if trouble, is := errors.AsType[*RelayError](err); !is || trouble.Heard || ctx.Err() != nil {
			return err
		}
		// The relay may end a conversation in which nothing is said, or has had enough of this one. What that means, a
		// new one tells.
	}
	conn, err := r.dial(ctx)
	if err != nil {
		return &RelayError{Err: err}
	}
	return (&conversation{relay: r, raw: conn, conn: conn}).send(ctx, env)
}

func (r *relay) dial(ctx context.Context) (net.Conn, error) {
	dialer := net.Dialer{Timeout: r.timeout}
	conn, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(r.host, r.port))
	if err != nil {
		return nil, fmt.Errorf("connect to the mail relay: %w", err)
	}
	if r.plain {
		// What localhost means is in a file that anything may have edited.
		if addr, ok := conn.RemoteAddr().(*net.TCPAddr); !ok || !addr.IP.IsLoopback() {
			_ = conn.Close()
			return nil, errors.New("connect to the mail relay: tls=none, and it is not on this machine")
		}
	}
	return conn, nil
}

// conversation is one SMTP session (RFC 5321).
type conversation struct {
	relay   *relay
	raw     net.Conn // without TLS
	conn    net.Conn
	replies *bufio.Reader
	offered map[string]string // the extensions of EHLO: their parameters by keyword in upper case
	mails   int               // that it was for
	end     *time.Timer       // while it is idle
}

// send hands over one mail. After that, the conversation is idle; or over, if anything went wrong.
func (c *conversation) send(ctx context.Context, env Envelope) error {
	// Closing is the only way to end a Read or Write that waits.
	stop := context.AfterFunc(ctx, func() { _ = c.raw.Close() })
	err := c.deliver(env)
	if cut := !stop(); cut || err != nil {
		_ = c.raw.Close() // it is over, whatever this says
		if err != nil && ctx.Err() != nil {
			err = errors.Join(ctx.Err(), err)
		}
		return err
	}
	c.relay.idle.put(c)
	return nil
}

// step runs one step within the timeout and says in the error which one it was.
func (c *conversation) step(name string, run func() error) error {
	if err := c.conn.SetDeadline(time.Now().Add(c.relay.timeout)); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if err := run(); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

func (c *conversation) deliver(env Envelope) error {
	if err := c.begin(env.From); err != nil {
		return &RelayError{Err: err} // it has not heard of the mail yet
	}
	if err := c.step(stepRecipient, func() error { return c.command(2, "RCPT TO:<%s>", env.To) }); err != nil {
		return classify(stepRecipient, err)
	}
	if err := c.step(stepData, func() error { return c.command(3, "DATA") }); err != nil {
		return classify(stepData, err)
	}
	return classify(stepMessage, c.step(stepMessage, func() error { return c.message(env) }))
}

// begin has the part of the conversation that is the same for each mail.
func (c *conversation) begin(from string) error {
	c.mails++
	if c.mails == 1 {
		if err := c.open(); err != nil {
			return err
		}
	}
	// No parameters: addresses are ASCII (a domain beyond it is stored in its "xn--" form) and the body is
	// quoted-printable, so that neither SMTPUTF8 nor 8BITMIME is needed on any hop of the way.
	return c.step("MAIL FROM", func() error { return c.command(2, "MAIL FROM:<%s>", from) })
}

// open comes to the point at which mail may be sent: greeted, under TLS, and logged in.
func (c *conversation) open() error {
	if err := c.greet(); err != nil {
		return err
	}
	if c.relay.user != "" {
		return c.step("AUTH", c.authenticate)
	}
	return nil
}

func (c *conversation) greet() error {
	c.replies = bufio.NewReader(c.conn)
	if c.relay.implicitTLS {
		if err := c.startTLS(); err != nil {
			return err
		}
	}
	if err := c.step("greeting", func() error { return c.hear(2) }); err != nil {
		return err
	}
	if err := c.step("EHLO", c.hello); err != nil {
		return err
	}
	if c.relay.plain || c.relay.implicitTLS {
		return nil
	}
	if _, offered := c.offered["STARTTLS"]; !offered {
		return errors.New("STARTTLS: the mail relay does not offer it, and without TLS nothing is sent")
	}
	if err := c.step("STARTTLS", func() error { return c.command(2, "STARTTLS") }); err != nil {
		return err
	}
	if err := c.startTLS(); err != nil {
		return err
	}
	return c.step("EHLO", c.hello)
}

// hello says EHLO, or HELO to a relay that refuses it, and notes what the relay offers.
func (c *conversation) hello() error {
	c.offered = make(map[string]string)
	answer, err := c.ask("EHLO %s", c.relay.helo)
	if err != nil {
		return err
	}
	if answer.class() == 5 {
		return c.command(2, "HELO %s", c.relay.helo)
	}
	if err := answer.expect(2); err != nil {
		return err
	}
	for _, line := range answer.lines[1:] { // the first one is the relay's name
		line = strings.ToUpper(strings.TrimSpace(line))
		end := strings.IndexAny(line, " \t=") // "AUTH=LOGIN" is an old spelling that some relays still use
		if end < 0 {
			end = len(line)
		}
		keyword, parameters := line[:end], strings.TrimLeft(line[end:], " \t=")
		c.offered[keyword] = strings.TrimSpace(c.offered[keyword] + " " + parameters)
	}
	return nil
}

func (c *conversation) startTLS() error {
	under := tls.Client(c.conn, c.relay.tls)
	if err := c.step("TLS", under.Handshake); err != nil {
		return err
	}
	// A new reader: nothing that was said before is to be believed (RFC 3207, section 4.2).
	c.conn, c.replies = under, bufio.NewReader(under)
	return nil
}

// message sends the content; the relay's reply to the final dot is the moment at which it takes the mail over.
func (c *conversation) message(env Envelope) error {
	out := bufio.NewWriter(c.conn)
	w := textproto.NewWriter(out).DotWriter()
	if _, err := w.Write(env.Data); err != nil {
		return c.lastWord(err)
	}
	if err := env.commit(); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return c.lastWord(err)
	}
	return c.hear(2)
}

// command sends one line and expects a reply of that class.
func (c *conversation) command(class int, format string, args ...any) error {
	answer, err := c.ask(format, args...)
	if err != nil {
		return err
	}
	return answer.expect(class)
}

// ask sends one line and reads the reply.
func (c *conversation) ask(format string, args ...any) (reply, error) {
	if _, err := fmt.Fprintf(c.conn, format+"\r\n", args...); err != nil {
		return reply{}, c.lastWord(err)
	}
	return readReply(c.replies)
}

// hear reads a reply and expects it to be of that class.
func (c *conversation) hear(class int) error {
	answer, err := readReply(c.replies)
	if err != nil {
		return err
	}
	return answer.expect(class)
}

// lastWord is why we could no longer write: a relay that hung up may have said so before, as with 421.
func (c *conversation) lastWord(err error) error {
	if answer, unread := readReply(c.replies); unread == nil && answer.class() >= 4 {
		return errors.Join(&replyError{answer}, err)
	}
	return err
}

// quit says good-bye and ends the conversation. The relay has the mails already, so errors change nothing.
func (c *conversation) quit() {
	_ = c.conn.SetDeadline(time.Now().Add(min(c.relay.timeout, time.Second)))
	_, _ = c.ask("QUIT")
	_ = c.conn.Close()
}
