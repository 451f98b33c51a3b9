package db_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/test/dbtest"
	"github.com/financelime/authorization/test/postgres"
)

// setDatabaseDefault changes a setting of a database for new connections.
func setDatabaseDefault(t *testing.T, url, name, value string) {
	t.Helper()
	execSQL(t, openSQL(t, url), "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET "+name+" = %L', current_database(), '"+value+"'); END $$")
}

// Times are read correctly with any DateStyle and TimeZone of the database or the URL and in each execution mode.
func TestTimeFormats(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"exec", "simple_protocol", "cache_describe"} {
		for _, setting := range []string{"DateStyle=German", "datestyle=SQL,DMY", "TimeZone=Asia/Kolkata", "IntervalStyle=sql_standard"} {
			for _, by := range []string{"URL", "database"} {
				url := postgres.URL(t) + "&default_query_exec_mode=" + mode
				if by == "URL" {
					url += "&" + setting
				} else {
					name, value, _ := strings.Cut(setting, "=")
					setDatabaseDefault(t, url, name, value)
				}
				s := dbtest.Open(t, url)
				a := insertAccount(t, s)
				insertSession(t, s, a.ID)
				if got := account(t, s, a.ID); !got.CreatedAt.Equal(a.CreatedAt) {
					t.Errorf("%s %s by %s: %s, want %s", mode, setting, by, got.CreatedAt, a.CreatedAt)
				}
				must(t, s.Ping(t.Context()))
			}
		}
	}
}

// A server that sends bytea in a format that pgx cannot read is refused with the reason.
func TestBytesFormat(t *testing.T) {
	t.Parallel()
	url := postgres.URL(t)
	setDatabaseDefault(t, url, "bytea_output", "escape")
	must(t, open(t, url).Migrate(t.Context()))
	if err := open(t, url+"&default_query_exec_mode=exec").Migrate(t.Context()); err == nil || !strings.Contains(err.Error(), "bytea_output") {
		t.Errorf("got %v", err)
	}
}

// The error of a missing or invalid certificate file names the file and contains nothing else of the URL.
func TestCertificateFilesOfURL(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	missing, garbage := filepath.Join(dir, "missing.pem"), filepath.Join(dir, "garbage.pem")
	must(t, os.WriteFile(garbage, []byte("no certificate"), 0o600))
	for parameters, want := range map[string]string{
		"sslrootcert=" + missing:                              "missing.pem: no such file",
		"sslrootcert=" + garbage:                              "certificate or key",
		"sslcert=" + missing + "&sslkey=" + missing:           "missing.pem: no such file",
		"sslcert=" + garbage + "&sslkey=" + garbage:           "certificate or key",
		"sslrootcert=" + dir:                                  "is a directory",
		"sslrootcert=" + missing + "&application_name=hunter": "missing.pem: no such file",
	} {
		s, err := db.Open(t.Context(), "postgres://u:hunter2@db.internal/auth?sslmode=verify-full&"+parameters)
		if err == nil {
			_ = s.Close()
			t.Errorf("%s was accepted", parameters)
			continue
		}
		if text := err.Error(); !strings.Contains(text, want) || strings.Contains(text, "hunter") || strings.Contains(text, "db.internal") {
			t.Errorf("%s: %v", parameters, err)
		}
	}
}

// The error of a statement that was prepared on another connection of the server contains the solution.
func TestPgBouncerHint(t *testing.T) {
	t.Parallel()
	url := postgres.URL(t)
	s := dbtest.Open(t, url+"&pool_max_conns=1")
	a := insertAccount(t, s)
	account(t, s, a.ID)
	must(t, s.InTx(t.Context(), func(q *db.Queries) error {
		_, err := db.ExecRaw(t.Context(), q, "DEALLOCATE ALL") // like another client of the pooler
		return err
	}))
	if _, err := s.Read().GetAccount(t.Context(), a.ID); err == nil || !strings.Contains(err.Error(), "default_query_exec_mode=exec") {
		t.Errorf("got %v", err)
	}
}

// Cancelled callers do not close connections, and no caller reads the rows of another one.
func TestCancelledStatementsKeepConnections(t *testing.T) {
	t.Parallel()
	s := dbtest.Open(t, postgres.URL(t)+"&pool_max_conns=4")
	first, second := insertAccount(t, s), insertAccount(t, s)
	before := db.ConnectionsOpened(s)
	const cancelled = 1000
	var group sync.WaitGroup
	for worker := range 8 {
		group.Go(func() {
			for n := range cancelled / 8 {
				ctx, cancel := context.WithCancel(t.Context())
				timer := time.AfterFunc(time.Duration(n%10)*200*time.Microsecond, cancel)
				_, err := db.ExecRaw(ctx, s.Read(), "SELECT pg_sleep(0.001)")
				timer.Stop()
				cancel()
				if err != nil && !errors.Is(err, context.Canceled) {
					t.Errorf("a cancelled statement: %v", err)
				}
				want := first
				if worker%2 == 1 {
					want = second
				}
				if got := account(t, s, want.ID); got.ID != want.ID {
					t.Errorf("%s instead of %s", got.ID, want.ID)
				}
			}
		})
	}
	group.Wait()
	opened := db.ConnectionsOpened(s) - before
	t.Logf("%d connections opened for %d cancelled statements", opened, cancelled)
	if opened > 20 {
		t.Error("cancelled statements close their connections")
	}

	// A long statement is cancelled on the server.
	for range 8 {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(10*time.Millisecond, cancel)
		began := time.Now()
		if _, err := db.ExecRaw(ctx, s.Read(), "SELECT pg_sleep(30)"); !errors.Is(err, context.Canceled) {
			t.Errorf("a long statement: %v", err)
		}
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("the cancellation took %s", took)
		}
		cancel()
	}
	if opened := db.ConnectionsOpened(s) - before - opened; opened > 4 {
		t.Errorf("%d connections opened for 8 cancelled statements", opened)
	}
	account(t, s, first.ID)
}
