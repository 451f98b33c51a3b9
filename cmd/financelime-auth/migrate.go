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
	From string `placeholder:"sqlite:PATH" help:"Copy everything from this SQLite database, whose service is stopped."`
	To   string `placeholder:"postgres://..." help:"Into this empty PostgreSQL database; AUTH_DATABASE_URL by default."`
}

// Run brings the database to this version's schema, or moves it.
func (cmd *migrate) Run(ctx context.Context, s *Settings, c console) error {
	if cmd.From == "" && cmd.To == "" {
		if s.sqlitePath() != "" {
			if _, err := s.root(); err != nil { // the secret is made before the database
				return err
			}
		}
		store, err := makeStore(ctx, s, newLogger(s, c.err))
		if errors.Is(err, db.ErrInUse) { // the service has migrated it, to its own version
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
	_, err = fmt.Fprintln(c.out, "Everything is there and was read back. The service needs the same AUTH_SECRET on PostgreSQL.")
	return err
}

func (cmd *migrate) move(ctx context.Context, s *Settings, log *slog.Logger) (copied []db.Copied, err error) {
	target := *s
	if cmd.To != "" {
		target.DatabaseURL = cmd.To
	}
	source := *s
	source.DatabaseURL = cmd.From
	if source.sqlitePath() == "" || !strings.HasPrefix(target.DatabaseURL, "postgres") {
		return nil, errors.New("it goes --from an SQLite database --to a PostgreSQL one")
	}
	if !exists(source.sqlitePath()) {
		return nil, fmt.Errorf("--from: there is no %s", source.sqlitePath())
	}
	root, err := source.root()
	if err != nil {
		return nil, fmt.Errorf("--from: %w", err)
	}
	from, err := makeStore(ctx, &source, log) // it is there: this brings it to the target's schema
	if err != nil {
		return nil, fmt.Errorf("--from: %w", err)
	}
	defer func() { err = errors.Join(err, from.Close()) }()
	if err := token.CheckSecret(ctx, from.Store, root); err != nil {
		return nil, fmt.Errorf("--from: %w", err)
	}
	to, err := makeStore(ctx, &target, log)
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
	s.record(to.Store, recorded{action: "database.moved"})
	return copied, to.InTx(ctx, func(*db.Queries) error { return nil })
}
