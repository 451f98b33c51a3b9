package db

import (
	"context"
	"database/sql"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"github.com/pressly/goose/v3"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

const (
	// sqliteBusyTimeout is how long a write waits for the write of another process (an admin command).
	sqliteBusyTimeout = 5 * time.Second
	// sqliteMaxReaders is the maximum number of reading connections. They never wait for the writer.
	sqliteMaxReaders = 8
)

// sqliteEngine has one connection that writes, which a goroutine owns, and a pool of read-only connections.
type sqliteEngine struct {
	writer  *writer
	readers *sql.DB
	read    *sqliteDBTX // over readers
	path    string
	file    os.FileInfo // of path when it was opened
	dsn     string      // of the writer

	lastProbe probe
	damaged   atomic.Pointer[DamagedError] // the first damage that a statement met, or nil
}

func openSQLite(ctx context.Context, path string, busyTimeout time.Duration) (*sqliteEngine, error) {
	path, err := filepath.Abs(path) // independent of later changes of the working directory
	if err != nil {
		return nil, err
	}
	if err := createPrivateFile(path); err != nil {
		return nil, err
	}
	dsn := sqliteDSN(path, busyTimeout, url.Values{
		"_journal_mode": {"WAL"},
		"_synchronous":  {"FULL"}, // a commit is on disk before it is acknowledged
		"_txlock":       {"immediate"},
		"_pragma":       {"journal_size_limit(67108864)"}, // truncate the WAL after a burst
	})
	writers, err := openPool(dsn, 1)
	if err != nil {
		return nil, err
	}
	if err := waitForWAL(ctx, writers, busyTimeout); err != nil {
		return nil, errors.Join(err, writers.Close())
	}
	readers, err := openPool(sqliteDSN(path, busyTimeout, url.Values{"_query_only": {"on"}}), sqliteMaxReaders)
	if err != nil {
		return nil, errors.Join(err, writers.Close())
	}
	file, err := os.Stat(path)
	if err != nil {
		return nil, errors.Join(err, writers.Close(), readers.Close())
	}
	e := &sqliteEngine{readers: readers, read: &sqliteDBTX{db: readers}, path: path, file: file, dsn: dsn}
	e.writer = startWriter(writers, e.translate) //nolint:contextcheck // the writer outlives this call
	return e, nil
}

func (e *sqliteEngine) name() string { return "sqlite" }

func (e *sqliteEngine) reader() DBTX { return e.read }

func (e *sqliteEngine) run(ctx context.Context, single bool, fn func(*Queries) error) error {
	err := e.writer.run(ctx, single, fn)
	if err == nil {
		e.lastProbe.recordWrite()
	}
	return err
}

// sqliteTables selects the names of tables and views.
const sqliteTables = "SELECT name FROM sqlite_schema WHERE type IN ('table', 'view')"

func (e *sqliteEngine) version(ctx context.Context) (version int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, statementTimeout)
	defer cancel()
	if e.read.isClosed() {
		return 0, errClosed
	}
	version, err = sqliteVersion(ctx, e.readers)
	return version, e.translate(err)
}

// sqliteVersion returns the number of the newest applied migration, or 0.
func sqliteVersion(ctx context.Context, db *sql.DB) (version int64, err error) {
	present, err := queryStrings(ctx, db, sqliteTables)
	if err != nil {
		return 0, err
	}
	if slices.Contains(present, versionTable) {
		err = db.QueryRowContext(ctx, latestVersion).Scan(&version)
		return version, err
	}
	version, err = legacyVersion(ctx, db, sqliteTables)
	if _, foreign := errors.AsType[foreignTablesError](err); foreign {
		return 0, nil // migrate returns this error
	}
	return version, err
}

// migrate opens its own connection: goose needs a [sql.DB], and only the writer uses its connection.
// Its transactions begin IMMEDIATE, so it waits for the writer and for other processes.
func (e *sqliteEngine) migrate(ctx context.Context) error {
	pool, err := openPool(e.dsn, 1)
	if err != nil {
		return err
	}
	err = dropShadowIndexes(ctx, pool)
	if err == nil {
		err = migrateUp(ctx, goose.DialectSQLite3, pool, sqliteTables)
	}
	// Also after a failure: the tables still exist.
	return errors.Join(err, createShadowIndexes(ctx, pool), pool.Close())
}

// finishMigration creates the shadow indexes that are missing.
func (e *sqliteEngine) finishMigration(ctx context.Context) error {
	pool, err := openPool(e.dsn, 1)
	if err != nil {
		return err
	}
	return errors.Join(createShadowIndexes(ctx, pool), pool.Close())
}

func (e *sqliteEngine) close() error {
	return errors.Join(e.read.close(), e.readers.Close(), e.writer.close())
}

func (e *sqliteEngine) translate(err error) error {
	return e.recordDamage(translate(err, classifySQLite))
}

// classifySQLite classifies an error by its result code (https://www.sqlite.org/rescode.html).
func classifySQLite(err error) errorClass {
	var failure *sqlite.Error
	if !errors.As(err, &failure) {
		return classOther
	}
	switch failure.Code() {
	case sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY,
		sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY, sqlite3.SQLITE_CONSTRAINT_CHECK:
		return classConflict
	}
	switch failure.Code() & 0xff {
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL, // another connection holds the lock
		sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, // the disk
		sqlite3.SQLITE_NOMEM:
		return classUnavailable
	}
	return classOther
}

// isBusy reports whether another connection held the lock for too long.
func isBusy(err error) bool {
	var failure *sqlite.Error
	return errors.As(err, &failure) && failure.Code()&0xff == sqlite3.SQLITE_BUSY
}
