package contract

import (
	"database/sql"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/pressly/goose/v3"

	"github.com/financelime/authorization/schema"
	"github.com/financelime/authorization/test/harness"
)

// TestDevOlderDatabases expects a service not to migrate an older database that it then refuses: the version that uses it may still be running.
func TestDevOlderDatabases(t *testing.T) {
	t.Parallel()
	harness.EachEngine(t, func(t *testing.T, engine string) {
		for _, c := range []struct{ action, dev, want string }{
			{"", "true", "the database was not created by serve --dev"},
			{"database.claimed_by_dev", "false", "the database was created by serve --dev"},
		} {
			s := harness.New(t, binary, contract, engine, "AUTH_PUBLIC_URL=http://localhost:8080", "AUTH_DEV="+c.dev,
				"AUTH_SECRET=q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA=")
			if path, isSQLite := strings.CutPrefix(s.DatabaseURL, "sqlite:"); isSQLite {
				if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
					t.Fatal(err)
				}
			}
			s.Look(t, func(db *sql.DB) { createOlder(t, db, engine, c.action) })
			if out := startFails(t, s); !strings.Contains(out, c.want) {
				t.Errorf("AUTH_DEV=%s: %s", c.dev, out)
			}
			if n := s.Count(t, "SELECT max(version_id) FROM financelime_auth_version"); n != olderVersion {
				t.Errorf("AUTH_DEV=%s: the service has migrated the database to version %d", c.dev, n)
			}
		}
	})
}

// olderVersion is the version of the schema before many names changed: the queries of this program fail with it.
const olderVersion = 10

// createOlder creates an older database with a signing key, as every service has one. If action is not empty, serve --dev has created it.
func createOlder(t *testing.T, db *sql.DB, engine, action string) {
	t.Helper()
	now, mark := time.Now(), uuid.MustParse("00000000-0000-7000-8000-000000646576")
	dialect, at, id := goose.DialectPostgres, any(now), any(mark)
	if engine == harness.SQLite {
		dialect, at, id = goose.DialectSQLite3, now.UnixMicro(), mark[:]
	}
	provider, err := goose.NewProvider(dialect, db, schema.FS, goose.WithTableName("financelime_auth_version"),
		goose.WithDisableGlobalRegistry(true), goose.WithLogger(goose.NopLogger()))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := provider.UpTo(t.Context(), olderVersion); err != nil {
		t.Fatal(err)
	}
	if _, err := db.ExecContext(t.Context(), "INSERT INTO signing_key (id, number, algorithm, sealed, created_at, active_at) VALUES ('kid', 1, 'ES256', $1, $2, $2)",
		[]byte("sealed"), at); err != nil {
		t.Fatal(err)
	}
	if action == "" {
		return
	}
	if _, err := db.ExecContext(t.Context(), "INSERT INTO audit_event (id, created_at, operator, action, details) VALUES ($1, $2, 'me', $3, '{}')",
		id, at, action); err != nil {
		t.Fatal(err)
	}
}
