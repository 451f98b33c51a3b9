package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/google/uuid"

	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/invite"
	"github.com/financelime/authorization/impl/mail"
	"github.com/financelime/authorization/impl/secret"
)

// The limits of the first invite code.
const (
	firstInviteUses     = 100
	firstInviteLifetime = 30 * 24 * time.Hour
)

// printBanner prints the addresses of the service on a terminal, and an invite code for the first user. It is called when the service
// listens: if the startup failed after a code was created, nobody would see the code. If the output is not a terminal, it prints
// nothing, and the log says how to create a code.
func printBanner(ctx context.Context, s *Settings, c console, first *firstInvite, transport mail.Transport, admin net.Addr) {
	terminal := isTerminal(c.out)
	code := ""
	if s.InviteRequired && first.needed(ctx) {
		if terminal && s.sqlitePath() != "" { // PostgreSQL may be shared: its operators create their own codes
			code = first.create(ctx)
		}
		if code == "" {
			first.log.InfoContext(ctx, "invite.none", slog.String("hint", "nobody can sign up yet: create a code with financelime-auth invite create"))
		}
	}
	if !terminal {
		return
	}
	rows := [][2]string{
		{"API", s.PublicURL + "   (reference: /docs, contract: /openapi.yaml)"},
		{"Account page", s.PublicURL + "/account   (for users: sign up, log in, manage the account)"},
		{"Health", fmt.Sprintf("http://%s/healthz, /readyz, /metrics", admin)},
	}
	if files, local := transport.(*mail.Files); local {
		rows = append(rows, [2]string{"Mailbox", fmt.Sprintf("http://%s/mail   (files: %s)", admin, files.Dir)})
	}
	if code != "" {
		rows = append(rows, [2]string{"Invite code", fmt.Sprintf("%s   (%d sign-ups, 30 days; create more: financelime-auth invite create)", code, firstInviteUses)})
	}
	if s.Dev {
		rows = append(rows, [2]string{"Development", "the examples of openapi.yaml work: user, password, invite code, tokens. Never for real users."})
	}
	fmt.Fprintf(c.out, "\nFinancelime Authorization %s\n\n", number)
	for _, r := range rows {
		fmt.Fprintf(c.out, "  %-12s %s\n", r[0], r[1])
	}
	fmt.Fprintln(c.out)
}

// firstInvite creates the first invite of a database.
type firstInvite struct {
	store *db.Store
	root  secret.Root
	log   *slog.Logger
}

// needed reports whether the database has neither an invite nor a user.
func (f *firstInvite) needed(ctx context.Context) bool {
	now := time.Now().UTC()
	invites, err := f.store.Read().ListInvites(ctx, db.ListInvitesParams{Now: &now, Before: uuid.Max, MaxRows: 1})
	if err != nil || len(invites) > 0 {
		return false
	}
	users, err := f.store.Read().ListAccounts(ctx, db.ListAccountsParams{Before: uuid.Max, MaxRows: 1})
	return err == nil && len(users) == 0
}

// create creates the invite and returns its code. If it fails it logs the error and returns "": the service works without the code.
func (f *firstInvite) create(ctx context.Context) string {
	code, err := invite.Create(ctx, f.store, f.root, invite.Options{Uses: firstInviteUses, Lifetime: firstInviteLifetime}, time.Now())
	if err != nil {
		f.log.WarnContext(ctx, "invite.create_failed", slog.Any("error", err))
		return ""
	}
	return code
}
