package db

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
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

// How damage is found: SQLite's integrity_check finds errors in the structure of a file, and differences between a table and its
// indexes. It does not find a changed byte in a column without an index. So each table has a shadow index of all its columns, which only
// integrity_check reads (sqlite_shadow.go). The schema is compared with that of the migrations, and the write-ahead log has its own
// checksums (sqlite_wal.go).

// DamagedError means that an SQLite file is corrupt.
type DamagedError struct{ Detail string }

func (e *DamagedError) Error() string {
	return "the database is damaged: " + e.Detail + ". Restore a backup, see docs/database.md"
}

// damageError converts SQLite's errors about a corrupt file to a [DamagedError].
func damageError(err error) error {
	if failure, is := errors.AsType[*sqlite.Error](err); is {
		switch failure.Code() & 0xff {
		case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT, sqlite3.SQLITE_ERROR:
			return &DamagedError{Detail: failure.Error()}
		}
	}
	return err
}

// CheckSQLite fails if a file is damaged or is the database of another program. No process may have the file open. CheckSQLite changes no
// file and accepts a file that is missing or empty. The whole check of the content stops at limit after the call. warnings are for the log:
// facts about a file without known damage that an operator should know.
func CheckSQLite(ctx context.Context, path string, limit time.Duration) (warnings []string, err error) {
	deadline := time.Now().Add(limit)
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
	incomplete, err := checkWAL(path)
	if err != nil {
		return nil, err
	}
	if incomplete {
		warnings = append(warnings, "the last transaction in the write-ahead log (-wal) is incomplete, as after a crash, and is not applied")
	}
	pool, err := openPool(sqliteDSN(path, sqliteBusyTimeout, url.Values{"_query_only": {"on"}}), 1)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, pool.Close()) }()
	present, err := queryStrings(ctx, pool, sqliteTables)
	if err != nil {
		return nil, damageError(err)
	}
	if !slices.Contains(present, versionTable) {
		if _, err := legacyVersion(ctx, pool, sqliteTables); err != nil {
			return nil, err
		}
	}
	complete, err := checkDatabase(ctx, pool, checkLimit{deadline: deadline})
	if err == nil && !complete {
		warnings = append(warnings, fmt.Sprintf("the file is too large to be checked within %s: run `financelime-auth backup`, which checks all of it", limit))
	}
	return warnings, err
}

// checkLimit limits how long the check of a database's content takes. The zero value is no limit.
type checkLimit struct {
	part     time.Duration // of each part; 0: none
	deadline time.Time     // of all parts together; zero: none
}

// apply returns the context of one part that begins now.
func (l checkLimit) apply(ctx context.Context) (context.Context, context.CancelFunc) {
	switch {
	case l.part > 0:
		return context.WithTimeout(ctx, l.part)
	case !l.deadline.IsZero():
		return context.WithDeadline(ctx, l.deadline)
	default:
		return context.WithCancel(ctx)
	}
}

// checkDatabase returns a [DamagedError] if a database is damaged. Without a limit it checks everything. With a limit, complete is false if
// not even the fast checks ended in time.
func checkDatabase(ctx context.Context, db *sql.DB, limit checkLimit) (complete bool, err error) {
	version, err := checkSchema(ctx, db)
	if err != nil {
		return false, err
	}
	return checkContent(ctx, db, limit, version > 0)
}

// commandCheckTimeout limits each part of the check before a command opens an SQLite file.
const commandCheckTimeout = 500 * time.Millisecond

const (
	fullCheck = "integrity_check(1)"
	fastCheck = "quick_check(1)" // the structure of tables, not the indexes
)

