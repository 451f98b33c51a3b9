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
	"strconv"
	"strings"
	"time"

	"modernc.org/sqlite"
)

// sqlitePath returns the path in the part of a URL after "sqlite:".
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

// sqliteDSN returns a data source name with all settings: a PRAGMA sent to a pool would reach only one of its connections.
func sqliteDSN(path string, busyTimeout time.Duration, more url.Values) string {
	path = filepath.ToSlash(path)
	if !strings.HasPrefix(path, "/") {
		path = "/" + path // C:/...
	}
	values := url.Values{
		"mode":          {"rw"}, // createPrivateFile creates the file; a file that was moved away must not be replaced
		"_busy_timeout": {strconv.FormatInt(busyTimeout.Milliseconds(), 10)},
		"_foreign_keys": {"on"},
		"_defensive":    {"true"},
		"_dqs":          {"false"},
		"_error_rc":     {"true"},
	}
	maps.Copy(values, more)
	return (&url.URL{Scheme: "file", Path: path, RawQuery: values.Encode()}).String()
}

// openPool opens a pool with a maximum number of connections.
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

// createPrivateFile creates an empty database file with mode 0600, if it is missing. SQLite gives the -wal and -shm files the same mode. The
// file is created under a temporary name and then linked: closing a descriptor of a database that this process has already open
// would drop SQLite's locks on it (https://www.sqlite.org/howtocorrupt.html, section 2.2).
func createPrivateFile(path string) error {
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
	linkErr := os.Link(file.Name(), path)
	if err := errors.Join(err, os.Remove(file.Name())); err != nil {
		return err
	}
	if linkErr != nil && !errors.Is(linkErr, os.ErrExist) { // a file system without hard links
		file, err = os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600) //nolint:gosec // the operator's path
		if err == nil {
			return file.Close()
		}
		linkErr = err
	}
	if errors.Is(linkErr, os.ErrExist) { // another process created it meanwhile
		return nil
	}
	return linkErr
}

// waitForWAL opens the first connection and checks the version of SQLite and the journal mode. It waits for another process that opens the
// same new file: the switch to WAL needs exclusive access, and SQLite does not wait for that by itself.
func waitForWAL(ctx context.Context, pool *sql.DB, busyTimeout time.Duration) error {
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
	if !hasWALResetFix(version) {
		return fmt.Errorf("SQLite %s can corrupt a database in WAL mode: 3.51.3 or newer is needed", version)
	}
	if mode != "wal" {
		return fmt.Errorf("the file system does not support SQLite's WAL mode (got %q): use a local disk", mode)
	}
	return nil
}

// hasWALResetFix reports whether a version of SQLite has the fix for the corruption by a WAL reset (a bug of 3.7.0 to 3.51.2).
func hasWALResetFix(version string) bool {
	var major, minor, patch int
	if _, err := fmt.Sscanf(version, "%d.%d.%d", &major, &minor, &patch); err != nil {
		return false
	}
	return major > 3 || major == 3 && (minor > 51 || minor == 51 && patch >= 3)
}

// requireSQLite fails unless a file is a database of this service without known damage. It changes no file.
func requireSQLite(ctx context.Context, path string) (err error) {
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
	// Check the log before SQLite opens the file: when the last connection closes, SQLite deletes the part of the log that it could not read.
	served, err := isServed(path)
	if err == nil && !served {
		_, err = checkWAL(path)
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
		return damageError(err)
	case version == 0:
		return ErrNoDatabase
	}
	_, err = checkContent(ctx, pool, checkLimit{part: commandCheckTimeout}, true)
	return err
}
