// Package dbtest gives tests a database of each engine.
package dbtest

import (
	"database/sql"
	"path/filepath"
	"strings"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
	_ "modernc.org/sqlite"             // the driver "sqlite"

	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/test/postgres"
)

// EachEngine runs a test on both engines, in parallel subtests, each with the URL of an empty database.
func EachEngine(t *testing.T, test func(t *testing.T, url string)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		test(t, SQLiteURL(t))
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		test(t, postgres.URL(t))
	})
}

// SQLiteURL returns the URL of an SQLite database that does not exist yet.
func SQLiteURL(t testing.TB) string {
	t.Helper()
	return "sqlite:" + filepath.Join(t.TempDir(), "auth.db")
}

// Open opens a database, migrates it, and closes it when the test ends.
func Open(t testing.TB, url string) *db.Store {
	t.Helper()
	store, err := db.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := store.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return store
}

// Raw opens a database with database/sql, for statements that the service does not have. It closes it when the test ends.
func Raw(t testing.TB, url string) *sql.DB {
	t.Helper()
	driver, source := "pgx", url
	if path, is := strings.CutPrefix(url, "sqlite:"); is {
		driver, source = "sqlite", path
	}
	raw, err := sql.Open(driver, source)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = raw.Close() })
	return raw
}
