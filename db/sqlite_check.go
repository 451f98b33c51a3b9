package db

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/pressly/goose/v3"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// How damage is found. SQLite's integrity_check finds what is wrong with the structure of a file, and where a table and its indexes
// differ. It cannot see a changed byte in a column that no index has. So each table has an index of all its columns, which nothing
// but integrity_check reads: [guardTables]. The schema is compared with that of the migrations, and the log has checksums of its own.

// DamagedError says what is wrong with an SQLite file.
type DamagedError struct{ What string }

func (e *DamagedError) Error() string {
	return "the database is damaged: " + e.What + ". Restore a backup, see docs/database.md"
}

// damage turns what SQLite says of a damaged file into a [DamagedError].
func damage(err error) error {
	if failure, is := errors.AsType[*sqlite.Error](err); is {
		switch failure.Code() & 0xff {
		case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT, sqlite3.SQLITE_ERROR:
			return &DamagedError{What: failure.Error()}
		}
	}
	return err
}

// checkDatabase fails with a [DamagedError] where a database is damaged. Without a limit all of it is checked. With one, the
// cheaper checks take the place of those that do not end in time, and complete is false where even they do not.
func checkDatabase(ctx context.Context, db *sql.DB, limit time.Duration) (complete bool, err error) {
	version, err := checkSchema(ctx, db)
	if err != nil {
		return false, err
	}
	return checkContent(ctx, db, limit, version > 0)
}

// commandCheckTime bounds each part of the check before a command works on an SQLite file.
const commandCheckTime = 500 * time.Millisecond

// checkContent is checkDatabase without the comparison of the schema. Foreign keys are checked if there are tables.
func checkContent(ctx context.Context, db *sql.DB, limit time.Duration, tables bool) (complete bool, err error) {
	for _, pragma := range []string{"integrity_check(1)", "quick_check(1)"} {
		if complete, err = checkPragma(ctx, db, pragma, limit); complete || err != nil {
			break
		}
	}
	if err != nil || !tables {
		return complete, err
	}
	keys, err := bounded(ctx, limit, func(ctx context.Context) error {
		broken, err := texts(ctx, db, `SELECT "table" FROM pragma_foreign_key_check LIMIT 1`)
		if err == nil && len(broken) > 0 {
			err = &DamagedError{What: "the table " + broken[0] + " refers to a row that is missing"}
		}
		return err
	})
	return complete && keys, err
}

func checkPragma(ctx context.Context, db *sql.DB, pragma string, limit time.Duration) (complete bool, err error) {
	return bounded(ctx, limit, func(ctx context.Context) error {
		found, err := texts(ctx, db, "PRAGMA "+pragma)
		if err == nil && (len(found) != 1 || found[0] != "ok") {
			err = &DamagedError{What: strings.Join(strings.Fields(strings.Join(found, "; ")), " ")}
		}
		return err
	})
}

// bounded reports whether do ended within a limit; 0 is none.
func bounded(ctx context.Context, limit time.Duration, do func(context.Context) error) (complete bool, err error) {
	within := ctx
	if limit > 0 {
		var cancel context.CancelFunc
		within, cancel = context.WithTimeout(ctx, limit)
		defer cancel()
	}
	err = do(within)
	if _, damaged := errors.AsType[*DamagedError](err); err != nil && !damaged && within.Err() != nil && ctx.Err() == nil {
		return false, nil
	}
	return err == nil, damage(err)
}

// checkSchema compares what the migrations made with what they make, and returns the version; 0 where there is no table at all.
// What others have added is theirs.
func checkSchema(ctx context.Context, db *sql.DB) (version int64, err error) {
	version, err = sqliteVersion(ctx, db)
	if err != nil {
		return 0, damage(err)
	}
	all, err := migrations()
	if err != nil {
		return 0, err
	}
	if !slices.ContainsFunc(all, func(m migration) bool { return m.number == version }) {
		return version, nil // no database yet, or one of a newer version
	}
	is, err := statements(ctx, db)
	if err != nil {
		return 0, damage(err)
	}
	want, err := schemaAt(ctx, version)
	if err != nil {
		return 0, fmt.Errorf("make the schema to compare with: %w", err)
	}
	for name, statement := range want {
		if is[name] != statement && (name != versionTable || is[name] == "" && is[legacyTable] == "") {
			return 0, &DamagedError{What: "the definition of " + name + " is not that of version " + fmt.Sprint(version)}
		}
	}
	repeated, err := guards(ctx, db)
	if err != nil {
		return 0, damage(err)
	}
	found := 0
	for name, statement := range is {
		if !strings.HasPrefix(name, guardPrefix) {
			continue
		}
		found++
		if repeated[(table{name: name}).quoted()] != statement {
			return 0, &DamagedError{What: "the definition of the index " + name + " is not that of its table"}
		}
	}
	if found > 0 && found != len(repeated) {
		return 0, &DamagedError{What: "an index that repeats a table is missing"}
	}
	return version, nil
}

