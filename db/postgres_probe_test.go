package db_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/test/dbtest"
	"github.com/financelime/authorization/test/postgres"
)

// A server that responds but does not commit is not ready.
func TestPingWritesToPostgres(t *testing.T) {
	t.Parallel()
	const table = "financelime_auth_version"
	role := "reader_" + strings.ReplaceAll(newID(t).String(), "-", "")
	for name, c := range map[string]struct{ begin, end, parameter, want string }{
		"a full disk": {
			"CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS " +
				"$$ BEGIN RAISE EXCEPTION 'No space left on device' USING ERRCODE = '53100'; END $$; " +
				"CREATE TRIGGER full_disk BEFORE UPDATE ON " + table + " EXECUTE FUNCTION full_disk()",
			"DROP TRIGGER full_disk ON " + table, "", "No space left",
		},
		"a commit that fails": {
			"CREATE FUNCTION late() RETURNS trigger LANGUAGE plpgsql AS " +
				"$$ BEGIN RAISE EXCEPTION 'not committed' USING ERRCODE = '58030'; END $$; " +
				"CREATE CONSTRAINT TRIGGER late AFTER UPDATE ON " + table + " DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION late()",
			"DROP TRIGGER late ON " + table, "", "not committed",
		},
		"no right to write": {
			"CREATE ROLE " + role + "; GRANT SELECT ON " + table + " TO " + role,
			"DROP OWNED BY " + role + "; DROP ROLE " + role, "&role=" + role, "permission denied",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := postgres.URL(t)
			must(t, dbtest.Open(t, url).Ping(t.Context()))
			pool := openSQL(t, url)
			execSQL(t, pool, c.begin)
			if err := open(t, url+c.parameter).Ping(t.Context()); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v", err)
			}
			execSQL(t, pool, c.end)
			must(t, open(t, url).Ping(t.Context()))
		})
	}
}

// If the table of the probe is locked, Ping waits until the caller's deadline.
func TestPingWaitsUntilDeadline(t *testing.T) {
	t.Parallel()
	url := postgres.URL(t)
	s := dbtest.Open(t, url)
	tx, err := openSQL(t, url).BeginTx(t.Context(), nil)
	must(t, err)
	_, err = tx.ExecContext(t.Context(), "LOCK TABLE financelime_auth_version IN EXCLUSIVE MODE")
	must(t, err)
	concurrently(10, func(int) {
		short, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if err := s.Ping(short); !errors.Is(err, db.ErrUnavailable) {
			t.Errorf("got %v", err)
		}
	})
	must(t, tx.Rollback())
	must(t, s.Ping(t.Context()))
}
