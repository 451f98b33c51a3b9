package db_test

import (
	"database/sql"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/test/dbtest"
	"github.com/financelime/authorization/test/postgres"
)

// insertRows inserts rows into every table, with edge cases: NULL, empty values, times before 1970, text that is not ASCII.
func insertRows(t *testing.T, s *db.Store) {
	t.Helper()
	invite, _ := insertInvite(t, s, 3)
	a := insertPending(t, s, &invite)
	closing := insertAccount(t, s).ID
	insertSession(t, s, closing)
	write(t, s, func(q *db.Queries) error {
		_, err := q.CloseAccount(t.Context(), db.CloseAccountParams{Now: &start, ClosingUntil: &start, ID: closing})
		return err
	})
	must(t, s.InTx(t.Context(), func(q *db.Queries) error {
		return errors.Join(
			q.InsertSession(t.Context(), db.InsertSessionParams{
				ID: newID(t), AccountID: a.ID, ClientID: "", Platform: "Ж\u2028\\N\t\"'", Now: time.Date(1931, 2, 3, 4, 5, 6, 7000, time.UTC),
			}),
			q.UpsertConfirmation(t.Context(), db.UpsertConfirmationParams{
				ID: uuid.New(), AccountID: a.ID, Purpose: "signup", KeyHash: []byte{0, 255, '\\'}, CreatedAt: start, ExpiresAt: start,
			}),
			q.UpsertLink(t.Context(), db.UpsertLinkParams{
				ID: uuid.New(), AccountID: a.ID, Purpose: "email", KeyHash: []byte{255, 0}, Address: new(string), CreatedAt: start, ExpiresAt: start,
			}),
			q.InsertMail(t.Context(), db.InsertMailParams{ID: newID(t), AccountID: a.ID, Kind: "password", Nonce: []byte{}, Now: start}),
			q.InsertMail(t.Context(), db.InsertMailParams{ID: newID(t), AccountID: a.ID, Kind: "password", RequestID: "r", Now: start}),
			q.InsertDevice(t.Context(), db.InsertDeviceParams{ID: newID(t), AccountID: a.ID, Fingerprint: []byte{0, 255}, Now: start}),
			q.InsertLoginAttempt(t.Context(), db.InsertLoginAttemptParams{
				ID: newID(t), ClientIpKey: []byte{}, AccountKey: []byte{0, 255}, DelayKey: []byte("key"), ExpiresAt: -5,
			}),
			q.BeginTOTP(t.Context(), db.BeginTOTPParams{AccountID: a.ID, PendingSealed: []byte{0, 255}, PendingAt: &start}),
			q.InsertRecoveryCode(t.Context(), db.InsertRecoveryCodeParams{CodeHash: []byte{0, 255}, AccountID: a.ID, CreatedAt: start}),
			q.InsertPasskey(t.Context(), db.InsertPasskeyParams{
				ID: newID(t), AccountID: a.ID, RpID: "localhost", CredentialID: []byte{0, 255}, PublicKey: []byte{0xa5}, Name: "Ж", CreatedAt: start,
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
		_, err := q.InsertUsedChallenge(t.Context(), db.InsertUsedChallengeParams{Hash: []byte{0, 255}, ExpiresAt: start})
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

// tablesOf returns the tables of an SQLite database, so that the tests notice a table without rows of insertRows.
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
	address := dbtest.SQLiteURL(t)
	from, to := dbtest.Open(t, address), dbtest.Open(t, postgres.URL(t))
	insertRows(t, from)
	copied, err := db.Copy(t.Context(), from, to)
	must(t, err)
	tables := tablesOf(t, address)
	if len(copied) != len(tables) || len(tables) < 8 {
		t.Errorf("copied %v of %v", copied, tables)
	}
	for _, table := range tables {
		rows := countRows(t, from, table)
		if rows == 0 {
			t.Errorf("insertRows inserts nothing into the table %s", table)
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
		t.Error("copied from PostgreSQL to SQLite")
	}
	if _, err := db.Copy(t.Context(), from, open(t, postgres.URL(t))); err == nil || !strings.Contains(err.Error(), "version") {
		t.Errorf("into a database without a schema: %v", err)
	}
}

// A copy that fails leaves no rows in the target.
func TestCopyIsAtomic(t *testing.T) {
	t.Parallel()
	from, to := dbtest.Open(t, dbtest.SQLiteURL(t)), dbtest.Open(t, postgres.URL(t))
	insertRows(t, from)
	// The last table refuses a row.
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

// 100,000 accounts with 1,000,000 sessions are copied in less than five minutes. Without FINANCELIME_FULL the test copies a hundredth of them.
func TestCopyManyRows(t *testing.T) {
	t.Parallel()
	accounts, limit := 1_000, time.Duration(0)
	if os.Getenv("FINANCELIME_FULL") != "" {
		accounts, limit = 100_000, 5*time.Minute
	}
	from, to := dbtest.Open(t, dbtest.SQLiteURL(t)), dbtest.Open(t, postgres.URL(t))
	must(t, from.InTx(t.Context(), func(q *db.Queries) error {
		for i := range accounts / 1000 {
			if _, err := db.ExecRaw(t.Context(), q, `
				WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000)
				INSERT INTO account (id, email, language, created_at, password_hash)
				SELECT randomblob(16), 'person' || (1000 * $1 + i) || '@example.com', 'en', 1 + i, hex(randomblob(60)) FROM n`, int64(i)); err != nil {
				return err
			}
		}
		_, err := db.ExecRaw(t.Context(), q, `
			WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10)
			INSERT INTO session (id, account_id, generation, client_id, platform, remote_addr, created_at, refreshed_at)
			SELECT randomblob(16), account.id, i, 'web_v1', 'Linux x86_64', '2001:db8::1', created_at + i, created_at + i FROM account, n`)
		return err
	}))
	began := time.Now()
	copied, err := db.Copy(t.Context(), from, to)
	must(t, err)
	took := time.Since(began)
	for _, table := range []struct {
		name string
		rows int
	}{{"account", accounts}, {"session", 10 * accounts}} {
		if n := countRows(t, to, table.name); n != int64(table.rows) {
			t.Errorf("%s: %d rows of %d", table.name, n, table.rows)
		}
	}
	t.Logf("%v in %s", copied, took.Round(time.Millisecond))
	if limit > 0 && took > limit {
		t.Errorf("it took %s", took)
	}
}
