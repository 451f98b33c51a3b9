package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"text/tabwriter"
	"time"

	"github.com/google/uuid"

	"github.com/financelime/authorization"
	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/invite"
	"github.com/financelime/authorization/impl/secret"
	"github.com/financelime/authorization/impl/token"
)

type migrate struct{}

// Run brings the database to this version's schema.
func (migrate) Run(ctx context.Context, s *Settings) error {
	store, err := openStore(ctx, s)
	if err != nil {
		return err
	}
	return store.Close()
}

// openStore opens the database that the settings name and brings it to this version's schema.
func openStore(ctx context.Context, s *Settings) (*db.Store, error) {
	if path := s.sqlitePath(); path != "" {
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return nil, fmt.Errorf("AUTH_DATABASE_URL: %w", err)
		}
	}
	store, err := db.Open(ctx, s.DatabaseURL)
	if err != nil {
		return nil, fmt.Errorf("AUTH_DATABASE_URL: %w", err)
	}
	if err := store.Migrate(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("AUTH_DATABASE_URL: %w", err), store.Close())
	}
	return store, nil
}

// openWithSecret opens the database and reads the secret, for commands that make or find what only the service with the same
// secret can use: it must be the one that the database knows.
func openWithSecret(ctx context.Context, s *Settings) (secret.Root, *db.Store, error) {
	root, err := s.root()
	if err != nil {
		return root, nil, err
	}
	store, err := openStore(ctx, s)
	if err != nil {
		return root, nil, err
	}
	if err := token.CheckSecret(ctx, store, root); err != nil {
		return root, nil, errors.Join(err, store.Close())
	}
	return root, store, nil
}

type invites struct {
	Create inviteCreate `cmd:"" help:"Make an invite code and print it. It can not be shown again."`
	List   inviteList   `cmd:"" help:"List the invites."`
	Revoke inviteRevoke `cmd:"" help:"End an invite. Sign-ups that hold a use of it keep it."`
}

type inviteCreate struct {
	Code    string        `help:"The code; made up by default."`
	Uses    int64         `default:"1" help:"How many people can sign up with it."`
	Expires time.Duration `default:"720h" help:"Its life."`
	JSON    bool          `name:"json" help:"Print JSON."`
}

// Run makes an invite and prints its code.
func (cmd *inviteCreate) Run(ctx context.Context, s *Settings, c console) error {
	if cmd.Uses < 1 || cmd.Expires <= 0 {
		return errors.New("--uses and --expires must be more than nothing")
	}
	root, store, err := openWithSecret(ctx, s)
	if err != nil {
		return err
	}
	defer store.Close() //nolint:errcheck // what was written is committed
	code, err := invite.Create(ctx, store, root, invite.Options{Code: cmd.Code, Uses: cmd.Uses, Lifetime: cmd.Expires}, time.Now())
	if err != nil {
		return fmt.Errorf("invite create: %w", err)
	}
	if cmd.JSON {
		return printJSON(c, map[string]any{"code": code, "uses": cmd.Uses, "expires": time.Now().Add(cmd.Expires).UTC().Format(time.RFC3339)})
	}
	_, err = fmt.Fprintln(c.out, code)
	return err
}

type inviteList struct {
	JSON bool `name:"json" help:"Print JSON."`
}

// inviteRow is an invite as the list shows it.
type inviteRow struct {
	ID      uuid.UUID  `json:"id"`
	Uses    int64      `json:"uses"`    // confirmed accounts
	Pending int64      `json:"pending"` // sign-ups that wait for their confirmation
	MaxUses int64      `json:"maxUses"`
	Created time.Time  `json:"created"`
	Expires time.Time  `json:"expires"`
	Revoked *time.Time `json:"revoked,omitempty"`
}

// Run lists the invites, the newest first.
func (cmd *inviteList) Run(ctx context.Context, s *Settings, c console) error {
	store, err := openStore(ctx, s)
	if err != nil {
		return err
	}
	defer store.Close() //nolint:errcheck // only read
	now := time.Now().UTC()
	found, err := store.Read().ListInvites(ctx, &now)
	if err != nil {
		return fmt.Errorf("invite list: %w", err)
	}
	rows := make([]inviteRow, len(found))
	for i, f := range found {
		rows[i] = inviteRow{
			ID: f.ID, Uses: f.Uses, Pending: f.Pending, MaxUses: f.MaxUses,
			Created: f.CreatedAt.UTC(), Expires: f.ExpiresAt.UTC(), Revoked: f.RevokedAt,
		}
	}
	if cmd.JSON {
		return printJSON(c, rows)
	}
	w := tabwriter.NewWriter(c.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tUSED\tPENDING\tOF\tCREATED\tEXPIRES\tSTATE")
	for _, r := range rows {
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%s\t%s\t%s\n", r.ID, r.Uses, r.Pending, r.MaxUses,
			r.Created.Format(time.DateTime), r.Expires.Format(time.DateTime), r.state(now))
	}
	return w.Flush()
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
	Invite string `arg:"" help:"The code, or the id from the list."`
}

// Run ends an invite.
func (cmd *inviteRevoke) Run(ctx context.Context, s *Settings, c console) error {
	root, store, err := openWithSecret(ctx, s)
	if err != nil {
		return err
	}
	defer store.Close() //nolint:errcheck // what was written is committed
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
	now := time.Now().UTC().Truncate(time.Microsecond)
	var revoked int64
	err = store.Write(ctx, func(q *db.Queries) error {
		revoked, err = q.RevokeInvite(ctx, db.RevokeInviteParams{Now: &now, ID: id})
		return err
	})
	if err != nil {
		return fmt.Errorf("invite revoke: %w", err)
	}
	if revoked == 0 {
		return errors.New("invite revoke: there is no such invite, or it is revoked already")
	}
	_, err = fmt.Fprintf(c.out, "revoked %s\n", id)
	return err
}

type openAPI struct{}

// Run prints openapi.yaml.
func (openAPI) Run(c console) error {
	_, err := c.out.Write(authorization.Spec())
	return err
}

type healthcheck struct{}

// Run asks the admin port of a running service whether it is ready, for containers without curl.
func (healthcheck) Run(ctx context.Context, s *Settings) error {
	host, port, err := net.SplitHostPort(s.AdminAddr)
	if err != nil {
		return fmt.Errorf("AUTH_ADMIN_ADDR: %w", err)
	}
	if host == "" || net.ParseIP(host).IsUnspecified() {
		host = "127.0.0.1"
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+net.JoinHostPort(host, port)+"/readyz", nil)
	if err != nil {
		return fmt.Errorf("AUTH_ADMIN_ADDR: %w", err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return fmt.Errorf("not running: %w", err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("not ready: %s", response.Status)
	}
	return nil
}

func printJSON(c console, v any) error {
	encoder := json.NewEncoder(c.out)
	encoder.SetIndent("", "  ")
	return encoder.Encode(v)
}
