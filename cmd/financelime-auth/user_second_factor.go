package main

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/admin"
	"github.com/financelime/authorization/impl/passkey"
)

type userSecondFactor struct {
	Remove secondFactorRemove `cmd:"" help:"Remove the authenticator app, the recovery codes and all passkeys of a user who has lost them, turn the second factor off and end their sessions. The user is told by email. Find out first who asks."`
}

type secondFactorRemove struct {
	userName
	JSON bool `name:"json" help:"Print JSON."`
}

// removedFactors is what the command has removed.
type removedFactors struct {
	ID            uuid.UUID `json:"id"`
	Email         string    `json:"email"`
	Action        string    `json:"did"`
	TurnedOff     bool      `json:"turnedOff"` // a login with the password needed a second factor
	TOTP          bool      `json:"totp"`
	RecoveryCodes int64     `json:"recoveryCodes"`
	Passkeys      int64     `json:"passkeys"`
	Sessions      int64     `json:"sessions"` // ended
}

// Run removes the second factors of a user. A running service mails the user within a second.
func (cmd *secondFactorRemove) Run(ctx context.Context, s *Settings, c console) error {
	return withUser(ctx, s, cmd.User, "user second-factor remove", func(store *db.Store, account db.Account) error {
		store = s.withAudit(store, auditEvent{action: "user.second_factor_removed", account: &account.ID})
		removed, sessions, err := admin.RemoveSecondFactor(ctx, store, account.ID, time.Now())
		if err != nil {
			return err
		}
		newAudit(s, c).LogAttrs(ctx, slog.LevelInfo, "user.second_factor_removed",
			slog.String("account_id", account.ID.String()), slog.String("kinds", strings.Join(removed.Kinds(), " ")), slog.Int64("sessions", sessions))
		if cmd.JSON {
			return printJSON(c, removedFactors{
				ID: account.ID, Email: account.Email, Action: "second factor removed", TurnedOff: removed.TurnedOff, TOTP: removed.TOTP,
				RecoveryCodes: removed.RecoveryCodes, Passkeys: removed.Passkeys, Sessions: sessions,
			})
		}
		var parts []string
		if removed.TOTP {
			parts = append(parts, "the authenticator app")
		}
		parts = append(parts, count(removed.RecoveryCodes, "recovery code"), count(removed.Passkeys, "passkey"))
		_, err = fmt.Fprintf(c.out, "removed the second factors of %s (%s): %s; %s ended\n",
			account.Email, account.ID, strings.Join(parts, ", "), count(sessions, "session"))
		return err
	})
}

// factorsShown are the second factors of a user, for `user show`.
type factorsShown struct {
	Since         *time.Time `json:"since,omitempty"`     // since when a login with the password needs a second factor
	TOTP          *time.Time `json:"totp,omitempty"`      // when the user set the authenticator app up
	TOTPBegun     *time.Time `json:"totpBegun,omitempty"` // an app that is not confirmed
	RecoveryCodes int64      `json:"recoveryCodes"`       // not used yet
	Failures      int64      `json:"failures"`            // wrong second factors after a right password, since the last right one
}

func newFactorsShown(p admin.Person) factorsShown {
	return factorsShown{
		Since: utc(p.Account.SecondFactorSince), TOTP: utc(p.TOTP.ConfirmedAt), TOTPBegun: utc(p.TOTP.PendingAt), RecoveryCodes: p.RecoveryCodes,
		Failures: p.Account.SecondFactorFailures,
	}
}

// passkeyRow is a passkey of a user.
type passkeyRow struct {
	ID      uuid.UUID  `json:"id"`
	Name    string     `json:"name"`
	RPID    string     `json:"rpID"`
	Synced  bool       `json:"synced"`
	Created time.Time  `json:"created"`
	Used    *time.Time `json:"used,omitempty"`
}

func (r passkeyRow) cells(time.Time) []any {
	return []any{r.ID, r.Name, r.RPID, yesNo(r.Synced), r.Created, r.Used}
}

func passkeyRows(passkeys []db.Passkey) []passkeyRow {
	rows := make([]passkeyRow, len(passkeys))
	for i, p := range passkeys {
		rows[i] = passkeyRow{ID: p.ID, Name: p.Name, RPID: p.RpID, Synced: passkey.Synced(p), Created: p.CreatedAt.UTC(), Used: utc(p.UsedAt)}
	}
	return rows
}
