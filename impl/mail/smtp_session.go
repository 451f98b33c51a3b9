package mail

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/textproto"
	"strings"
	"time"
)

// smtpSession is one SMTP session (RFC 5321).
type smtpSession struct {
	relay   *relay
	raw     net.Conn // without TLS
	conn    net.Conn
	replies *bufio.Reader
	offered map[string]string // the extensions in the reply to EHLO: parameters by keyword in upper case
	mails   int               // how many mails it was used for
	expiry  *time.Timer       // ends the session while it is idle
}

// send sends one mail. Then it puts the session into the pool, or closes it if there was an error.
func (s *smtpSession) send(ctx context.Context, env Envelope) error {
	// Only closing the connection ends a pending Read or Write.
	stop := context.AfterFunc(ctx, func() { _ = s.raw.Close() })
	err := s.deliver(env)
	if cut := !stop(); cut || err != nil {
		_ = s.raw.Close()
		if err != nil && ctx.Err() != nil {
			err = errors.Join(ctx.Err(), err)
		}
		return err
	}
	s.relay.pool.put(s)
	return nil
}

// step runs one step with the timeout. The name of the step is part of its error.
func (s *smtpSession) step(name string, run func() error) error {
	if err := s.conn.SetDeadline(time.Now().Add(s.relay.timeout)); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if err := run(); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

func (s *smtpSession) deliver(env Envelope) error {
	if err := s.begin(env.From); err != nil {
		return &RelayError{Err: err} // the relay does not have the recipient yet
	}
	if err := s.step(stepRecipient, func() error { return s.command(2, "RCPT TO:<%s>", env.To) }); err != nil {
		return classify(stepRecipient, err)
	}
	if err := s.step(stepData, func() error { return s.command(3, "DATA") }); err != nil {
		return classify(stepData, err)
	}
	return classify(stepMessage, s.step(stepMessage, func() error { return s.message(env) }))
}

// begin does the steps before RCPT TO, which are the same for each mail.
func (s *smtpSession) begin(from string) error {
	s.mails++
	if s.mails == 1 {
		if err := s.open(); err != nil {
			return err
		}
	}
	// No parameters: addresses are ASCII (other domains are stored in their "xn--" form) and the body is quoted-printable, so that no
	// relay on the way needs SMTPUTF8 or 8BITMIME.
	return s.step("MAIL FROM", func() error { return s.command(2, "MAIL FROM:<%s>", from) })
}

// open does the steps before the first mail: greeting, EHLO, TLS and AUTH.
func (s *smtpSession) open() error {
	if err := s.greet(); err != nil {
		return err
	}
	if s.relay.user != "" {
		return s.step("AUTH", s.authenticate)
	}
	return nil
}

func (s *smtpSession) greet() error {
	s.replies = bufio.NewReader(s.conn)
	if s.relay.implicitTLS {
		if err := s.startTLS(); err != nil {
			return err
		}
	}
	if err := s.step("greeting", func() error { return s.expectReply(2) }); err != nil {
		return err
	}
	if err := s.step("EHLO", s.hello); err != nil {
		return err
	}
	if s.relay.plain || s.relay.implicitTLS {
		return nil
	}
	if _, offered := s.offered["STARTTLS"]; !offered {
		return errors.New("STARTTLS: the mail relay does not offer it, and without TLS nothing is sent")
	}
	if err := s.step("STARTTLS", func() error { return s.command(2, "STARTTLS") }); err != nil {
		return err
	}
	if err := s.startTLS(); err != nil {
		return err
	}
	return s.step("EHLO", s.hello)
}

// hello sends EHLO, or HELO to a relay that refuses EHLO, and stores the offered extensions.
func (s *smtpSession) hello() error {
	s.offered = make(map[string]string)
	got, err := s.exchange("EHLO %s", s.relay.helo)
	if err != nil {
		return err
	}
	if got.class() == 5 {
		return s.command(2, "HELO %s", s.relay.helo)
	}
	if err := got.expect(2); err != nil {
		return err
	}
	for _, line := range got.lines[1:] { // the first line has the relay's name
		line = strings.ToUpper(strings.TrimSpace(line))
		end := strings.IndexAny(line, " \t=") // some relays still use the old spelling "AUTH=LOGIN"
		if end < 0 {
			end = len(line)
		}
		keyword, parameters := line[:end], strings.TrimLeft(line[end:], " \t=")
		s.offered[keyword] = strings.TrimSpace(s.offered[keyword] + " " + parameters)
	}
	return nil
}

func (s *smtpSession) startTLS() error {
	conn := tls.Client(s.conn, s.relay.tls)
	if err := s.step("TLS", conn.Handshake); err != nil {
		return err
	}
	// A new reader discards what the relay sent without TLS (RFC 3207, section 4.2).
	s.conn, s.replies = conn, bufio.NewReader(conn)
	return nil
}

// message sends the content. The relay has the mail if its reply to the final dot is positive.
func (s *smtpSession) message(env Envelope) error {
	out := bufio.NewWriter(s.conn)
	w := textproto.NewWriter(out).DotWriter()
	if _, err := w.Write(env.Data); err != nil {
		return s.writeError(err)
	}
	if err := env.commit(); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return s.writeError(err)
	}
	return s.expectReply(2)
}

// command sends one line and expects a reply of a class.
func (s *smtpSession) command(class int, format string, args ...any) error {
	got, err := s.exchange(format, args...)
	if err != nil {
		return err
	}
	return got.expect(class)
}

// exchange sends one line and reads the reply.
func (s *smtpSession) exchange(format string, args ...any) (reply, error) {
	if _, err := fmt.Fprintf(s.conn, format+"\r\n", args...); err != nil {
		return reply{}, s.writeError(err)
	}
	return readReply(s.replies)
}

// expectReply reads a reply and expects it to be of a class.
func (s *smtpSession) expectReply(class int) error {
	got, err := readReply(s.replies)
	if err != nil {
		return err
	}
	return got.expect(class)
}

// writeError returns the reason of a failed write. A relay that closed the connection may have sent a reply before, such as 421.
func (s *smtpSession) writeError(err error) error {
	if got, readErr := readReply(s.replies); readErr == nil && got.class() >= 4 {
		return errors.Join(&replyError{got}, err)
	}
	return err
}

// quit sends QUIT and closes the connection. It ignores errors, because the relay has the mails already.
func (s *smtpSession) quit() {
	_ = s.conn.SetDeadline(time.Now().Add(min(s.relay.timeout, time.Second)))
	_, _ = s.exchange("QUIT")
	_ = s.conn.Close()
}
