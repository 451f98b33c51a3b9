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
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/pressly/goose/v3"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

const (
	// sqliteBusyTimeout is how long a write waits for another process (an admin command) to finish its own.
	sqliteBusyTimeout = 5 * time.Second
	// sqliteReaders bounds the reading connections. They never wait for the writer.
	sqliteReaders = 8
)

// sqlitePath reads what follows "sqlite:".
func sqlitePath(rest string) (string, error) {
	path, query, hasQuery := strings.Cut(rest, "?")
	switch {
	case hasQuery:
		name, _, _ := strings.Cut(query, "=")
		return "", fmt.Errorf("sqlite: takes a path only, no parameter %q", name)
	case path == "":
		return "", errors.New("sqlite: needs the path of a file, as in sqlite:data/auth.db")
	case path == ":memory:":
		return "", errors.New("sqlite: needs the path of a file, a database in memory cannot be shared")
	case strings.HasPrefix(path, "//"):
		return "", errors.New("sqlite: is followed by a path without a host, as in sqlite:data/auth.db or sqlite:/var/lib/auth.db")
	}
	return path, nil
}

// sqliteEngine has one connection that writes, owned by a goroutine, and a pool of connections that only read.
type sqliteEngine struct {
	writer  *writer
	readers *sql.DB
	read    *sqliteFace
	path    string
	file    os.FileInfo // what was opened
	dsn     string      // of the writer

	probed  probe
	damaged atomic.Pointer[DamagedError] // the first damage that a statement met; nil if there was none
}

func openSQLite(ctx context.Context, path string, busyTimeout time.Duration) (*sqliteEngine, error) {
	path, err := filepath.Abs(path) // a later change of the working directory must not lead elsewhere
	if err != nil {
		return nil, err
	}
	if err := createPrivate(path); err != nil {
		return nil, err
	}
	dsn := sqliteDSN(path, busyTimeout, url.Values{
		"_journal_mode": {"WAL"},
		"_synchronous":  {"FULL"}, // a commit is on the disk before it is acknowledged
		"_txlock":       {"immediate"},
		"_pragma":       {"journal_size_limit(67108864)"}, // the WAL shrinks again after a burst
	})
	writers, err := openPool(dsn, 1)
	if err != nil {
		return nil, err
	}
	if err := checkSQLite(ctx, writers, busyTimeout); err != nil {
		return nil, errors.Join(err, writers.Close())
	}
	readers, err := openPool(sqliteDSN(path, busyTimeout, url.Values{"_query_only": {"on"}}), sqliteReaders)
	if err != nil {
		return nil, errors.Join(err, writers.Close())
	}
	file, err := os.Stat(path)
	if err != nil {
		return nil, errors.Join(err, writers.Close(), readers.Close())
	}
	e := &sqliteEngine{readers: readers, read: &sqliteFace{db: readers}, path: path, file: file, dsn: dsn}
	e.writer = startWriter(writers, e.translate) //nolint:contextcheck // it lives longer than this call
	return e, nil
}

// sqliteDSN sets everything in the connection's name: a PRAGMA sent to a pool reaches one connection of it.
func sqliteDSN(path string, busyTimeout time.Duration, more url.Values) string {
	path = filepath.ToSlash(path)
	if !strings.HasPrefix(path, "/") {
		path = "/" + path // C:/...
	}
	values := url.Values{
		"mode":          {"rw"}, // createPrivate makes the file, and a file that was moved away must not be replaced
		"_busy_timeout": {strconv.FormatInt(busyTimeout.Milliseconds(), 10)},
		"_foreign_keys": {"on"},
		"_defensive":    {"true"},
		"_dqs":          {"false"},
		"_error_rc":     {"true"},
	}
	maps.Copy(values, more)
	return (&url.URL{Scheme: "file", Path: path, RawQuery: values.Encode()}).String()
}

func openPool(dsn string, connections int) (*sql.DB, error) {
	connector, err := sqlite.NewConnector(dsn)
	if err != nil {
		return nil, err
	}
	pool := sql.OpenDB(connector)
	pool.SetMaxOpenConns(connections)
	pool.SetMaxIdleConns(connections)
	return pool, nil
}

// createPrivate makes an empty database file that only its owner can read; SQLite gives the files beside it the same
// mode. The file appears by a link: closing a descriptor of a database that this process has open already
// would drop SQLite's locks on it (https://www.sqlite.org/howtocorrupt.html, section 2.2).
func createPrivate(path string) error {
	if _, err := os.Stat(path); err == nil || !errors.Is(err, os.ErrNotExist) {
		return err
	}
	file, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".new-*") // mode 0600
	if err != nil {
		if errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("the directory %s does not exist", filepath.Dir(path))
		}
		return err
	}
	err = file.Close()
	linked := os.Link(file.Name(), path)
	if err := errors.Join(err, os.Remove(file.Name())); err != nil {
		return err
	}
	if linked != nil && !errors.Is(linked, os.ErrExist) { // a file system without links
		file, err = os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600) //nolint:gosec // the operator's path
		if err == nil {
			return file.Close()
		}
		linked = err
	}
	if errors.Is(linked, os.ErrExist) { // somebody was faster
		return nil
	}
	return linked
}

