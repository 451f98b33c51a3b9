// Package event logs security events: one line each, with a stable name. docs/events.md lists them.
package event

import (
	"context"
	"log/slog"
	"slices"

	"github.com/google/uuid"

	"github.com/financelime/authorization/impl/reqinfo"
)

// Name is the name of an event. It is stable, so that log searches and alerts can depend on it.
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
	PasswordChanged        Name = "password.changed"
	PasswordRefused        Name = "password.refused"
	PasswordRehashFailed   Name = "password.rehash_failed"

	EmailAsked   Name = "email.asked"
	EmailRefused Name = "email.refused"
	EmailChanged Name = "email.changed"
	EmailUndone  Name = "email.undone"

	LoginSucceeded Name = "login.succeeded"
	LoginFailed    Name = "login.failed"

	LoginSecondFactorRequired Name = "login.second_factor_required"

	FactorOn      Name = "factor.on"
	FactorOff     Name = "factor.off"
	FactorAdded   Name = "factor.added"
	FactorRemoved Name = "factor.removed"
	FactorFailed  Name = "factor.failed"

	PasskeyCloneSuspected Name = "passkey.clone_suspected" //nolint:gosec // no credential

	SessionRefreshed     Name = "session.refreshed"
	SessionRepeated      Name = "session.repeated"
	SessionRefused       Name = "session.refused"
	SessionLateRefresh   Name = "session.late_refresh"
	SessionReuseDetected Name = "session.reuse_detected"
	SessionRevoked       Name = "session.revoked"
	SessionRevokedOthers Name = "session.revoked_others"
	SessionSteppedUp     Name = "session.stepped_up"
	SessionStepUpRefused Name = "session.step_up_refused"
	SessionCapped        Name = "session.capped"

	UserClosing  Name = "user.closing"
	UserRestored Name = "user.restored"
	UserDeleted  Name = "user.deleted"
	UserExported Name = "user.exported"

	TokenRefused       Name = "token.refused"
	LimitExceeded      Name = "limit.exceeded"
	LimitReleaseFailed Name = "limit.release_failed"

	RequestUnavailable  Name = "request.unavailable"
	RequestFailed       Name = "request.failed"
	RequestResponseLost Name = "request.response_lost"
)

// level returns the log level: error for a defect, warn for what an operator should look at, debug for what happens on most requests, and
// info for the rest.
func (n Name) level() slog.Level {
	switch n {
	case RequestFailed:
		return slog.LevelError
	case SessionReuseDetected, EmailUndone, PasskeyCloneSuspected, PasswordSwitchedOff, InviteExhausted, PasswordRehashFailed, LimitReleaseFailed, RequestUnavailable:
		return slog.LevelWarn
	case SessionRefreshed, SessionRepeated, RequestResponseLost:
		return slog.LevelDebug
	default:
		return slog.LevelInfo
	}
}

// Outcome is success or failure, from the caller's view.
type Outcome string

// The outcomes.
const (
	Success Outcome = "success"
	Failure Outcome = "failure"
)

// outcome returns the outcome, which depends only on the name.
func (n Name) outcome() Outcome {
	switch n {
	case SignUpAccepted, LinkUsed, PasswordResetRequested, PasswordActivated, PasswordChanged, LoginSucceeded,
		EmailAsked, EmailChanged, EmailUndone,
		SessionRefreshed, SessionRepeated, SessionRevoked, SessionRevokedOthers, SessionCapped, SessionSteppedUp,
		FactorOn, FactorOff, FactorAdded, FactorRemoved,
		UserClosing, UserRestored, UserDeleted, UserExported:
		return Success
	default:
		return Failure
	}
}

// Record logs an event of the request in ctx, with its request ID, its client IP and, if known, its account and session (ASVS 16.2.1). The
// attributes [Account] and [Session] replace the latter. Other attributes must not contain client input, because users type secrets into
// wrong fields.
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
	log.LogAttrs(ctx, name.level(), string(name), append(all, attrs...)...) //nolint:sloglint // the constants above are the only names
}

const (
	accountID = "account_id"
	sessionID = "session_id"
)

func has(attrs []slog.Attr, key string) bool {
	return slices.ContainsFunc(attrs, func(a slog.Attr) bool { return a.Key == key })
}

// Account is the account of an event, if it differs from the caller's.
func Account(id uuid.UUID) slog.Attr { return slog.String(accountID, id.String()) }

// Session is the session of an event, if it differs from the caller's.
func Session(id uuid.UUID) slog.Attr { return slog.String(sessionID, id.String()) }

// Reason is why a request was refused. It is only logged; the response does not contain it.
func Reason(reason string) slog.Attr { return slog.String("reason", reason) }
