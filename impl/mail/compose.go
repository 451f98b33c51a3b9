package mail

import (
	"errors"
	"fmt"
	"mime"
	netmail "net/mail"
	"net/textproto"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/jordan-wright/email"
)

// sender is the sender of all mails: AUTH_MAIL_FROM.
type sender struct {
	name    string // for the From header, as configured; may be empty
	address string // for the envelope
	domain  string // of address, for Message-IDs and EHLO
	service string // the name that users read
}

// parseSender parses AUTH_MAIL_FROM: "Name <local@domain>" or an address alone.
func parseSender(from string) (sender, error) {
	if err := headerSafe(from); err != nil {
		return sender{}, fmt.Errorf("AUTH_MAIL_FROM %w", err)
	}
	parsed, err := netmail.ParseAddress(from)
	if err != nil {
		return sender{}, fmt.Errorf("AUTH_MAIL_FROM must be an address such as \"Name <no-reply@example.org>\"")
	}
	if err := bareAddress(parsed.Address); err != nil {
		return sender{}, fmt.Errorf("AUTH_MAIL_FROM: the address %w", err)
	}
	if err := headerSafe(parsed.Name); err != nil { // an encoded word can contain what the raw text does not show
		return sender{}, fmt.Errorf("AUTH_MAIL_FROM: the name %w", err)
	}
	_, domain, _ := strings.Cut(parsed.Address, "@")
	s := sender{name: parsed.Name, address: parsed.Address, domain: domain, service: strings.TrimSpace(parsed.Name)}
	if s.service == "" {
		s.service = domain
	}
	return s, nil
}

// compose builds the bytes of a mail. Every attempt sends the same Message-ID and date: both come from the row.
//
// The e-mail package only builds MIME. It would derive the Message-ID from the host name, it splits names at commas, and it does
// not fold lines. So compose writes the header fields below itself, from validated values.
func compose(from sender, to string, id uuid.UUID, date time.Time, m Message) ([]byte, error) {
	if err := bareAddress(to); err != nil {
		return nil, fmt.Errorf("the recipient's address %w", err)
	}
	if err := plainText(m.Subject); err != nil { // of any length: it is folded
		return nil, fmt.Errorf("the subject %w", err)
	}
	sent := date.UTC().Format(time.RFC1123Z)
	e := email.Email{
		From: from.address, To: []string{to}, Text: []byte(m.Text), HTML: []byte(m.HTML),
		Headers: textproto.MIMEHeader{"Message-Id": {messageID(id, from.domain)}, "Date": {sent}},
	}
	data, err := e.Bytes()
	if err != nil {
		return nil, fmt.Errorf("build the mail: %w", err)
	}
	return replaceHeader(data,
		headerField("Date", sent),
		headerField("From", mailboxWords(from.name, from.address)...),
		headerField("To", "<"+to+">"),
		headerField("Message-Id", messageID(id, from.domain)),
		headerField("Subject", subjectWords(m.Subject)...),
		headerField("Content-Language", m.Language), // RFC 3282
		// Prevents out-of-office replies and other automatic responses: RFC 3834, section 5.
		headerField("Auto-Submitted", "auto-generated"),
	), nil
}

// messageID returns the Message-ID of an outbox row. If the reply to an attempt was lost, the next attempt sends a copy with the
// same Message-ID, which the receiving server can drop.
func messageID(id uuid.UUID, domain string) string {
	return "<" + id.String() + "@" + domain + ">"
}

// headerSafe returns an error if value could end a header line and begin another one, or is too long for a name.
func headerSafe(value string) error {
	const maxLen = 900 // encoded
	if err := plainText(value); err != nil {
		return err
	}
	if len(mime.QEncoding.Encode("utf-8", value)) > maxLen {
		return errors.New("is too long")
	}
	return nil
}

// plainText returns an error if value could end a header line and begin another one.
func plainText(value string) error {
	if !utf8.ValidString(value) {
		return errors.New("is not UTF-8")
	}
	if strings.ContainsFunc(value, unicode.IsControl) || strings.ContainsAny(value, "\u2028\u2029") {
		return errors.New("contains a control character")
	}
	return nil
}

// bareAddress returns an error unless s is "local@domain" in printable ASCII, without any character that has a special meaning
// in some mail program: no list, comment, quoting, route or address literal. Addresses were validated before they were stored; this
// is the last check (CVE-2023-7028, CVE-2025-59937).
func bareAddress(s string) error {
	const maxLen = 254 // RFC 5321, 4.5.3.1.3
	local, domain, ok := strings.Cut(s, "@")
	switch {
	case len(s) > maxLen:
		return errors.New("is too long")
	case !ok, local == "", domain == "", strings.Contains(domain, "@"):
		return errors.New("is not a plain e-mail address")
	case strings.Trim(local, addressLocal) != "", strings.Trim(domain, addressDomain) != "":
		return errors.New("contains a character that is not allowed")
	}
	return nil
}

const (
	addressDomain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-"
	addressLocal  = addressDomain + "!#$%&'*+/=?^_`{|}~" // RFC 5322, 3.2.3: dot-atom
)
