package db

import (
	"context"
	"database/sql"
	"fmt"
	"io/fs"
	"maps"
	"regexp"
	"slices"
	"sync"

	"github.com/pressly/goose/v3"

	"github.com/financelime/authorization/schema"
)

// Migrate applies the missing migrations. Several processes may call it at the same time: one migrates under a lock, and the others wait.
// A database that is newer than this program is not changed, so that replicas can be replaced one after another.
func (s *Store) Migrate(ctx context.Context) error {
	newest, err := newestMigration()
	if err != nil {
		return err
	}
	before, err := s.version(ctx)
	if err != nil {
		return err
	}
	if before >= newest {
		if err := s.engine.translate(s.engine.finishMigration(ctx)); err != nil {
			return fmt.Errorf("migrate database: %w", err)
		}
	}
	for before < newest {
		err := s.engine.translate(s.engine.migrate(ctx))
		if err == nil {
			return nil
		}
		// On SQLite the lock of a migration begins with its transaction, so another process may have applied the migration after this
		// one read the list of missing migrations. Then this attempt has failed, but the version of the database has increased.
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

// migrateUp applies the missing migrations, each in a transaction together with its row in the version table.
func migrateUp(ctx context.Context, dialect goose.Dialect, db *sql.DB, tablesQuery string) error {
	if err := createVersionTable(ctx, dialect, db, tablesQuery); err != nil {
		return err
	}
	provider, err := newProvider(dialect, db)
	if err != nil {
		return err
	}
	_, err = provider.Up(ctx)
	return err
}

// newProvider returns goose with the embedded migrations.
func newProvider(dialect goose.Dialect, db *sql.DB) (*goose.Provider, error) {
	return goose.NewProvider(dialect, db, schema.FS,
		goose.WithTableName(versionTable),
		goose.WithDisableGlobalRegistry(true),
		goose.WithLogger(goose.NopLogger()),
	)
}

// migration is one file of schema/.
type migration struct {
	number int64
	tables []string // all tables that exist after this migration, sorted
}

var (
	upPart       = regexp.MustCompile(`(?s)-- \+goose Up\n(.*?)(?:-- \+goose Down|$)`)
	tableChanges = regexp.MustCompile(`(?m)^(?:(CREATE) TABLE (\w+)|(DROP) TABLE (\w+)|ALTER TABLE (\w+) (RENAME) TO (\w+))`)
)

// migrations returns the embedded migrations, in the order of their numbers. The caller must not change them.
//
//nolint:gochecknoglobals // computed once
var migrations = sync.OnceValues(readMigrations)

func readMigrations() ([]migration, error) {
	names, err := fs.Glob(schema.FS, "*.sql") // sorted
	if err != nil {
		return nil, fmt.Errorf("list migrations: %w", err)
	}
	all := make([]migration, 0, len(names))
	tables := map[string]bool{}
	for _, name := range names {
		number, err := goose.NumericComponent(name)
		if err != nil {
			return nil, fmt.Errorf("list migrations: %w", err)
		}
		text, err := fs.ReadFile(schema.FS, name)
		if err != nil {
			return nil, fmt.Errorf("read migration %s: %w", name, err)
		}
		for _, change := range tableChanges.FindAllStringSubmatch(string(upPart.Find(text)), -1) {
			switch {
			case change[1] != "":
				tables[change[2]] = true
			case change[3] != "":
				delete(tables, change[4])
			default:
				delete(tables, change[5])
				tables[change[7]] = true
			}
		}
		all = append(all, migration{number: number, tables: slices.Sorted(maps.Keys(tables))})
	}
	return all, nil
}

// newestMigration returns the highest number of the embedded migrations.
func newestMigration() (int64, error) {
	all, err := migrations()
	if err != nil {
		return 0, err
	}
	return all[len(all)-1].number, nil
}
