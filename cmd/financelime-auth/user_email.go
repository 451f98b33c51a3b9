package main

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/admin"
	"github.com/financelime/authorization/impl/link"
)

type userEmail struct {
	userName
	NewEmail string `arg:"" name:"new-email" help:"The new email address."`
	JSON     bool   `name:"json" help:"Print JSON."`
}

// Run changes the address of a user. A running service mails the old address within a second.
func (cmd *userEmail) Run(ctx context.Context, s *Settings, c console) error {
	return withUser(ctx, s, cmd.User, "user email", func(store *db.Store, account db.Account) error {
		root, err := s.databaseRoot(ctx, store)
		if err != nil {
			return err
		}
		store = s.withAudit(store, auditEvent{action: "user.email_changed", account: &account.ID})
		changed, ended, err := admin.ChangeEmail(ctx, store, link.New(root), account.ID, cmd.NewEmail, time.Now())
		if err != nil {
			return fmt.Errorf("%q: %w", cmd.NewEmail, err)
		}
		newAudit(s, c).LogAttrs(ctx, slog.LevelInfo, "user.email_changed",
			slog.String("account_id", account.ID.String()), slog.Int64("sessions", ended.Sessions))
		done := result{ID: account.ID, Email: changed.Email, Action: "email changed"}
		if cmd.JSON {
			done.Ended = &ended
			return done.printTo(c, true)
		}
		_, err = fmt.Fprintf(c.out, "changed the email of %s to %s: %s ended\n", account.ID, changed.Email, count(ended.Sessions, "session"))
		return err
	})
}
