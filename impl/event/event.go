// Package event writes the service's security events into its log: one line each, under a name that stays.
// docs/events.md lists them.
package event

import (
	"context"
	"log/slog"
	"slices"

	"github.com/google/uuid"

	"github.com/financelime/authorization/impl/reqinfo"
)

// Name is an event's name, which log searches and alerts may rely on.
type Name string

// The events of the operations.
const (
	SignUpAccepted  Name = "signup.accepted"
	SignUpRefused   Name = "signup.refused"
	InviteUnknown   Name = "invite.unknown"
	InviteExhausted Name = "invite.exhausted"

	LinkUsed    Name = "link.used"
	LinkRefused Name = "link.refused"

	PasswordResetRequested Name = "password.reset_requested"
	PasswordResetRefused   Name = "password.reset_refused"
	PasswordActivated      Name = "password.activated"
	PasswordSwitchedOff    Name = "password.switched_off"
	PasswordRehashFailed   Name = "password.rehash_failed"

	LoginSucceeded Name = "login.succeeded"
	LoginFailed    Name = "login.failed"

	SessionRefreshed     Name = "session.refreshed"
	SessionRepeated      Name = "session.repeated"
	SessionRefused       Name = "session.refused"
	SessionLateRefresh   Name = "session.late_refresh"
	SessionReuseDetected Name = "session.reuse_detected"
	SessionRevoked       Name = "session.revoked"
	SessionCapped        Name = "session.capped"

	TokenRefused       Name = "token.refused"
	LimitExceeded      Name = "limit.exceeded"
	LimitReleaseFailed Name = "limit.release_failed"

	RequestUnavailable  Name = "request.unavailable"
	RequestFailed       Name = "request.failed"
	RequestResponseLost Name = "request.response_lost"
)

// level tells what is broken (error) and what somebody should look at (warn) from what happens all day, and that from what happens
// all the time (debug).
func (n Name) level() slog.Level {
	switch n {
	case RequestFailed:
		return slog.LevelError
	case SessionReuseDetected, PasswordSwitchedOff, InviteExhausted, PasswordRehashFailed, LimitReleaseFailed, RequestUnavailable:
		return slog.LevelWarn
	case SessionRefreshed, SessionRepeated, RequestResponseLost:
		return slog.LevelDebug
	default:
		return slog.LevelInfo
	}
}

// Outcome is how what the event tells of ended for the one who tried it.
type Outcome string

// The outcomes.
const (
	Success Outcome = "success"
	Failure Outcome = "failure"
)

// outcome follows from the name.
func (n Name) outcome() Outcome {
	switch n {
	case SignUpAccepted, LinkUsed, PasswordResetRequested, PasswordActivated, LoginSucceeded,
		SessionRefreshed, SessionRepeated, SessionRevoked, SessionCapped:
		return Success
	default:
		return Failure
	}
}

// Record logs an event of the request in ctx, with its request id, its source, and the account and session where they
// are known (ASVS 16.2.1); attributes may name others, by [Account] and [Session]. Of what a caller has sent, nothing else may be among the attributes: what is typed may be a secret.
func Record(ctx context.Context, log *slog.Logger, name Name, attrs ...slog.Attr) {
	if !log.Enabled(ctx, name.level()) {
		return
	}
	req := reqinfo.FromContext(ctx)
	all := append(make([]slog.Attr, 0, 5+len(attrs)),
		slog.String("outcome", string(name.outcome())),
		slog.String("request_id", req.RequestID),
		slog.String("remote_addr", req.Addr.String()))
	if req.AccountID != "" && !has(attrs, accountID) {
		all = append(all, slog.String(accountID, req.AccountID))
	}
	if req.SessionID != "" && !has(attrs, sessionID) {
		all = append(all, slog.String(sessionID, req.SessionID))
	}
	log.LogAttrs(ctx, name.level(), string(name), append(all, attrs...)...) //nolint:sloglint // the names above are all there are
}

const (
	accountID = "account_id"
	sessionID = "session_id"
)

func has(attrs []slog.Attr, key string) bool {
	return slices.ContainsFunc(attrs, func(a slog.Attr) bool { return a.Key == key })
}

// Account names whom an event is about, where that is not the caller.
func Account(id uuid.UUID) slog.Attr { return slog.String(accountID, id.String()) }

// Session names the session that an event is about, where that is not the caller's.
func Session(id uuid.UUID) slog.Attr { return slog.String(sessionID, id.String()) }

// Reason is why something was refused, for the log and never for the caller.
func Reason(reason string) slog.Attr { return slog.String("reason", reason) }
