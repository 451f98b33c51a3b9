package db_test

import (
	"context"
	"database/sql"
	"errors"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/test/postgres"
)

// fill puts rows into every table, with what is awkward: NULL and empty, times before 1970, text that is not ASCII.
func fill(t *testing.T, s *db.Store) {
	t.Helper()
	invite, _ := insertInvite(t, s, 3)
	a := insertPending(t, s, &invite)
	insertSession(t, s, insertAccount(t, s).ID)
	must(t, s.InTx(t.Context(), func(q *db.Queries) error {
		return errors.Join(
			q.InsertSession(t.Context(), db.InsertSessionParams{
				ID: newID(t), AccountID: a.ID, ClientID: "", Platform: "Ж\u2028\\N\t\"'", Now: time.Date(1931, 2, 3, 4, 5, 6, 7000, time.UTC),
			}),
			q.UpsertConfirmation(t.Context(), db.UpsertConfirmationParams{
				ID: uuid.New(), AccountID: a.ID, Purpose: "signup", KeyHash: []byte{0, 255, '\\'}, CreatedAt: start, ExpiresAt: start,
			}),
			q.InsertMail(t.Context(), db.InsertMailParams{ID: newID(t), AccountID: a.ID, Kind: "password", Nonce: []byte{}, Now: start}),
			q.InsertMail(t.Context(), db.InsertMailParams{ID: newID(t), AccountID: a.ID, Kind: "password", RequestID: "r", Now: start}),
			q.InsertDevice(t.Context(), db.InsertDeviceParams{ID: newID(t), AccountID: a.ID, Fingerprint: []byte{0, 255}, Now: start}),
			q.InsertLoginAttempt(t.Context(), db.InsertLoginAttemptParams{
				ID: newID(t), ClientIpKey: []byte{}, AccountKey: []byte{0, 255}, DelayKey: []byte("key"), ExpiresAt: -5,
			}),
			q.InsertResetRequest(t.Context(), db.InsertResetRequestParams{ID: newID(t), Email: "a@example.org", Now: start}),
			q.InsertAuditEvent(t.Context(), db.InsertAuditEventParams{ID: newID(t), Now: start, Operator: "Ж", Action: "user.disabled", AccountID: &a.ID}),
		)
	}))
	write(t, s, func(q *db.Queries) error {
		_, err := q.InsertSigningKey(t.Context(), db.InsertSigningKeyParams{
			ID: "kid", Number: -7, Algorithm: "ES256", Sealed: []byte("sealed"), PreviousSecretFingerprint: []byte{0, 255}, CreatedAt: start, ActiveAt: start,
		})
		return err
	})
	write(t, s, func(q *db.Queries) error {
		_, err := q.RecordHeartbeat(t.Context(), db.RecordHeartbeatParams{Now: start})
		return err
	})
	for _, insert := range []string{
		"INSERT INTO rate_limit (key, full_at, seen_at) VALUES ($1, 9223372036854775807, 0)",
		"INSERT INTO login_failure (key, account_id, failures, recent_failures, delay, last_failed_at) VALUES ($1, NULL, 1, 2, 3, -4)",
	} {
		write(t, s, func(q *db.Queries) error {
			_, err := db.ExecRaw(t.Context(), q, insert, []byte("key"))
			return err
		})
	}
}

// tablesOf asks an SQLite database for its tables, so that one that fill does not know is noticed.
func tablesOf(t *testing.T, url string) []string {
	t.Helper()
	pool, err := sql.Open("sqlite", strings.TrimPrefix(url, "sqlite:"))
	must(t, err)
	defer pool.Close()
	rows, err := pool.QueryContext(t.Context(), "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT IN ('financelime_auth_version', 'sqlite_sequence')")
	must(t, err)
	defer rows.Close()
	var names []string
	for rows.Next() {
		var name string
		must(t, rows.Scan(&name))
		names = append(names, name)
	}
	must(t, rows.Err())
	return names
}

func countRows(t *testing.T, s *db.Store, table string) (n int64) {
	t.Helper()
	must(t, db.QueryRaw(t.Context(), s.Read(), "SELECT count(*) FROM "+table).Scan(&n))
	return n
}

func TestCopy(t *testing.T) {
	t.Parallel()
	address := sqliteURL(t)
	from, to := migrated(t, address), migrated(t, postgres.URL(t))
	fill(t, from)
	copied, err := db.Copy(t.Context(), from, to)
	must(t, err)
	tables := tablesOf(t, address)
	if len(copied) != len(tables) || len(tables) < 8 {
		t.Errorf("copied %v of %v", copied, tables)
	}
	for _, table := range tables {
		rows := countRows(t, from, table)
		if rows == 0 {
			t.Errorf("this test puts nothing into the table %s", table)
		}
		if there := countRows(t, to, table); there != rows {
			t.Errorf("%s: %d rows of %d", table, there, rows)
		}
	}
	page := db.ListMailsParams{Before: uuid.Max, MaxRows: 100}
	want, err := from.Read().ListMails(t.Context(), page)
	must(t, err)
	got, err := to.Read().ListMails(t.Context(), page)
	must(t, err)
	equal(t, "mails", got, want)

	if _, err := db.Copy(t.Context(), from, to); err == nil || !strings.Contains(err.Error(), "not empty") {
		t.Errorf("a second time: %v", err)
	}
	if _, err := db.Copy(t.Context(), to, from); err == nil {
		t.Error("the other way round")
	}
	if _, err := db.Copy(t.Context(), from, open(t, postgres.URL(t))); err == nil || !strings.Contains(err.Error(), "version") {
		t.Errorf("into a database without a schema: %v", err)
	}
}

