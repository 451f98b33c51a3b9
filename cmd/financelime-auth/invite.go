package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"

	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/clock"
	"github.com/financelime/authorization/impl/invite"
)

type invites struct {
	Create inviteCreate `cmd:"" help:"Create an invite code and print it. It cannot be shown again."`
	List   inviteList   `cmd:"" help:"List invites, newest first."`
	Revoke inviteRevoke `cmd:"" help:"Revoke an invite. Sign-ups that already used it can still be confirmed."`
}

type inviteCreate struct {
	Code    string        `help:"The code. Random by default."`
	Uses    int64         `default:"1" help:"How many people can sign up with the code."`
	Expires time.Duration `default:"720h" help:"How long the code is valid."`
	JSON    bool          `name:"json" help:"Print JSON."`
}

// Run creates an invite and prints its code.
func (cmd *inviteCreate) Run(ctx context.Context, s *Settings, c console) error {
	if cmd.Uses < 1 || cmd.Expires <= 0 {
		return errors.New("--uses must be at least 1, and --expires must be longer than 0s")
	}
	root, store, err := openWithSecret(ctx, s)
	if err != nil {
		return err
	}
	defer store.Close() //nolint:errcheck // all writes are committed
	audited := s.withAudit(store, auditEvent{action: "invite.created", details: map[string]any{"uses": cmd.Uses, "life": cmd.Expires.String()}})
	code, err := invite.Create(ctx, audited, root, invite.Options{Code: cmd.Code, Uses: cmd.Uses, Lifetime: cmd.Expires}, time.Now())
	if err != nil {
		return fmt.Errorf("invite create: %w", err)
	}
	newAudit(s, c).LogAttrs(ctx, slog.LevelInfo, "invite.created", slog.Int64("uses", cmd.Uses), slog.String("life", cmd.Expires.String()))
	if cmd.JSON {
		return printJSON(c, map[string]any{"code": code, "uses": cmd.Uses, "expires": time.Now().Add(cmd.Expires).UTC().Format(time.RFC3339)})
	}
	_, err = fmt.Fprintln(c.out, code)
	return err
}

type inviteList struct {
	paging
	JSON bool `name:"json" help:"Print JSON."`
}

// inviteRow is an invite in the list.
type inviteRow struct {
	ID      uuid.UUID  `json:"id"`
	Uses    int64      `json:"uses"`    // confirmed accounts
	Pending int64      `json:"pending"` // unconfirmed sign-ups
	MaxUses int64      `json:"maxUses"`
	Created time.Time  `json:"created"`
	Expires time.Time  `json:"expires"`
	Revoked *time.Time `json:"revoked,omitempty"`
	State   string     `json:"state"` // open, ended, expired, revoked
}

// Run lists invites, newest first.
func (cmd *inviteList) Run(ctx context.Context, s *Settings, c console) error {
	store, page, err := cmd.open(ctx, s)
	if err != nil {
		return err
	}
	defer store.Close() //nolint:errcheck // nothing was written
	now := time.Now().UTC()
	cmd.warnUnknownAfter(c, "invite", func(id uuid.UUID) error {
		at, err := store.Read().ListInvites(ctx, db.ListInvitesParams{Now: &now, Before: successor(id), MaxRows: 1})
		if err == nil && (len(at) == 0 || at[0].ID != id) {
			return db.ErrNotFound
		}
		return err
	})
	found, err := store.Read().ListInvites(ctx, db.ListInvitesParams{Now: &now, Before: page.Before(), MaxRows: page.Limit})
	if err != nil {
		return fmt.Errorf("invite list: %w", err)
	}
	rows := make([]inviteRow, len(found))
	for i, f := range found {
		rows[i] = inviteRow{
			ID: f.ID, Uses: f.Uses, Pending: f.Pending, MaxUses: f.MaxUses,
			Created: f.CreatedAt.UTC(), Expires: f.ExpiresAt.UTC(), Revoked: utc(f.RevokedAt),
		}
		rows[i].State = rows[i].state(now)
	}
	return printList(c, cmd.JSON, cmd.paging, "ID|USED|PENDING|OF|CREATED|EXPIRES|STATE", rows)
}

func (r inviteRow) key() uuid.UUID { return r.ID }

func (r inviteRow) cells(time.Time) []any {
	return []any{r.ID, r.Uses, r.Pending, r.MaxUses, r.Created, r.Expires, r.State}
}

func (r inviteRow) state(now time.Time) string {
	switch {
	case r.Revoked != nil:
		return "revoked"
	case !r.Expires.After(now):
		return "expired"
	case r.Uses+r.Pending >= r.MaxUses:
		return "ended"
	default:
		return "open"
	}
}

type inviteRevoke struct {
	Invite string `arg:"" help:"The code, or an ID from invite list."`
}

// Run revokes an invite.
func (cmd *inviteRevoke) Run(ctx context.Context, s *Settings, c console) error {
	root, store, err := openWithSecret(ctx, s)
	if err != nil {
		return err
	}
	defer store.Close() //nolint:errcheck // all writes are committed
	id, err := uuid.Parse(cmd.Invite)
	if err != nil {
		found, err := invite.Find(ctx, store.Read(), root, cmd.Invite)
		if errors.Is(err, db.ErrNotFound) {
			return errors.New("invite revoke: there is no such invite")
		}
		if err != nil {
			return fmt.Errorf("invite revoke: %w", err)
		}
		id = found.ID
	}
	now := clock.Clock(nil).Now()
	var revoked int64
	err = s.withAudit(store, auditEvent{action: "invite.revoked", subject: id.String()}).Write(ctx, func(q *db.Queries) error {
		revoked, err = q.RevokeInvite(ctx, db.RevokeInviteParams{Now: &now, ID: id})
		if err == nil && revoked == 0 {
			return db.ErrNotFound
		}
		return err
	})
	if err != nil && !errors.Is(err, db.ErrNotFound) {
		return fmt.Errorf("invite revoke: %w", err)
	}
	if revoked == 0 {
		return errors.New("invite revoke: there is no such invite, or it is already revoked")
	}
	newAudit(s, c).LogAttrs(ctx, slog.LevelInfo, "invite.revoked", slog.String("invite_id", id.String()))
	_, err = fmt.Fprintf(c.out, "revoked %s\n", id)
	return err
}
