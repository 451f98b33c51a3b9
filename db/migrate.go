package db

import (
	"context"
	"database/sql"
	"fmt"
	"io/fs"

	"github.com/pressly/goose/v3"

	"github.com/financelime/authorization/schema"
)

// Migrate brings the database to the newest version. Several processes may do so at once: one of them does the work,
// under a lock, and the others wait for it. A database that is newer than this program is left alone, so that
// replicas can be replaced one after another.
func (s *Store) Migrate(ctx context.Context) error {
	newest, err := newestMigration()
	if err != nil {
		return err
	}
	before, err := s.version(ctx)
	if err != nil {
		return err
	}
	for before < newest {
		err := s.engine.translate(s.engine.migrate(ctx))
		if err == nil {
			return nil
		}
		// On SQLite a migration takes its lock with its transaction, so somebody else may have applied it since
		// we asked which are missing. Then our attempt has failed, but the database got on.
		after, versionErr := s.version(ctx)
		if versionErr != nil || after <= before {
			return fmt.Errorf("migrate database: %w", err)
		}
		before = after
	}
	return nil
}

func (s *Store) version(ctx context.Context) (int64, error) {
	version, err := s.engine.version(ctx)
	if err != nil {
		return 0, fmt.Errorf("migrate database: %w", err)
	}
	return version, nil
}

// newestMigration is the highest number of the embedded migrations.
func newestMigration() (int64, error) {
	names, err := fs.Glob(schema.FS, "*.sql")
	if err != nil {
		return 0, fmt.Errorf("list migrations: %w", err)
	}
	newest := int64(0)
	for _, name := range names {
		number, err := goose.NumericComponent(name)
		if err != nil {
			return 0, fmt.Errorf("list migrations: %w", err)
		}
		newest = max(newest, number)
	}
	return newest, nil
}

// migrateUp applies the missing migrations, each in a transaction together with its row in goose's table.
func migrateUp(ctx context.Context, dialect goose.Dialect, db *sql.DB, options ...goose.ProviderOption) error {
	provider, err := goose.NewProvider(dialect, db, schema.FS, append(options,
		goose.WithDisableGlobalRegistry(true),
		goose.WithLogger(goose.NopLogger()),
	)...)
	if err != nil {
		return err
	}
	_, err = provider.Up(ctx)
	return err
}