// A copy that fails leaves nothing behind.
func TestCopyIsAllOrNothing(t *testing.T) {
	t.Parallel()
	from, to := migrated(t, sqliteURL(t)), migrated(t, postgres.URL(t))
	fill(t, from)
	// The last table of all refuses.
	_, err := db.ExecRaw(t.Context(), to.Read(), "ALTER TABLE session ADD CHECK (platform <> 'Firefox')")
	must(t, err)
	if _, err := db.Copy(t.Context(), from, to); !errors.Is(err, db.ErrConflict) || strings.Contains(err.Error(), "192.0.2.1") {
		t.Errorf("got %v", err)
	}
	for _, table := range []string{"invite", "account", "session"} {
		if n := countRows(t, to, table); n != 0 {
			t.Errorf("%s: %d rows are left", table, n)
		}
	}
}

// A backup under load is one moment's state: of two rows that are always written together it has both or neither.
func TestBackupUnderLoad(t *testing.T) {
	t.Parallel()
	s := migrated(t, sqliteURL(t))
	fill(t, s)
	a := insertAccount(t, s)
	one, two := insertSession(t, s, a.ID), insertSession(t, s, a.ID)
	ctx, cancel := context.WithCancel(t.Context())
	var load sync.WaitGroup
	begun := make(chan struct{})
	load.Go(func() {
		for generation := int64(2); ctx.Err() == nil; generation++ {
			if err := s.InTx(t.Context(), func(q *db.Queries) error {
				for _, id := range []uuid.UUID{one.ID, two.ID} {
					if _, err := db.ExecRaw(t.Context(), q, "UPDATE session SET generation = $1 WHERE id = $2", generation, id); err != nil {
						return err
					}
				}
				return nil
			}); err != nil {
				t.Error(err)
			}
			if generation == 10 {
				close(begun)
			}
		}
	})
	<-begun
	dir := t.TempDir()
	for i := range 5 {
		path := filepath.Join(dir, string(rune('a'+i)))
		must(t, s.Backup(t.Context(), path))
		private(t, path)
		restored := filepath.Join(t.TempDir(), "auth.db")
		must(t, db.Restore(t.Context(), db.RestoreOptions{Backup: path, NoChecksum: true}, restored, func(r *db.Store) error {
			first, err := r.Read().GetSession(t.Context(), one.ID)
			must(t, err)
			second, err := r.Read().GetSession(t.Context(), two.ID)
			if first.Generation != second.Generation {
				t.Errorf("generations %d and %d", first.Generation, second.Generation)
			}
			return err
		}))
		private(t, restored)
		must(t, open(t, "sqlite:"+restored).Ping(t.Context()))
	}
	cancel()
	load.Wait()
	if left, err := filepath.Glob(filepath.Join(dir, "*new*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}

func TestBackupAndRestoreRefuse(t *testing.T) {
	t.Parallel()
	s := migrated(t, sqliteURL(t))
	dir := t.TempDir()
	path, free := filepath.Join(dir, "backup"), filepath.Join(dir, "auth.db")
	must(t, s.Backup(t.Context(), path))
	never := func(*db.Store) error { return errors.New("called") }
	failing := errors.New("not so")
	newer := filepath.Join(dir, "newer")
	write(t, s, func(q *db.Queries) error {
		_, err := db.ExecRaw(t.Context(), q, "INSERT INTO financelime_auth_version (version_id, is_applied) VALUES (99999, true)")
		return err
	})
	must(t, s.Backup(t.Context(), newer))
	empty, garbage := filepath.Join(dir, "empty"), filepath.Join(dir, "garbage")
	writeFile(t, empty, "")
	writeFile(t, garbage, strings.Repeat("no database ", 100))
	writeFile(t, filepath.Join(dir, "other.db-wal"), "the log of a database that was here")
	for says, do := range map[string]func() error{
		"exists already": func() error { return s.Backup(t.Context(), path) },
		"pg_dump":        func() error { return open(t, postgres.URL(t)).Backup(t.Context(), free) },
		"is in the way": func() error {
			return db.Restore(t.Context(), db.RestoreOptions{Backup: path, NoChecksum: true}, path, never)
		},
		"other.db-wal": func() error {
			return db.Restore(t.Context(), db.RestoreOptions{Backup: path, NoChecksum: true}, filepath.Join(dir, "other.db"), never)
		},
		"no such file": func() error {
			return db.Restore(t.Context(), db.RestoreOptions{Backup: path + "x", NoChecksum: true}, free, never)
		},
		"newer version": func() error {
			return db.Restore(t.Context(), db.RestoreOptions{Backup: newer, NoChecksum: true}, free, never)
		},
		"no database of this": func() error {
			return db.Restore(t.Context(), db.RestoreOptions{Backup: empty, NoChecksum: true}, free, never)
		},
		"file is not a databas": func() error {
			return db.Restore(t.Context(), db.RestoreOptions{Backup: garbage, NoChecksum: true}, free, never)
		},
		"not so": func() error {
			return db.Restore(t.Context(), db.RestoreOptions{Backup: path, NoChecksum: true}, free, func(*db.Store) error { return failing })
		},
	} {
		if err := do(); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v", says, err)
		}
	}
	left, err := filepath.Glob(filepath.Join(dir, "*"))
	must(t, err)
	if len(left) != 7 { // two of them are checksums
		t.Errorf("left behind: %v", left)
	}
}
