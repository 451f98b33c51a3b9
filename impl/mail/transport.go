package mail

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
)

// Envelope is a mail as a Transport gets it.
type Envelope struct {
	ID        uuid.UUID // of the outbox row; the same at each attempt
	Kind      string
	CreatedAt time.Time
	From, To  string // addresses without names or brackets
	Data      []byte // the message, with CRLF line ends

	// Commit must be called immediately before the recipient's side can have the whole mail. If it fails, the mail must not be sent.
	Commit func() error
}

func (e Envelope) commit() error {
	if e.Commit == nil {
		return nil
	}
	return e.Commit()
}

// Transport sends mails. If Send returns nil, the mail is safely stored by the relay or on disk. If it returns a PermanentError, no later
// attempt can succeed. A RelayError means that an attempt at any other mail would have failed, too. After any other error the mail is tried
// again. If the error contains a RefusedError, the reason may be this mail's alone or that of every mail.
type Transport interface {
	Send(ctx context.Context, env Envelope) error
}

// PermanentError means that a mail can never be sent.
type PermanentError struct{ Err error }

func (e *PermanentError) Error() string { return e.Err.Error() }

// Unwrap returns Err.
func (e *PermanentError) Unwrap() error { return e.Err }

func permanent(err error) error { return &PermanentError{Err: err} }

// isPermanent reports whether err contains a PermanentError.
func isPermanent(err error) bool {
	_, ok := errors.AsType[*PermanentError](err)
	return ok
}

// RelayError means that the relay has a problem, not the mail.
type RelayError struct {
	Err error
	// AfterRecipient: the relay had the recipient when it failed. Then the mail may be the cause, whatever the relay's reply is.
	AfterRecipient bool
}

func (e *RelayError) Error() string { return e.Err.Error() }

// Unwrap returns Err.
func (e *RelayError) Unwrap() error { return e.Err }

// RefusedError means that the relay had the recipient and did not accept the mail, for a reason that may be this mail's alone or that of
// every mail. The worker changes it to a RelayError when the relay refuses several different recipients in a row.
type RefusedError struct{ Err error }

func (e *RefusedError) Error() string { return e.Err.Error() }

// Unwrap returns Err.
func (e *RefusedError) Unwrap() error { return e.Err }

// OpenTransport returns the transport of AUTH_MAIL_URL: "file:DIR", "smtp://[user:pass@]host[:587]" or "smtps://[user:pass@]host[:465]".
// from is AUTH_MAIL_FROM, timeout is AUTH_MAIL_TIMEOUT. It does not connect yet. Errors name the setting and never contain the URL, which
// may contain a password.
func OpenTransport(mailURL, from string, timeout time.Duration) (Transport, error) {
	s, err := parseSender(from)
	if err != nil {
		return nil, err
	}
	scheme, rest, _ := strings.Cut(mailURL, ":")
	switch strings.ToLower(scheme) {
	case "file":
		return openFiles(rest)
	case "smtp", "smtps":
		return openSMTP(mailURL, s.domain, timeout)
	}
	return nil, mailURLError("must begin with file:, smtp:// or smtps://")
}

func mailURLError(format string, args ...any) error {
	return fmt.Errorf("AUTH_MAIL_URL "+format, args...)
}
