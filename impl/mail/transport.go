package mail

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
)

// Envelope is a mail on its way out.
type Envelope struct {
	ID        uuid.UUID // of the outbox row; the same at each attempt
	Kind      string
	CreatedAt time.Time
	From, To  string // bare addresses
	Data      []byte // the message, with CRLF as its line end

	// Commit is called right before the mail can become somebody else's, who then may have it whatever Send says. If it fails, the
	// mail must not be sent.
	Commit func() error
}

func (e Envelope) commit() error {
	if e.Commit == nil {
		return nil
	}
	return e.Commit()
}

// Transport takes mails over. A nil error means that the mail is no longer ours to lose. A PermanentError means that
// no later attempt at this mail can succeed, a RelayError that an attempt at any mail would have failed; after any other
// error, the mail is tried again. A RefusedError within it says that this may be so for every mail.
type Transport interface {
	Send(ctx context.Context, env Envelope) error
}

// PermanentError says that a mail can never be sent.
type PermanentError struct{ Err error }

func (e *PermanentError) Error() string { return e.Err.Error() }

// Unwrap gives the reason.
func (e *PermanentError) Unwrap() error { return e.Err }

func permanent(err error) error { return &PermanentError{Err: err} }

func isPermanent(err error) bool {
	_, is := errors.AsType[*PermanentError](err)
	return is
}

// RelayError says that the way out is in trouble, and not the mail.
type RelayError struct {
	Err error
	// Heard says that the relay had been told of the mail. Then the mail may be the cause, whatever the relay says.
	Heard bool
}

func (e *RelayError) Error() string { return e.Err.Error() }

// Unwrap gives the trouble.
func (e *RelayError) Unwrap() error { return e.Err }

// RefusedError says that the relay has heard of the mail and did not take it, for a reason that may be this mail's alone or that
// of every mail. It becomes a RelayError when several different recipients are refused in a row.
type RefusedError struct{ Err error }

func (e *RefusedError) Error() string { return e.Err.Error() }

// Unwrap gives the refusal.
func (e *RefusedError) Unwrap() error { return e.Err }

// OpenTransport makes the transport that AUTH_MAIL_URL names: "file:DIR", "smtp://[user:pass@]host[:587]" or
// "smtps://[user:pass@]host[:465]". From is AUTH_MAIL_FROM, timeout AUTH_MAIL_TIMEOUT. It connects to nothing yet.
// An error names the setting and never shows the URL, which may hold a password.
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
