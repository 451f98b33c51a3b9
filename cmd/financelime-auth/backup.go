package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/admin"
	"github.com/financelime/authorization/impl/token"
)

var errNotSQLite = errors.New("the database is not SQLite: for PostgreSQL use pg_dump and pg_restore, see docs/database.md")

type backup struct {
	File string `arg:"" help:"The file to write. It must not exist."`
}

// Run copies the database to a file.
func (cmd *backup) Run(ctx context.Context, s *Settings, c console) error {
	if s.sqlitePath() == "" {
		return fmt.Errorf("backup: %w", errNotSQLite)
	}
	store, err := openExisting(ctx, s, db.OpenExisting) // a database of any version can be copied
	if err != nil {
		return err
	}
	if err := errors.Join(store.Backup(ctx, cmd.File), store.Close()); err != nil {
		return err
	}
	_, err = fmt.Fprintf(c.out, "Wrote %[1]s and its checksum %[1]s.sha256: keep them together. The backup cannot be used without AUTH_SECRET: keep a copy of it in another place.\n", cmd.File)
	return err
}

type restore struct {
	File         string `arg:"" help:"A file written by backup. Its checksum must be in FILE.sha256."`
	NoChecksum   bool   `help:"Restore a backup that has no checksum file."`
	KeepSessions bool   `help:"Keep sessions and links. Use only if nobody has used the service since the backup."`
}

// Run restores the database from a backup. By default it ends all sessions and links: in the backup, tokens and links that were used
// after the backup would be valid again.
func (cmd *restore) Run(ctx context.Context, s *Settings, c console) error {
	path := s.sqlitePath()
	if path == "" {
		return fmt.Errorf("restore: %w", errNotSQLite)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("AUTH_DATABASE_URL: %w", err)
	}
	secretFile := secretPath(path)
	if s.Secret == "" && s.SecretFile == "" && !fileExists(secretFile) {
		return fmt.Errorf("restore: AUTH_SECRET: %s is missing: first put the secret of the backed-up database there", secretFile)
	}
	root, err := s.root()
	if err != nil {
		return err
	}
	lock, err := db.LockSQLite(path)
	if err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	defer lock.Close() //nolint:errcheck // the end of the process releases the lock too
	var voided admin.Voided
	err = db.Restore(ctx, db.RestoreOptions{Backup: cmd.File, NoChecksum: cmd.NoChecksum}, path, func(store *db.Store) error {
		if err := token.CheckSecret(ctx, store, root); err != nil {
			return err
		}
		if !cmd.KeepSessions {
			if voided, err = admin.VoidAfterRestore(ctx, store); err != nil {
				return err
			}
		}
		return s.writeAudit(ctx, store, auditEvent{action: "database.restored", details: map[string]any{"sessionsEnded": voided.Sessions}})
	})
	if err != nil {
		return err
	}
	newAudit(s, c).LogAttrs(ctx, slog.LevelInfo, "database.restored", slog.Int64("sessions_ended", voided.Sessions))
	_, err = fmt.Fprintf(c.out, "%s restored, %s ended\n", path, count(voided.Sessions, "session"))
	if !cmd.KeepSessions {
		printRevived(c.err, voided)
	}
	return err
}

// printRevived prints what a restored database contains again although it was changed after the backup, and what the operator can do about it.
func printRevived(w io.Writer, voided admin.Voided) {
	fmt.Fprintln(w, "The database has the state of the backup: passwords and email addresses that were changed since are the old ones; "+
		"second factors and passkeys that were removed since, and recovery codes that were used since, work again; those that were added since are gone; "+
		"and users who were disabled or deleted since are back. Repeat what must not be undone: docs/database.md.")
	if voided.Closing > 0 {
		fmt.Fprintf(w, "%s will be deleted, and the links that undo this are void. For those who want to stay: financelime-auth user restore.\n",
			count(voided.Closing, "closing user"))
	}
}
