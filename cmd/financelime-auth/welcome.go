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

// The first invite code.
const (
	firstInviteUses     = 100
	firstInviteLifetime = 30 * 24 * time.Hour
)

// welcome tells a person at a terminal where everything is, and the code with which the first user can sign up. It comes once the
// service is listening: a code that is made before is never told if the start fails. Where a program reads the output, there is
// no banner, and the log says how to make a code.
func welcome(ctx context.Context, s *Settings, c console, first *firstInvite, transport mail.Transport, admin net.Addr) {
	terminal := isTerminal(c.out)
	code := ""
	if s.InviteRequired && first.needed(ctx) {
		if terminal && s.sqlitePath() != "" { // a database of one machine
			code = first.create(ctx)
		}
		if code == "" {
			first.log.InfoContext(ctx, "invite.none", slog.String("hint", "nobody can sign up yet: financelime-auth invite create makes a code"))
		}
	}
	if !terminal {
		return
	}
	rows := [][2]string{
		{"API", s.PublicURL + "   (contract: /openapi.yaml)"},
		{"Health", fmt.Sprintf("http://%s/healthz, /readyz, /metrics", admin)},
	}
	if files, local := transport.(*mail.Files); local {
		rows = append(rows, [2]string{"Mailbox", fmt.Sprintf("http://%s/mail   (files: %s)", admin, files.Dir)})
	}
	if code != "" {
		rows = append(rows, [2]string{"Invite code", fmt.Sprintf("%s   (%d uses, 30 days; another one: financelime-auth invite create)", code, firstInviteUses)})
	}
	fmt.Fprintf(c.out, "\nFinancelime Authorization %s\n\n", number)
	for _, r := range rows {
		fmt.Fprintf(c.out, "  %-12s %s\n", r[0], r[1])
	}
	fmt.Fprintln(c.out)
}

// firstInvite is the invite of a service that has none.
type firstInvite struct {
	store *db.Store
	root  secret.Root
	log   *slog.Logger
}

// needed reports whether there is neither an invite nor a user.
func (f *firstInvite) needed(ctx context.Context) bool {
	now := time.Now().UTC()
	invites, err := f.store.Read().ListInvites(ctx, db.ListInvitesParams{Now: &now, Before: uuid.Max, MaxRows: 1})
	if err != nil || len(invites) > 0 {
		return false
	}
	users, err := f.store.Read().ListAccounts(ctx, db.ListAccountsParams{Before: uuid.Max, MaxRows: 1})
	return err == nil && len(users) == 0
}

// create makes the invite and returns its code, or "" if it cannot: the service works without.
func (f *firstInvite) create(ctx context.Context) string {
	code, err := invite.Create(ctx, f.store, f.root, invite.Options{Uses: firstInviteUses, Lifetime: firstInviteLifetime}, time.Now())
	if err != nil {
		f.log.WarnContext(ctx, "invite.create_failed", slog.Any("error", err))
		return ""
	}
	return code
}
