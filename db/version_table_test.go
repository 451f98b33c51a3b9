package db_test

import (
	"database/sql"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/test/dbtest"
	"github.com/financelime/authorization/test/postgres"
)

// openSQL opens the database of a URL without package db.
func openSQL(t *testing.T, url string) *sql.DB {
	t.Helper()
	driver := "pgx"
	if path, isSQLite := strings.CutPrefix(url, "sqlite:"); isSQLite {
		driver, url = "sqlite", "file:"+path+"?_pragma=busy_timeout(10000)"
	}
	pool, err := sql.Open(driver, url)
	must(t, err)
	t.Cleanup(func() { _ = pool.Close() })
	return pool
}

func execSQL(t *testing.T, pool *sql.DB, statements ...string) {
	t.Helper()
	for _, s := range statements {
		if _, err := pool.ExecContext(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

func queryText(t *testing.T, pool *sql.DB, query string) string {
	t.Helper()
	var s string
	must(t, pool.QueryRowContext(t.Context(), query).Scan(&s))
	return s
}

const gooseTable = "CREATE TABLE goose_db_version (id integer PRIMARY KEY, version_id bigint NOT NULL, is_applied boolean NOT NULL)"

// The service does not use or change the goose table of another program in the same schema.
func TestOtherGooseTableIsNotChanged(t *testing.T) {
	for name, rows := range map[string]string{
		"like ours":  "(1, 0, true), (2, 1, true), (3, 2, true), (4, 3, true)",
		"more":       "(1, 0, true), (2, 1, true), (3, 20230101120000, true)",
		"only begun": "(1, 0, true)",
	} {
		t.Run(name, func(t *testing.T) {
			onBothURLs(t, func(t *testing.T, url string) {
				pool := openSQL(t, url)
				execSQL(t, pool, gooseTable, "INSERT INTO goose_db_version (id, version_id, is_applied) VALUES "+rows, "CREATE TABLE orders (id bigint)")
				const history = "SELECT CAST(count(*) AS text) || ' ' || CAST(max(version_id) AS text) FROM goose_db_version"
				before := queryText(t, pool, history)
				if _, err := db.OpenMigrated(t.Context(), url); !errors.Is(err, db.ErrNoDatabase) {
					t.Errorf("opened: %v", err)
				}
				s := dbtest.Open(t, url)
				must(t, s.Ping(t.Context()))
				account(t, s, insertAccount(t, s).ID)
				if now := queryText(t, pool, history); now != before {
					t.Errorf("the goose table changed from %[2]s to %[1]s", now, before)
				}
				again, err := db.OpenMigrated(t.Context(), url)
				must(t, err)
				must(t, again.Close())
			})
		})
	}
}

// The service does not use tables of another program, with or without a goose table.
func TestForeignTablesAreRefused(t *testing.T) {
	for name, statements := range map[string][]string{
		"a table of the first migration": {"CREATE TABLE account (name text)"},
		"a table of a later one":         {"CREATE TABLE device (name text)"},
		"a view":                         {"CREATE VIEW mail AS SELECT 1 AS one"},
		"with a history":                 {"CREATE TABLE account (name text)", gooseTable, "INSERT INTO goose_db_version (id, version_id, is_applied) VALUES (1, 0, true), (2, 1, true)"},
	} {
		t.Run(name, func(t *testing.T) {
			onBothURLs(t, func(t *testing.T, url string) {
				pool := openSQL(t, url)
				execSQL(t, pool, statements...)
				s := open(t, url)
				err := s.Migrate(t.Context())
				if err == nil || errors.Is(err, db.ErrUnavailable) || !strings.Contains(err.Error(), "another program") {
					t.Errorf("migrate: %v", err)
				}
				if err := s.Ping(t.Context()); err == nil {
					t.Error("ready")
				}
				if _, err := db.OpenMigrated(t.Context(), url); !errors.Is(err, db.ErrNoDatabase) {
					t.Errorf("opened: %v", err)
				}
				tables := "SELECT CAST(count(*) AS text) FROM pg_tables WHERE schemaname = 'public'"
				if strings.HasPrefix(url, "sqlite:") {
					tables = "SELECT CAST(count(*) AS text) FROM sqlite_schema WHERE type = 'table'"
				}
				want := strings.Count(strings.Join(statements, " "), "CREATE TABLE")
				if got := queryText(t, pool, tables); got != string(rune('0'+want)) {
					t.Errorf("%s tables, want %d", got, want)
				}
			})
		})
	}
}

// A database of an early version, which used goose's default table, is migrated from its version and keeps its rows. The goose table stays
// for replicas of that version.
func TestLegacyVersionIsMigrated(t *testing.T) {
	onBothURLs(t, func(t *testing.T, url string) {
		pool := openSQL(t, url)
		for _, name := range []string{"00001_first.sql", "00002_limit.sql", "00003_accounts.sql"} {
			content, err := os.ReadFile("../schema/" + name)
			must(t, err)
			up, _, _ := strings.Cut(string(content), "-- +goose Down")
			execSQL(t, pool, up)
		}
		execSQL(t, pool, gooseTable, "INSERT INTO goose_db_version (id, version_id, is_applied) VALUES (1, 0, true), (2, 1, true), (3, 2, true), (4, 3, true)")
		execSQL(t, pool, "INSERT INTO limit_use (key, used_until) VALUES ('k', 7)")
		if _, err := db.OpenMigrated(t.Context(), url); err == nil || !strings.Contains(err.Error(), "at version 3") {
			t.Errorf("opened: %v", err)
		}
		s := open(t, url)
		concurrently(3, func(int) {
			if err := s.Migrate(t.Context()); err != nil {
				t.Error(err)
			}
		})
		must(t, s.Ping(t.Context()))
		account(t, s, insertAccount(t, s).ID)
		if n := countRows(t, s, "rate_limit"); n != 1 {
			t.Errorf("%d old rows", n)
		}
		if n := countRows(t, s, "goose_db_version"); n != 4 {
			t.Errorf("%d rows in goose's table", n)
		}
	})
}

// The service uses only the first schema of search_path.
func TestSearchPath(t *testing.T) {
	t.Parallel()
	url := postgres.URL(t)
	pool := openSQL(t, url)
	execSQL(t, pool, "CREATE TABLE account (name text)", gooseTable, "CREATE SCHEMA auth")
	s := dbtest.Open(t, url+"&search_path=auth,public")
	account(t, s, insertAccount(t, s).ID)
	other := dbtest.Open(t, url+"&search_path=auth")
	must(t, other.Ping(t.Context()))
}

// A migration waits for a table that a long query locks, without blocking later queries for long.
func TestMigrationDoesNotBlockQueries(t *testing.T) {
	t.Parallel()
	url := postgres.URL(t)
	s := dbtest.Open(t, url)
	insertAccount(t, s)
	pool := openSQL(t, url)
	for _, name := range []string{"00015_second_factor.sql", "00014_reset_form.sql", "00013_account.sql", "00012_own_password.sql", "00011_names.sql", "00010_sealed_before.sql", "00009_audit_event.sql", "00008_reset_request.sql"} {
		content, err := os.ReadFile("../schema/" + name)
		must(t, err)
		_, down, _ := strings.Cut(string(content), "-- +goose Down")
		execSQL(t, pool, down)
	}
	execSQL(t, pool, "DELETE FROM financelime_auth_version WHERE version_id >= 8")
	long, err := pool.BeginTx(t.Context(), nil)
	must(t, err)
	defer long.Rollback()                                                                   //nolint:errcheck // no effect after the rollback below
	_, err = long.ExecContext(t.Context(), "LOCK TABLE reset_request IN ACCESS SHARE MODE") // as a SELECT does
	must(t, err)
	migrating := make(chan error, 1)
	go func() { migrating <- s.Migrate(t.Context()) }()
	var slowest time.Duration
	for end := time.Now().Add(6 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		began := time.Now()
		countRows(t, s, "reset_request")
		slowest = max(slowest, time.Since(began))
	}
	select {
	case err := <-migrating:
		t.Fatalf("the migration did not wait: %v", err)
	default:
	}
	if slowest > 4*time.Second {
		t.Errorf("other queries waited for %s", slowest)
	}
	must(t, long.Rollback())
	select {
	case err := <-migrating:
		must(t, err)
	case <-time.After(30 * time.Second):
		t.Fatal("the migration does not try again")
	}
	must(t, s.Ping(t.Context()))
	t.Logf("other queries waited for at most %s", slowest)
}
