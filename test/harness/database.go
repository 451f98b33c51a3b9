package harness

import (
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
	_ "modernc.org/sqlite"             // the driver "sqlite"
)

// DB opens the database of a running service, to read it and to change what no operation can. The test closes it.
func (s *Service) DB(t testing.TB) *sql.DB {
	t.Helper()
	db := s.open(t)
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func (s *Service) open(t testing.TB) *sql.DB {
	t.Helper()
	driver, source := "pgx", s.DatabaseURL
	if path, isSQLite := strings.CutPrefix(s.DatabaseURL, "sqlite:"); isSQLite {
		driver, source = "sqlite", "file:"+path+"?_pragma=busy_timeout(10000)"
	}
	db, err := sql.Open(driver, source)
	if err != nil {
		t.Fatal(err)
	}
	return db
}

// Look opens the service's database while look runs. While the test has a connection open, a service that starts again
// does not find the database as the killed one left it.
func (s *Service) Look(t testing.TB, look func(db *sql.DB)) {
	t.Helper()
	db := s.open(t)
	defer db.Close()
	look(db)
}

// Exec runs a statement on the service's database.
func (s *Service) Exec(t testing.TB, query string, args ...any) {
	t.Helper()
	s.Look(t, func(db *sql.DB) {
		if _, err := db.ExecContext(t.Context(), query, args...); err != nil {
			t.Fatalf("%s: %v", query, err)
		}
	})
}

// AgeAuthentications makes all authentications older, so that they are no longer recent after ten minutes.
func (s *Service) AgeAuthentications(t testing.TB, by time.Duration) {
	t.Helper()
	age := fmt.Sprint(by.Microseconds())
	if !strings.HasPrefix(s.DatabaseURL, "sqlite") {
		age = "interval '" + age + " microseconds'"
	}
	s.Exec(t, "UPDATE session SET authenticated_at = authenticated_at - "+age)
}

// Count returns the number that a query selects.
func (s *Service) Count(t testing.TB, query string, args ...any) int {
	t.Helper()
	var n int
	s.Look(t, func(db *sql.DB) {
		if err := db.QueryRowContext(t.Context(), query, args...).Scan(&n); err != nil {
			t.Fatalf("%s: %v", query, err)
		}
	})
	return n
}

// Tables lists the tables of the schema.
func Tables() []string {
	return []string{
		"invite", "account", "confirmation", "session", "mail", "signing_key", "rate_limit", "login_failure", "login_attempt", "device",
		"reset_request", "heartbeat", "audit_event", "link", "totp", "recovery_code", "passkey", "used_challenge",
	}
}

// Snapshot returns the whole content of the service's database, one row a line, to see whether anything changed. It omits the
// heartbeat, which changes by itself.
func (s *Service) Snapshot(t testing.TB) string {
	t.Helper()
	db := s.DB(t)
	var lines []string
	for _, table := range Tables() {
		if table != "heartbeat" {
			lines = append(lines, rowsOf(t, db, table)...)
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

func rowsOf(t testing.TB, db *sql.DB, table string) []string {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), "SELECT * FROM "+table)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for rows.Next() {
		values, targets := make([]any, len(columns)), make([]any, len(columns))
		for i := range values {
			targets[i] = &values[i]
		}
		if err := rows.Scan(targets...); err != nil {
			t.Fatal(err)
		}
		fields := []string{table}
		for i, value := range values {
			if raw, isBytes := value.([]byte); isBytes {
				value = string(raw) // as it stands in the row, so that a search finds what is in it
			}
			fields = append(fields, fmt.Sprintf("%s=%v", columns[i], value))
		}
		lines = append(lines, strings.Join(fields, " "))
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return lines
}
