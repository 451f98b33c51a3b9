package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"time"

	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/admin"
	"github.com/financelime/authorization/impl/secret"
	"github.com/financelime/authorization/impl/token"
	"github.com/financelime/authorization/impl/totp"
)

type keyCommands struct {
	List    keyList    `cmd:"" help:"List the keys that sign access tokens, newest last."`
	Abandon keyAbandon `cmd:"" help:"After AUTH_SECRET is lost and a new one is set: delete the signing keys and end all sessions. Stop the service first: docs/keys.md."`
	Rotate  keyRotate  `cmd:"" help:"Publish a new key. It signs 20 minutes later, when every gateway has it. With --now: replace all keys."`
}

// keyRow is a signing key in the list.
type keyRow struct {
	KID        string     `json:"kid"`
	Number     int64      `json:"number"`
	Algorithm  string     `json:"algorithm"`
	State      string     `json:"state"` // published, signing, verifying, expired
	Created    time.Time  `json:"created"`
	ActiveFrom time.Time  `json:"activeFrom"`
	RetiresAt  *time.Time `json:"retiresAt,omitempty"` // absent for the newest key
}

func newKeyRow(k token.KeyInfo) keyRow {
	r := keyRow{
		KID: k.ID, Number: k.Number, Algorithm: k.Algorithm, State: k.State, Created: k.CreatedAt, ActiveFrom: k.ActiveFrom,
	}
	if !k.RetiresAt.IsZero() {
		r.RetiresAt = &k.RetiresAt
	}
	return r
}

type keyList struct {
	JSON bool `name:"json" help:"Print JSON."`
}

// Run lists the signing keys in the order in which they sign. It fails if the secret cannot decrypt them, or the TOTP secrets of users, so
// operators can use it to check a secret.
func (cmd *keyList) Run(ctx context.Context, s *Settings, c console) error {
	root, store, err := openWithSecret(ctx, s)
	if err != nil {
		return err
	}
	defer store.Close() //nolint:errcheck // nothing was written
	found, err := token.ListKeys(ctx, store, s.tokens())
	if err != nil {
		return fmt.Errorf("keys list: %w", err)
	}
	rows := make([]keyRow, len(found))
	for i, k := range found {
		rows[i] = newKeyRow(k)
	}
	if err := checkTOTPSecrets(ctx, store, root, c); err != nil {
		return fmt.Errorf("keys list: %w", err)
	}
	if cmd.JSON {
		return printJSON(c, rows)
	}
	return printTable(c, "KID|NUMBER|ALGORITHM|STATE|CREATED|ACTIVE FROM|RETIRES AT", rows)
}

// checkTOTPSecrets fails if the secret does not decrypt all TOTP secrets of users, and warns if the first one alone would not.
func checkTOTPSecrets(ctx context.Context, store *db.Store, root secret.Root, c console) error {
	sealer, err := totp.NewSealer(root)
	if err != nil {
		return err
	}
	status, err := totp.Check(ctx, store, sealer)
	switch {
	case err != nil:
		return err
	case status.Unreadable > 0:
		return fmt.Errorf("AUTH_SECRET does not decrypt %s: AUTH_SECRET_PREVIOUS was removed too early", count(status.Unreadable, "TOTP secret"))
	case status.Previous > 0:
		fmt.Fprintf(c.err, "%s can be decrypted only with AUTH_SECRET_PREVIOUS: keep it\n", count(status.Previous, "TOTP secret"))
	}
	return nil
}

func (r keyRow) cells(time.Time) []any {
	return []any{r.KID, r.Number, r.Algorithm, r.State, r.Created, r.ActiveFrom, r.RetiresAt}
}

type keyRotate struct {
	Now  bool `help:"After a leak: replace all keys now. Current access tokens stop working; clients refresh."`
	JSON bool `name:"json" help:"Print JSON."`
}