// statements are the definitions of tables and indexes, by name.
func statements(ctx context.Context, db *sql.DB) (map[string]string, error) {
	rows, err := db.QueryContext(ctx, "SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'")
	if err != nil {
		return nil, err
	}
	defer rows.Close() //nolint:errcheck // rows.Err tells
	all := map[string]string{}
	for rows.Next() {
		var name, statement string
		if err := rows.Scan(&name, &statement); err != nil {
			return nil, err
		}
		all[name] = statement
	}
	return all, rows.Err()
}

//nolint:gochecknoglobals // it follows from the embedded migrations alone
var schemas sync.Map // of version (int64) to definitions (map[string]string)

// schemaAt is the schema of a version, made by the migrations in a database in memory.
func schemaAt(ctx context.Context, version int64) (all map[string]string, err error) {
	if known, is := schemas.Load(version); is {
		return known.(map[string]string), nil //nolint:forcetypeassert // nothing else is stored
	}
	defer func() {
		if err == nil {
			schemas.Store(version, all)
		}
	}()
	pool, err := openPool("file::memory:", 1)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, pool.Close()) }()
	provider, err := newProvider(goose.DialectSQLite3, pool)
	if err != nil {
		return nil, err
	}
	if _, err := provider.UpTo(ctx, version); err != nil {
		return nil, err
	}
	return statements(ctx, pool)
}

// guardPrefix begins the names of the indexes that repeat a table.
const guardPrefix = "whole_"

// guardTables gives each table an index of all its columns, so that integrity_check compares each value with a second copy of it.
func guardTables(ctx context.Context, db *sql.DB) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // after the commit there is nothing to undo
	want, err := guards(ctx, tx)
	if err != nil {
		return err
	}
	have, err := texts(ctx, tx, "SELECT sql FROM sqlite_schema WHERE type = 'index' AND name LIKE '"+guardPrefix+"%'")
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if slices.Contains(have, want[name]) {
			continue
		}
		if _, err := tx.ExecContext(ctx, "DROP INDEX IF EXISTS "+name); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, want[name]); err != nil {
			return err
		}
	}
	return tx.Commit()
}

// guards are the statements that make the indexes, by their names.
func guards(ctx context.Context, q querier) (map[string]string, error) {
	tables, err := texts(ctx, q, "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'")
	if err != nil {
		return nil, err
	}
	want := map[string]string{}
	for _, name := range tables {
		t := table{name: name}
		if t.columns, err = texts(ctx, q, "SELECT name FROM pragma_table_info($1) ORDER BY cid", name); err != nil {
			return nil, err
		}
		guard := table{name: guardPrefix + name}.quoted()
		want[guard] = "CREATE INDEX " + guard + " ON " + t.quoted() + " (" + t.list() + ")"
	}
	return want, nil
}

// unguardTables drops the indexes: SQLite refuses to drop a column that an index has.
func unguardTables(ctx context.Context, db *sql.DB) error {
	names, err := texts(ctx, db, "SELECT name FROM sqlite_schema WHERE type = 'index' AND name LIKE '"+guardPrefix+"%'")
	if err != nil {
		return err
	}
	for _, name := range names {
		if _, err := db.ExecContext(ctx, "DROP INDEX IF EXISTS "+table{name: name}.quoted()); err != nil {
			return err
		}
	}
	return nil
}

// CheckSQLite fails where a file that nobody has open is not to be served: where it is damaged, or is somebody else's database. It
// changes neither the file nor what is beside it. A file that is missing or empty is fine. Each part of the check gets so long. The
// notes are for the log: what an operator should know though the file is good as far as it can be told.
func CheckSQLite(ctx context.Context, path string, limit time.Duration) (notes []string, err error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, os.ErrNotExist), err == nil && info.Mode().IsRegular() && info.Size() == 0:
		return nil, nil
	case err != nil:
		return nil, err
	}
	if path, err = filepath.Abs(path); err != nil {
		return nil, err
	}
	incomplete, err := checkLog(path)
	if err != nil {
		return nil, err
	}
	if incomplete {
		notes = append(notes, "the last transaction in the log (-wal) is not complete, as a crash leaves it: it is not applied")
	}
	pool, err := openPool(sqliteDSN(path, sqliteBusyTimeout, url.Values{"_query_only": {"on"}}), 1)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, pool.Close()) }()
	present, err := texts(ctx, pool, sqliteTables)
	if err != nil {
		return nil, damage(err)
	}
	if !slices.Contains(present, versionTable) {
		if _, err := adopted(ctx, pool, sqliteTables); err != nil {
			return nil, err
		}
	}
	complete, err := checkDatabase(ctx, pool, limit)
	if err == nil && !complete {
		notes = append(notes, fmt.Sprintf("the file is too large to be checked within %s: `financelime-auth backup` checks all of it", limit))
	}
	return notes, err
}
