package mail

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/smtp"
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

// Send hands a mail to the relay. A 5xx reply to the recipient or to the message itself is permanent. What goes wrong
// before the relay has heard of the recipient, a refused sender or password included, is the relay's trouble or our
// setting's.
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
	relay  *relay
	raw    net.Conn // without TLS
	conn   net.Conn
	client *smtp.Client
	mails  int         // that it was for
	end    *time.Timer // while it is idle
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
	if err := c.step("RCPT TO", func() error { return c.command(2, "RCPT TO:<%s>", env.To) }); err != nil {
		return permanentIfRefused(relayIfLeaving(err))
	}
	if err := c.step("DATA", func() error { return c.command(354, "DATA") }); err != nil {
		return relayIfLeaving(err)
	}
	return permanentIfRefused(c.step("message", func() error { return c.message(env.Data) }))
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
	if c.relay.implicitTLS {
		under := tls.Client(c.conn, c.relay.tls)
		if err := c.step("TLS", under.Handshake); err != nil {
			return err
		}
		c.conn = under
	}
	if err := c.step("greeting", func() (err error) {
		c.client, err = smtp.NewClient(c.conn, c.relay.host)
		return err
	}); err != nil {
		return err
	}
	if err := c.step("EHLO", func() error { return c.client.Hello(c.relay.helo) }); err != nil {
		return err
	}
	if c.relay.plain || c.relay.implicitTLS {
		return nil
	}
	if offered, _ := c.client.Extension("STARTTLS"); !offered {
		return errors.New("STARTTLS: the mail relay does not offer it, and without TLS nothing is sent")
	}
	return c.step("STARTTLS", func() error { return c.client.StartTLS(c.relay.tls) })
}

// message sends the content; the relay's reply to the final dot is the moment at which it takes the mail over.
func (c *conversation) message(data []byte) error {
	w := c.client.Text.DotWriter()
	if _, err := w.Write(data); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	_, _, err := c.client.Text.ReadResponse(2)
	return err
}

// command sends one line and expects a reply with that code, or of that class.
func (c *conversation) command(expect int, format string, args ...any) error {
	text := c.client.Text
	id, err := text.Cmd(format, args...)
	if err != nil {
		return err
	}
	text.StartResponse(id)
	defer text.EndResponse(id) // or the client's own commands would wait for their turn for ever
	_, _, err = text.ReadResponse(expect)
	return err
}

// quit says good-bye and ends the conversation. The relay has the mails already, so errors change nothing.
func (c *conversation) quit() {
	_ = c.conn.SetDeadline(time.Now().Add(min(c.relay.timeout, time.Second)))
	_ = c.client.Quit()
	_ = c.conn.Close()
}

func permanentIfRefused(err error) error {
	if reply, is := errors.AsType[*textproto.Error](err); is && reply.Code >= 500 && reply.Code <= 599 {
		return permanent(err)
	}
	return err
}

// relayIfLeaving recognises a relay that ends the conversation: 421, RFC 5321, section 3.8. While it waits for a command,
// that means that the relay is shutting down or has had enough of us.
func relayIfLeaving(err error) error {
	if reply, is := errors.AsType[*textproto.Error](err); is && reply.Code == 421 {
		return &RelayError{Err: err, Heard: true}
	}
	return err
}
