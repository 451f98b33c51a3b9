package mail

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"time"
)

// relay is the transport of smtp:// and smtps://. It sends mails in SMTP sessions with the mail relay, which it reuses.
//
// It does not use net/smtp, because details decide whether a mail is lost or sent twice: every step has a deadline, nothing is sent
// without TLS, and only the relay's reply to the final dot shows whether the relay has the mail.
type relay struct {
	host, port  string
	implicitTLS bool        // smtps://
	plain       bool        // ?tls=none
	tls         *tls.Config // nil if plain
	user, pass  string      // no AUTH if user is empty
	helo        string
	timeout     time.Duration // of each step
	pool        *pool
}

// Send sends a mail to the relay. classify decides what an error means.
func (r *relay) Send(ctx context.Context, env Envelope) error {
	// Whatever a row contains, it cannot become a second command or a parameter.
	if err := errors.Join(bareAddress(env.From), bareAddress(env.To)); err != nil {
		return permanent(fmt.Errorf("an address of the envelope %w", err))
	}
	if s := r.pool.get(); s != nil {
		err := s.send(ctx, env)
		if relayErr, ok := errors.AsType[*RelayError](err); !ok || relayErr.AfterRecipient || ctx.Err() != nil {
			return err
		}
		// The relay may end a session that is idle or has sent many mails. A new session shows whether there is a problem.
	}
	conn, err := r.dial(ctx)
	if err != nil {
		return &RelayError{Err: err}
	}
	return (&smtpSession{relay: r, raw: conn, conn: conn}).send(ctx, env)
}

func (r *relay) dial(ctx context.Context) (net.Conn, error) {
	dialer := net.Dialer{Timeout: r.timeout}
	conn, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(r.host, r.port))
	if err != nil {
		return nil, fmt.Errorf("connect to the mail relay: %w", err)
	}
	if r.plain {
		// The hosts file may give localhost another address.
		if addr, ok := conn.RemoteAddr().(*net.TCPAddr); !ok || !addr.IP.IsLoopback() {
			_ = conn.Close()
			return nil, errors.New("connect to the mail relay: tls=none, and it is not on this machine")
		}
	}
	return conn, nil
}