// checkSQLite opens the first connection, waiting for another process that is opening the same new file:
// the switch to WAL needs the file alone, and SQLite does not wait for that by itself.
func checkSQLite(ctx context.Context, pool *sql.DB, busyTimeout time.Duration) error {
	var version, mode string
	for deadline := time.Now().Add(busyTimeout); ; {
		err := pool.QueryRowContext(ctx, "SELECT sqlite_version(), journal_mode FROM pragma_journal_mode").Scan(&version, &mode)
		if err == nil {
			break
		}
		if !isBusy(err) || time.Now().After(deadline) {
			return err
		}
		select {
		case <-time.After(5 * time.Millisecond):
		case <-ctx.Done():
			return err
		}
	}
	if !recentSQLite(version) {
		return fmt.Errorf("SQLite %s can corrupt a database in WAL mode: 3.51.3 or newer is needed", version)
	}
	if mode != "wal" {
		return fmt.Errorf("the file system does not support SQLite's WAL mode (got %q): use a local disk", mode)
	}
	return nil
}

// recentSQLite tells whether a version has the fix for the corruption by a WAL reset (3.7.0 to 3.51.2).
func recentSQLite(version string) bool {
	var major, minor, patch int
	if _, err := fmt.Sscanf(version, "%d.%d.%d", &major, &minor, &patch); err != nil {
		return false
	}
	return major > 3 || major == 3 && (minor > 51 || minor == 51 && patch >= 3)
}

func (e *sqliteEngine) name() string { return "sqlite" }

func (e *sqliteEngine) reader() DBTX { return e.read }

func (e *sqliteEngine) run(ctx context.Context, single bool, fn func(*Queries) error) error {
	err := e.writer.run(ctx, single, fn)
	if err == nil {
		e.probed.wrote()
	}
	return err
}

// sqliteTables is what has the name of a table.
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

func sqliteVersion(ctx context.Context, db *sql.DB) (version int64, err error) {
	present, err := texts(ctx, db, sqliteTables)
	if err != nil {
		return 0, err
	}
	if slices.Contains(present, versionTable) {
		err = db.QueryRowContext(ctx, latestVersion).Scan(&version)
		return version, err
	}
	version, err = adopted(ctx, db, sqliteTables)
	if _, foreign := errors.AsType[foreignTablesError](err); foreign {
		return 0, nil // whoever migrates is told
	}
	return version, err
}

// inspectSQLite fails unless a file is a database of this service. It changes neither the file nor what is beside it.
func inspectSQLite(ctx context.Context, path string) (err error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, os.ErrNotExist), err == nil && info.Mode().IsRegular() && info.Size() == 0:
		return ErrNoDatabase
	case err != nil:
		return err
	}
	if path, err = filepath.Abs(path); err != nil {
		return err
	}
	// Before SQLite opens the file: with the last connection that closes, it forgets what it could not read of the log.
	served, err := isServed(path)
	if err == nil && !served {
		_, err = checkLog(path)
	}
	if err != nil {
		return err
	}
	pool, err := openPool(sqliteDSN(path, sqliteBusyTimeout, url.Values{"_query_only": {"on"}}), 1)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, pool.Close()) }()
	version, err := sqliteVersion(ctx, pool)
	switch {
	case err != nil:
		return damage(err)
	case version == 0:
		return ErrNoDatabase
	}
	_, err = checkContent(ctx, pool, commandCheckTime, true)
	return err
}

// migrate uses a connection of its own: goose wants a [sql.DB], and the writer's belongs to the writer.
// Its transactions begin IMMEDIATE, so it waits for the writer and for other processes.
func (e *sqliteEngine) migrate(ctx context.Context) error {
	pool, err := openPool(e.dsn, 1)
	if err != nil {
		return err
	}
	err = unguardTables(ctx, pool)
	if err == nil {
		err = migrateUp(ctx, goose.DialectSQLite3, pool, sqliteTables)
	}
	// Also after a failure: the tables are still there.
	return errors.Join(err, guardTables(ctx, pool), pool.Close())
}

func (e *sqliteEngine) guard(ctx context.Context) error {
	pool, err := openPool(e.dsn, 1)
	if err != nil {
		return err
	}
	return errors.Join(guardTables(ctx, pool), pool.Close())
}

func (e *sqliteEngine) close() error {
	return errors.Join(e.read.close(), e.readers.Close(), e.writer.close())
}

func (e *sqliteEngine) translate(err error) error { return e.noteDamage(translate(err, judgeSQLite)) }

// judgeSQLite sorts errors by result code (https://www.sqlite.org/rescode.html).
func judgeSQLite(err error) verdict {
	var failure *sqlite.Error
	if !errors.As(err, &failure) {
		return other
	}
	switch failure.Code() {
	case sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY,
		sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY, sqlite3.SQLITE_CONSTRAINT_CHECK:
		return conflict
	}
	switch failure.Code() & 0xff {
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL, // others hold the lock
		sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, // the disk
		sqlite3.SQLITE_NOMEM:
		return unavailable
	}
	return other
}

func isBusy(err error) bool {
	var failure *sqlite.Error
	return errors.As(err, &failure) && failure.Code()&0xff == sqlite3.SQLITE_BUSY
}
