package db_test

import (
	"os"
	"testing"
	"time"

	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/test/postgres"
)

// 100,000 accounts with 1,000,000 sessions move in less than five minutes; at reduced length a hundredth of them.
func TestCopyOfMany(t *testing.T) {
	t.Parallel()
	accounts, limit := 1_000, time.Duration(0)
	if os.Getenv("FINANCELIME_FULL") != "" {
		accounts, limit = 100_000, 5*time.Minute
	}
	from, to := migrated(t, sqliteURL(t)), migrated(t, postgres.URL(t))
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
