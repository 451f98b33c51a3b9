package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/token"
)

type migrate struct {
	From string `placeholder:"sqlite:PATH" help:"Copy all data from this SQLite database. Stop its service first."`
	To   string `placeholder:"postgres://..." help:"The empty PostgreSQL database to copy to. Default: AUTH_DATABASE_URL."`
}

// Run migrates the database to the schema of this version. With --from it copies an SQLite database to PostgreSQL.
func (cmd *migrate) Run(ctx context.Context, s *Settings, c console) error {
	if cmd.From == "" && cmd.To == "" {
		if s.sqlitePath() != "" {
			if _, err := s.root(); err != nil { // the secret is created before the database
				return err
			}
		}
		store, err := openOrCreateStore(ctx, s, newLogger(s, c.err), nil)
		if errors.Is(err, db.ErrInUse) { // the running service has migrated it; check that its version is not older
			current, openErr := openStore(ctx, s)
			if openErr != nil {
				return err
			}
			return current.Close()
		}
		if err != nil {
			return err
		}
		return store.Close()
	}
	copied, err := cmd.move(ctx, s, newLogger(s, c.err))
	if err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	var rows int64
	for _, t := range copied {
		rows += t.Rows
		fmt.Fprintf(c.out, "%-20s %d\n", t.Table, t.Rows)
	}
	newAudit(s, c).LogAttrs(ctx, slog.LevelInfo, "database.moved", slog.Int64("rows", rows))
	_, err = fmt.Fprintln(c.out, "All rows were copied and verified. Use the same AUTH_SECRET with PostgreSQL.")
	return err
}

// move copies the SQLite database of --from to the PostgreSQL database of --to.
func (cmd *migrate) move(ctx context.Context, s *Settings, log *slog.Logger) (copied []db.CopiedTable, err error) {
	target := *s
	if cmd.To != "" {
		target.DatabaseURL = cmd.To
	}
	source := *s
	source.DatabaseURL = cmd.From
	if source.sqlitePath() == "" || !strings.HasPrefix(target.DatabaseURL, "postgres") {
		return nil, errors.New("--from must be SQLite and --to PostgreSQL")
	}
	if !fileExists(source.sqlitePath()) {
		return nil, fmt.Errorf("--from: there is no file %s", source.sqlitePath())
	}
	root, err := source.root()
	if err != nil {
		return nil, fmt.Errorf("--from: %w", err)
	}
	from, err := openOrCreateStore(ctx, &source, log, nil) // migrates it to the schema of the target
	if err != nil {
		return nil, fmt.Errorf("--from: %w", err)
	}
	defer func() { err = errors.Join(err, from.Close()) }()
	if err := token.CheckSecret(ctx, from.Store, root); err != nil {
		return nil, fmt.Errorf("--from: %w", err)
	}
	to, err := openOrCreateStore(ctx, &target, log, nil)
	if err != nil {
		return nil, fmt.Errorf("--to: %w", err)
	}
	defer func() { err = errors.Join(err, to.Close()) }()
	copied, err = db.Copy(ctx, from.Store, to.Store)
	if err != nil {
		return nil, err
	}
	if err := token.CheckSecret(ctx, to.Store, root); err != nil {
		return nil, err
	}
	return copied, s.writeAudit(ctx, to.Store, auditEvent{action: "database.moved"})
}
