package smtprecorder

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"strings"

	"github.com/financelime/authorization/test/harness"
)

// parsed is a parsed message.
type parsed struct {
	header mail.Header
	text   string
	err    error
}

// Header returns the message's header.
func (m *Message) Header() mail.Header { return m.read().header }

// ID returns the Message-ID.
func (m *Message) ID() string { return m.Header().Get("Message-Id") }

// Text returns the text part.
func (m *Message) Text() string { return m.read().text }

// Link returns the link in the text, or "".
func (m *Message) Link() string { return harness.FindLink(m.Text()) }

// Password returns the password in the text, or "".
func (m *Message) Password() string { return harness.FindPassword(m.Text()) }

// Err returns what is wrong with the received message, or nil.
func (m *Message) Err() error { return m.read().err }

func (m *Message) read() *parsed {
	m.once.Do(func() {
		m.parsed = &parsed{header: mail.Header{}}
		m.parsed.err = m.parsed.fill(m.Wire)
	})
	return m.parsed
}

func (p *parsed) fill(wire string) error {
	plain, err := unstuff(wire)
	if err != nil {
		return err
	}
	message, err := mail.ReadMessage(strings.NewReader(plain))
	if err != nil {
		return fmt.Errorf("read the message: %w", err)
	}
	p.header = message.Header
	mediaType, params, err := mime.ParseMediaType(message.Header.Get("Content-Type"))
	if err != nil || mediaType != "multipart/alternative" {
		return fmt.Errorf("content type %q: %w", message.Header.Get("Content-Type"), err)
	}
	parts := multipart.NewReader(message.Body, params["boundary"])
	for {
		part, err := parts.NextRawPart()
		if errors.Is(err, io.EOF) {
			return errors.New("no text part")
		}
		if err != nil {
			return fmt.Errorf("read a part: %w", err)
		}
		if !strings.HasPrefix(part.Header.Get("Content-Type"), "text/plain") {
			continue
		}
		var text bytes.Buffer
		if _, err := text.ReadFrom(quotedprintable.NewReader(part)); err != nil {
			return fmt.Errorf("read the text: %w", err)
		}
		p.text = strings.ReplaceAll(text.String(), "\r\n", "\n")
		return nil
	}
}

// unstuff removes the dots that SMTP adds (RFC 5321, 4.5.2). It refuses what a client must not send: a line end other than
// CRLF (2.3.8), a line that is too long (4.5.3.1.6), a dot that is not doubled.
func unstuff(wire string) (string, error) {
	var plain strings.Builder
	for line := range strings.Lines(wire) {
		content, ended := strings.CutSuffix(line, "\r\n")
		switch {
		case !ended, strings.ContainsAny(content, "\r\n\x00"):
			return "", fmt.Errorf("a line does not end with CRLF, or has one of its characters within: %q", line)
		case len(line) > 1000:
			return "", fmt.Errorf("a line of %d bytes", len(line))
		case content == ".", strings.HasPrefix(content, ".") && !strings.HasPrefix(content, ".."):
			return "", fmt.Errorf("a dot at the beginning of a line is not doubled: %q", line)
		}
		plain.WriteString(strings.TrimPrefix(line, "."))
	}
	return plain.String(), nil
}
