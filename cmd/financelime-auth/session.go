package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"

	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/admin"
)

type sessions struct {
	List   sessionList   `cmd:"" help:"List the sessions of all users or of one user."`
	Revoke sessionRevoke `cmd:"" help:"End sessions: by ID, all of one user, or all of all users."`
}

// alive returns the limits within which sessions can still be refreshed.
func (s *Settings) alive(now time.Time) admin.Alive {
	return admin.Alive{CreatedAfter: now.Add(-s.SessionMaxAge).UTC(), RefreshedAfter: now.Add(-s.RefreshTTL).UTC()}
}

// sessionRow is a session in the list.
type sessionRow struct {
	ID         uuid.UUID `json:"id"`
	AccountID  uuid.UUID `json:"accountID"`
	ClientID   string    `json:"clientID"`
	Platform   string    `json:"platform"`
	RemoteAddr string    `json:"remoteAddr"` // client IP of the last refresh
	Created    time.Time `json:"created"`
	Refreshed  time.Time `json:"refreshed"`
}

const sessionHeader = "ID|ACCOUNT|CLIENT|PLATFORM|ADDRESS|CREATED|REFRESHED"

func sessionRows(found []db.Session) []sessionRow {
	rows := make([]sessionRow, len(found))
	for i, f := range found {
		rows[i] = sessionRow{
			ID: f.ID, AccountID: f.AccountID, ClientID: f.ClientID, Platform: f.Platform, RemoteAddr: f.RemoteAddr,
			Created: f.CreatedAt.UTC(), Refreshed: f.RefreshedAt.UTC(),
		}
	}
	return rows
}

func (r sessionRow) key() uuid.UUID { return r.ID }

func (r sessionRow) cells(time.Time) []any {
	return []any{r.ID, r.AccountID, r.ClientID, r.Platform, r.RemoteAddr, r.Created, r.Refreshed}
}

type sessionList struct {
	User string `placeholder:"USER" help:"Only sessions of this user (ID or email address). Lists all of them, most recently refreshed first."`
	paging
	JSON bool `name:"json" help:"Print JSON."`
}

// Run lists sessions that can be refreshed.
func (cmd *sessionList) Run(ctx context.Context, s *Settings, c console) error {
	if cmd.User != "" {
		return withUser(ctx, s, cmd.User, "session list", func(store *db.Store, account db.Account) error {
			found, err := admin.UserSessions(ctx, store, account.ID, s.alive(time.Now()))
			if err != nil {
				return err
			}
			return printList(c, cmd.JSON, paging{}, sessionHeader, sessionRows(found))
		})
	}
	store, page, err := cmd.open(ctx, s)
	if err != nil {
		return err
	}
	defer store.Close() //nolint:errcheck // nothing was written
	cmd.warnUnknownAfter(c, "session", func(id uuid.UUID) error {
		_, err := store.Read().GetSession(ctx, id)
		return err
	})
	found, err := admin.Sessions(ctx, store, s.alive(time.Now()), page)
	if err != nil {
		return fmt.Errorf("session list: %w", err)
	}
	return printList(c, cmd.JSON, cmd.paging, sessionHeader, sessionRows(found))
}

type sessionRevoke struct {
	IDs   []string `arg:"" optional:"" name:"id" help:"IDs from session list."`
	User  string   `placeholder:"USER" help:"All sessions of this user (ID or email address)."`
	All   bool     `help:"The sessions of all users. Everybody must log in again."`
	Links bool     `help:"With --all: also void mailed links. Use after a restore of PostgreSQL."`
	JSON  bool     `name:"json" help:"Print JSON."`
}

// Run ends sessions.
func (cmd *sessionRevoke) Run(ctx context.Context, s *Settings, c console) error {
	chosen := 0
	for _, given := range []bool{len(cmd.IDs) > 0, cmd.User != "", cmd.All} {
		if given {
			chosen++
		}
	}
	if chosen != 1 {
		return errors.New("session revoke: pass either session IDs, --user or --all")
	}
	if cmd.Links && !cmd.All {
		return errors.New("session revoke: --links needs --all")
	}
	ids, err := parseIDs(cmd.IDs, "a session")
	if err != nil {
		return fmt.Errorf("session revoke: %w", err)
	}
	if cmd.User != "" {
		return withUser(ctx, s, cmd.User, "session revoke", func(store *db.Store, account db.Account) error {
			store = s.withAudit(store, auditEvent{action: "session.revoked_user", account: &account.ID})
			ended, err := admin.EndUserSessions(ctx, store, account.ID)
			if err != nil {
				return err
			}
			newAudit(s, c).LogAttrs(ctx, slog.LevelInfo, "session.revoked_user", slog.String("account_id", account.ID.String()), slog.Int64("sessions", ended))
			return printRevoked(c, cmd.JSON, ended)
		})
	}
	store, err := openStore(ctx, s)
	if err != nil {
		return err
	}
	defer store.Close() //nolint:errcheck // all writes are committed
	if cmd.All {
		return cmd.revokeAll(ctx, s, c, store)
	}
	return cmd.revoke(ctx, s, c, store, ids)
}

// revokeAll ends all sessions.
func (cmd *sessionRevoke) revokeAll(ctx context.Context, s *Settings, c console, store *db.Store) error {
	var voided admin.Voided
	var err error
	store = s.withAudit(store, auditEvent{action: "session.revoked_all", details: map[string]any{"links": cmd.Links}})
	if cmd.Links {
		voided, err = admin.VoidAfterRestore(ctx, store)
	} else {
		voided.Sessions, err = admin.EndAllSessions(ctx, store)
	}
	newAudit(s, c).LogAttrs(ctx, slog.LevelInfo, "session.revoked_all", slog.Int64("sessions", voided.Sessions), slog.Bool("links", cmd.Links))
	if err != nil {
		return fmt.Errorf("session revoke: after %s: %w", count(voided.Sessions, "session"), err)
	}
	if cmd.Links {
		printRevived(c.err, voided)
	}
	return printRevoked(c, cmd.JSON, voided.Sessions)
}

// revoke ends the sessions with these IDs. If one of them does not exist, the others still end.
func (cmd *sessionRevoke) revoke(ctx context.Context, s *Settings, c console, store *db.Store, ids []uuid.UUID) error {
	var ended int64
	var failures []error
	for _, id := range ids {
		session, err := admin.EndSession(ctx, s.withAudit(store, auditEvent{action: "session.revoked", subject: id.String()}), id)
		if err != nil {
			failures = append(failures, fmt.Errorf("session revoke: %s: %w", id, err))
			continue
		}
		ended++
		newAudit(s, c).LogAttrs(ctx, slog.LevelInfo, "session.revoked", slog.String("account_id", session.AccountID.String()), slog.String("session_id", id.String()))
	}
	return errors.Join(append(failures, printRevoked(c, cmd.JSON, ended))...)
}

func printRevoked(c console, asJSON bool, ended int64) error {
	if asJSON {
		return printJSON(c, map[string]int64{"sessions": ended})
	}
	_, err := fmt.Fprintf(c.out, "%s ended\n", count(ended, "session"))
	return err
}
