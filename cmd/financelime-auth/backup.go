package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/admin"
	"github.com/financelime/authorization/impl/token"
)

var errNotSQLite = errors.New("the database is not SQLite: PostgreSQL has pg_dump and pg_restore, see docs/database.md")

type backup struct {
	File string `arg:"" help:"To write; there must be none of this name."`
}

// Run copies the database into a file.
func (cmd *backup) Run(ctx context.Context, s *Settings, c console) error {
	if s.sqlitePath() == "" {
		return fmt.Errorf("backup: %w", errNotSQLite)
	}
	store, err := existing(ctx, s, db.OpenExisting) // of any version, which it leaves as it is
	if err != nil {
		return err
	}
	if err := errors.Join(store.Backup(ctx, cmd.File), store.Close()); err != nil {
		return err
	}
	_, err = fmt.Fprintf(c.out, "%[1]s is written, and its checksum in %[1]s.sha256: keep the two together. It is of no use without AUTH_SECRET: keep a copy of that too, elsewhere.\n", cmd.File)
	return err
}

type restore struct {
	File         string `arg:"" help:"That backup has written, with its checksum in FILE.sha256 beside it."`
	NoChecksum   bool   `help:"The backup has no checksum: restore what looks whole."`
	KeepSessions bool   `help:"The backup is the last state, and nobody has used the service since: let sessions and links live on."`
}

// Run makes the database out of a backup. Tokens and links that were used since the backup would be good again in it, so it
// appears without them.
func (cmd *restore) Run(ctx context.Context, s *Settings, c console) error {
	path := s.sqlitePath()
	if path == "" {
		return fmt.Errorf("restore: %w", errNotSQLite)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("AUTH_DATABASE_URL: %w", err)
	}
	beside := filepath.Join(filepath.Dir(path), "secret")
	if s.Secret == "" && s.SecretFile == "" && !exists(beside) {
		return fmt.Errorf("restore: AUTH_SECRET: %s is missing: put the one of the backup there first", beside)
	}
	root, err := s.root()
	if err != nil {
		return err
	}
	lock, err := db.LockSQLite(path)
	if err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	defer lock.Close() //nolint:errcheck // the end of the process gives it back too
	var ended int64
	err = db.Restore(ctx, db.RestoreOptions{Backup: cmd.File, NoChecksum: cmd.NoChecksum}, path, func(store *db.Store) error {
		if err := token.CheckSecret(ctx, store, root); err != nil {
			return err
		}
		if !cmd.KeepSessions {
			if ended, err = admin.VoidAfterRestore(ctx, store); err != nil {
				return err
			}
		}
		s.record(store, recorded{action: "database.restored", details: map[string]any{"sessionsEnded": ended}})
		return store.InTx(ctx, func(*db.Queries) error { return nil })
	})
	if err != nil {
		return err
	}
	newAudit(s, c).LogAttrs(ctx, slog.LevelInfo, "database.restored", slog.Int64("sessions_ended", ended))
	_, err = fmt.Fprintf(c.out, "%s is restored, %s ended\n", path, count(ended, "session"))
	return err
}
