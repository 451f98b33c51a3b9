package db_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/test/dbtest"
)

func TestOpenInvalidURL(t *testing.T) {
	t.Parallel()
	const secret = "hunter2"
	for url, want := range map[string]string{
		"":                                "sqlite: or postgres://",
		"auth.db":                         "sqlite: or postgres://",
		"mysql://u:hunter2@host/auth":     "sqlite: or postgres://",
		"host=localhost password=hunter2": "sqlite: or postgres://",
		"SQLITE:auth.db":                  "sqlite: or postgres://",
		"sqlite:":                         "path",
		"sqlite:?":                        "no parameter",
		"sqlite::memory:":                 "memory",
		"sqlite://host/auth.db":           "without a host",
		"sqlite:///auth.db":               "without a host",
		"sqlite:auth.db?mode=memory":      `no parameter "mode"`,
		"sqlite:auth.db?_pragma=foreign_keys(0)&x":          `no parameter "_pragma"`,
		"postgres://u:hunter2@host:port/auth":               "not a valid PostgreSQL URL",
		"postgres://u:hunter2@host/auth?sslmode=perhaps":    "not a valid PostgreSQL URL",
		"postgres://u:hunter2@host/auth?pool_max_conns=0":   "not a valid PostgreSQL URL",
		"postgres://u:hunter2@host/auth?pool_max_conns=few": "not a valid PostgreSQL URL",
		"postgres://u:hunter2%zz@host/auth":                 "not a valid PostgreSQL URL",
		"postgres://u:hunter2/x@host/auth":                  "not a valid PostgreSQL URL",
		"postgres://u:12/hunter2@host/auth":                 "not a valid PostgreSQL URL",
	} {
		s, err := db.Open(t.Context(), url)
		if err == nil {
			_ = s.Close()
			t.Errorf("%q was accepted", url)
			continue
		}
		if !strings.HasPrefix(err.Error(), "database URL: ") || !strings.Contains(err.Error(), want) ||
			strings.Contains(err.Error(), "\n") || strings.Contains(err.Error(), secret) {
			t.Errorf("%q: %v", url, err)
		}
	}
}

func TestOpenCreatesNoDirectory(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "missing")
	_, err := db.Open(t.Context(), "sqlite:"+filepath.Join(dir, "auth.db"))
	if err == nil || !strings.Contains(err.Error(), dir+" does not exist") {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(dir); err == nil {
		t.Error("Open created the directory")
	}
}

func TestOpenRefusesOtherFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "notes.txt")
	must(t, os.WriteFile(file, []byte(strings.Repeat("dear diary ", 1000)), 0o600))
	for _, path := range []string{dir, file} {
		if s, err := db.Open(t.Context(), "sqlite:"+path); err == nil {
			_ = s.Close()
			t.Errorf("%s was opened", path)
		} else if !strings.Contains(err.Error(), path) {
			t.Errorf("the error does not name the file: %v", err)
		}
	}
}

func TestOpenSQLitePaths(t *testing.T) {
	for _, name := range []string{"auth.db", "a b%20c#d'é.db", "sub/auth.db", "./x:y.db"} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			t.Chdir(dir)
			must(t, os.MkdirAll(filepath.Dir(name), 0o700))
			s := dbtest.Open(t, "sqlite:"+name)
			t.Chdir(t.TempDir()) // new connections must not depend on the working directory
			if s.Engine() != "sqlite" {
				t.Errorf("engine %q", s.Engine())
			}
			a := insertAccount(t, s)
			account(t, s, a.ID)
			if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
				t.Error(err)
			}
			again := open(t, "sqlite:"+filepath.Join(dir, name))
			account(t, again, a.ID)
		})
	}
}

func TestSQLiteSettings(t *testing.T) {
	t.Parallel()
	s := dbtest.Open(t, dbtest.SQLiteURL(t))
	check := func(q *db.Queries, pragma string, want int64) error {
		var got int64
		err := db.QueryRaw(t.Context(), q, "SELECT * FROM pragma_"+pragma).Scan(&got)
		if got != want {
			t.Errorf("%s is %d, want %d", pragma, got, want)
		}
		return err
	}
	must(t, s.InTx(t.Context(), func(q *db.Queries) error {
		for pragma, want := range map[string]int64{"synchronous": 2, "foreign_keys": 1, "query_only": 0} {
			if err := check(q, pragma, want); err != nil {
				return err
			}
		}
		var mode string
		err := db.QueryRaw(context.Background(), q, "SELECT * FROM pragma_journal_mode").Scan(&mode)
		if mode != "wal" {
			t.Errorf("journal mode %q", mode)
		}
		return err
	}))
	for pragma, want := range map[string]int64{"foreign_keys": 1, "query_only": 1} {
		must(t, check(s.Read(), pragma, want))
	}
}

func TestHasWALResetFix(t *testing.T) {
	t.Parallel()
	for version, want := range map[string]bool{
		"3.51.3": true, "3.52.0": true, "3.100.0": true, "4.0.0": true,
		"3.51.2": false, "3.50.9": false, "3.7.0": false, "2.99.99": false, "": false, "three": false,
	} {
		if db.HasWALResetFix(version) != want {
			t.Errorf("%q: %v", version, !want)
		}
	}
}