// Run creates a new signing key. Running services read it from the database.
func (cmd *keyRotate) Run(ctx context.Context, s *Settings, c console) error {
	action := "keys.rotated"
	if cmd.Now {
		action = "keys.replaced"
	}
	keys, store, err := openKeys(ctx, s, auditEvent{action: action})
	if err != nil {
		return err
	}
	defer store.Close() //nolint:errcheck // all writes are committed
	audit := newAudit(s, c)
	if cmd.Now {
		return cmd.replaceAll(ctx, keys, c, audit)
	}
	next, created, err := keys.Rotate(ctx)
	if created {
		audit.LogAttrs(ctx, slog.LevelInfo, "keys.rotated", slog.String("kid", next.ID))
	}
	switch {
	case err != nil:
		return fmt.Errorf("keys rotate: %w", err)
	case cmd.JSON:
		return printJSON(c, newKeyRow(next))
	case created:
		_, err = fmt.Fprintf(c.out, "%s is published and signs from %s UTC\n", next.ID, next.ActiveFrom.Format(time.DateTime))
	default:
		_, err = fmt.Fprintf(c.out, "%s is already published and signs from %s UTC\n", next.ID, next.ActiveFrom.Format(time.DateTime))
	}
	return err
}

func (cmd *keyRotate) replaceAll(ctx context.Context, keys *token.Keys, c console, audit *slog.Logger) error {
	signs, removed, err := keys.ReplaceAll(ctx, func(next token.KeyInfo, wait time.Duration) {
		fmt.Fprintf(c.err, "%s is published; waiting %s until every replica has read it\n", next.ID, wait)
	})
	if err == nil {
		audit.LogAttrs(ctx, slog.LevelInfo, "keys.replaced", slog.String("kid", signs.ID), slog.Int64("removed", removed))
	}
	switch {
	case err != nil:
		return fmt.Errorf("keys rotate: %w; run it again", err)
	case cmd.JSON:
		return printJSON(c, newKeyRow(signs))
	}
	_, err = fmt.Fprintf(c.out, "%s signs now, %s deleted\n", signs.ID, count(removed, "old key"))
	return err
}

type keyAbandon struct {
	JSON bool `name:"json" help:"Print JSON."`
}

// Run deletes the signing keys, which cannot be decrypted without the lost secret, and ends all sessions, whose refresh tokens cannot
// be verified without it.
func (cmd *keyAbandon) Run(ctx context.Context, s *Settings, c console) error {
	store, err := openStore(ctx, s) // before the secret, which would be created if there is no database
	if err != nil {
		return err
	}
	defer store.Close() //nolint:errcheck // all writes are committed
	root, err := s.root()
	if err != nil {
		return err
	}
	if err := token.CheckSecret(ctx, store, root); err == nil {
		return errors.New("keys abandon: refused, because AUTH_SECRET is not lost: it decrypts the signing keys")
	} else if !errors.Is(err, token.ErrWrongSecret) {
		return fmt.Errorf("keys abandon: %w", err)
	}
	audited := s.withAudit(store, auditEvent{action: "keys.abandoned"})
	ended, err := admin.EndAllSessions(ctx, audited)
	if err != nil {
		return fmt.Errorf("keys abandon: %w", err)
	}
	var removed int64
	err = audited.Write(ctx, func(q *db.Queries) error {
		removed, err = q.DeleteOlderSigningKeys(ctx, math.MaxInt64)
		return err
	})
	if err != nil {
		return fmt.Errorf("keys abandon: %w", err)
	}
	secrets, err := totp.DeleteUnreadable(ctx, audited, root)
	if err != nil {
		return fmt.Errorf("keys abandon: %w", err)
	}
	newAudit(s, c).LogAttrs(ctx, slog.LevelInfo, "keys.abandoned", slog.Int64("removed", removed), slog.Int64("sessions", ended), slog.Int64("totp_secrets", secrets))
	if cmd.JSON {
		return printJSON(c, map[string]int64{"keys": removed, "sessions": ended, "totpSecrets": secrets})
	}
	_, err = fmt.Fprintf(c.out, "%s deleted, %s ended, %s deleted. The service creates a new key when it starts. Create new invites.\n",
		count(removed, "key"), count(ended, "session"), count(secrets, "TOTP secret"))
	return err
}

// openKeys opens the database, and its signing keys for a change with an audit event. It logs nothing: commands print their own results.
func openKeys(ctx context.Context, s *Settings, event auditEvent) (keys *token.Keys, store *db.Store, err error) {
	root, store, err := openWithSecret(ctx, s)
	if err != nil {
		return nil, nil, err
	}
	// OpenKeys makes the changes that are due, like a start of the service. The first call makes them without the event of this command.
	for _, target := range []*db.Store{store, s.withAudit(store, event)} {
		keys, err = token.OpenKeys(ctx, target, root, s.tokens(), slog.New(slog.DiscardHandler))
		if err != nil {
			return nil, nil, errors.Join(err, store.Close())
		}
	}
	return keys, store, nil
}