// checkContent does the checks of checkDatabase without the schema. It checks foreign keys if tables is true.
//
// With a limit, the fast checks come first. Otherwise the full check, which takes about ten times as long, could leave no time for them.
func checkContent(ctx context.Context, db *sql.DB, limit checkLimit, tables bool) (complete bool, err error) {
	limited := limit != (checkLimit{})
	first := fullCheck
	if limited {
		first = fastCheck
	}
	if complete, err = checkPragma(ctx, db, first, limit); err != nil {
		return false, err
	}
	if tables {
		keysComplete, err := checkForeignKeys(ctx, db, limit)
		if err != nil {
			return false, err
		}
		complete = complete && keysComplete
	}
	if limited {
		_, err = checkPragma(ctx, db, fullCheck, limit)
	}
	return complete && err == nil, err
}

func checkForeignKeys(ctx context.Context, db *sql.DB, limit checkLimit) (complete bool, err error) {
	return runWithin(ctx, limit, func(ctx context.Context) error {
		broken, err := queryStrings(ctx, db, `SELECT "table" FROM pragma_foreign_key_check LIMIT 1`)
		if err == nil && len(broken) > 0 {
			err = &DamagedError{Detail: "the table " + broken[0] + " refers to a row that is missing"}
		}
		return err
	})
}

// checkPragma runs a check of SQLite whose result is "ok" or a list of errors.
func checkPragma(ctx context.Context, db *sql.DB, pragma string, limit checkLimit) (complete bool, err error) {
	return runWithin(ctx, limit, func(ctx context.Context) error {
		found, err := queryStrings(ctx, db, "PRAGMA "+pragma)
		if err == nil && (len(found) != 1 || found[0] != "ok") {
			err = &DamagedError{Detail: strings.Join(strings.Fields(strings.Join(found, "; ")), " ")}
		}
		return err
	})
}

// runWithin reports whether do ended within a limit without an error. An error about a corrupt file is a [DamagedError].
func runWithin(ctx context.Context, limit checkLimit, do func(context.Context) error) (complete bool, err error) {
	limited, cancel := limit.apply(ctx)
	defer cancel()
	err = do(limited)
	if _, damaged := errors.AsType[*DamagedError](err); err != nil && !damaged && limited.Err() != nil && ctx.Err() == nil {
		return false, nil
	}
	return err == nil, damageError(err)
}

// checkSchema compares the tables and indexes with those that the migrations create, and returns the version; 0 if there are no tables.
// It ignores additional tables and indexes.
func checkSchema(ctx context.Context, db *sql.DB) (version int64, err error) {
	version, err = sqliteVersion(ctx, db)
	if err != nil {
		return 0, damageError(err)
	}
	all, err := migrations()
	if err != nil {
		return 0, err
	}
	if !slices.ContainsFunc(all, func(m migration) bool { return m.number == version }) {
		return version, nil // no database yet, or one of a newer version
	}
	actual, err := definitions(ctx, db)
	if err != nil {
		return 0, damageError(err)
	}
	want, err := schemaAt(ctx, version)
	if err != nil {
		return 0, fmt.Errorf("create the schema to compare with: %w", err)
	}
	for name, statement := range want {
		if actual[name] != statement && (name != versionTable || actual[name] == "" && actual[legacyTable] == "") {
			return 0, &DamagedError{Detail: "the definition of " + name + " is not that of version " + fmt.Sprint(version)}
		}
	}
	return version, checkShadowIndexes(ctx, db, actual, want)
}

// definitions returns the SQL of tables and indexes, by name.
func definitions(ctx context.Context, db *sql.DB) (map[string]string, error) {
	rows, err := db.QueryContext(ctx, "SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'")
	if err != nil {
		return nil, err
	}
	defer rows.Close() //nolint:errcheck // rows.Err returns the error
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

//nolint:gochecknoglobals // a cache: the values depend on the embedded migrations only
var schemas sync.Map // the definitions (map[string]string) of each version (int64)

// schemaAt returns the definitions of a version, which the migrations create in a database in memory.
func schemaAt(ctx context.Context, version int64) (all map[string]string, err error) {
	if cached, ok := schemas.Load(version); ok {
		return cached.(map[string]string), nil //nolint:forcetypeassert // nothing else is stored
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
	return definitions(ctx, pool)
}
