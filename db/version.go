package db

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/database"

	"github.com/financelime/authorization/schema"
)

const (
	// versionTable lists the applied migrations. goose's own name for it would be shared with every other program that
	// uses goose in the same schema.
	versionTable = "financelime_auth_version"
	// legacyTable is where versions of this program before 00008 kept the list. It is read once, and stays: such a version may
	// still run beside this one, and another program may use the table.
	legacyTable = "goose_db_version"

	latestVersion = "SELECT coalesce(max(version_id), 0) FROM " + versionTable
)

// ErrNoDatabase means that there is no database of this service under a URL.
var ErrNoDatabase = errors.New("there is no database of this service")

// OpenExisting opens a database of this service, of any version. Where there is none it fails with [ErrNoDatabase], and changes nothing.
func OpenExisting(ctx context.Context, url string) (*Store, error) {
	if rest, isSQLite := strings.CutPrefix(url, "sqlite:"); isSQLite {
		path, err := sqlitePath(rest)
		if err != nil {
			return nil, fmt.Errorf("database URL: %w", err)
		}
		if err := inspectSQLite(ctx, path); err != nil {
			return nil, fmt.Errorf("open database %s: %w", path, err)
		}
	}
	return Open(ctx, url)
}

// OpenMigrated is OpenExisting for a database that must have the schema of this program or a newer one.
func OpenMigrated(ctx context.Context, url string) (*Store, error) {
	s, err := OpenExisting(ctx, url)
	if err != nil {
		return nil, err
	}
	if err := s.requireSchema(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// requireSchema fails unless the database has the schema of this program or a newer one.
func (s *Store) requireSchema(ctx context.Context) error {
	version, err := s.engine.version(ctx)
	if err != nil {
		return fmt.Errorf("read the schema's version: %w", err)
	}
	newest, err := newestMigration()
	switch {
	case err != nil:
		return err
	case version == 0:
		return ErrNoDatabase
	case version < newest:
		return fmt.Errorf("the database is at version %d, and this program needs version %d: run `financelime-auth migrate`", version, newest)
	}
	return nil
}

// migration is one file of schema/.
type migration struct {
	number int64
	tables []string // all that there are once it is applied, sorted
}

var (
	upPart       = regexp.MustCompile(`(?s)-- \+goose Up\n(.*?)(?:-- \+goose Down|$)`)
	tableChanges = regexp.MustCompile(`(?m)^(?:(CREATE) TABLE (\w+)|(DROP) TABLE (\w+)|ALTER TABLE (\w+) (RENAME) TO (\w+))`)
)

// migrations reads the embedded migrations, in the order of their numbers.
func migrations() ([]migration, error) {
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

// newestMigration is the highest number of the embedded migrations.
func newestMigration() (int64, error) {
	all, err := migrations()
	if err != nil {
		return 0, err
	}
	return all[len(all)-1].number, nil
}

// querier is a [sql.DB], a [sql.Conn] or a [sql.Tx].
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// adopted is the version of a database that has no version table of ours: that of [legacyTable], where its entries and the tables
// beside it are those of this service; otherwise 0. It fails where a table has a name that this service needs.
func adopted(ctx context.Context, q querier, tablesQuery string) (int64, error) {
	all, err := migrations()
	if err != nil {
		return 0, err
	}
	present, err := texts(ctx, q, tablesQuery)
	if err != nil {
		return 0, err
	}
	if slices.Contains(present, legacyTable) {
		applied, err := texts(ctx, q, "SELECT DISTINCT CAST(version_id AS text) FROM "+legacyTable+" WHERE version_id > 0")
		if err != nil {
			return 0, err
		}
		if version := fitting(all, applied, present); version > 0 {
			return version, nil
		}
	}
	var taken []string
	for _, name := range all[len(all)-1].tables {
		if slices.Contains(present, name) {
			taken = append(taken, name)
		}
	}
	if len(taken) > 0 {
		return 0, foreignTablesError(taken)
	}
	return 0, nil
}

// foreignTablesError names the tables that are in the way.
type foreignTablesError []string

func (e foreignTablesError) Error() string {
	return fmt.Sprintf("the database has tables of another program under the names that this service needs (%s): "+
		"give the service a database, or a schema in search_path, of its own", strings.Join(e, ", "))
}

// fitting is the version at which exactly the given migrations are applied and all of their tables are present; 0 if there is none.
func fitting(all []migration, applied, present []string) int64 {
	for i, m := range all {
		if !slices.Contains(applied, fmt.Sprint(m.number)) {
			return 0
		}
		if i+1 == len(applied) {
			for _, name := range m.tables {
				if !slices.Contains(present, name) {
					return 0
				}
			}
			return m.number
		}
	}
	return 0
}

// claim makes the version table where there is none, with the versions that another list of this service has. It fails where
// the database has tables of another program under our names.
func claim(ctx context.Context, dialect goose.Dialect, db *sql.DB, tablesQuery string) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // after the commit there is nothing to undo
	present, err := texts(ctx, tx, tablesQuery)
	if err != nil || slices.Contains(present, versionTable) {
		return err
	}
	version, err := adopted(ctx, tx, tablesQuery)
	if err != nil {
		return err
	}
	all, err := migrations()
	if err != nil {
		return err
	}
	store, err := database.NewStore(dialect, versionTable)
	if err != nil {
		return err
	}
	if err := store.CreateVersionTable(ctx, tx); err != nil {
		return fmt.Errorf("make the version table: %w", err)
	}
	numbers := []int64{0}
	for _, m := range all {
		if m.number <= version {
			numbers = append(numbers, m.number)
		}
	}
	for _, number := range numbers {
		if err := store.Insert(ctx, tx, database.InsertRequest{Version: number}); err != nil {
			return fmt.Errorf("fill the version table: %w", err)
		}
	}
	return tx.Commit()
}

// migrateUp applies the missing migrations, each in a transaction together with its row in the version table.
func migrateUp(ctx context.Context, dialect goose.Dialect, db *sql.DB, tablesQuery string) error {
	if err := claim(ctx, dialect, db, tablesQuery); err != nil {
		return err
	}
	provider, err := newProvider(dialect, db)
	if err != nil {
		return err
	}
	_, err = provider.Up(ctx)
	return err
}

func newProvider(dialect goose.Dialect, db *sql.DB) (*goose.Provider, error) {
	return goose.NewProvider(dialect, db, schema.FS,
		goose.WithTableName(versionTable),
		goose.WithDisableGlobalRegistry(true),
		goose.WithLogger(goose.NopLogger()),
	)
}
