package postgres_test

import (
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/financelime/authorization/test/postgres"
)

// TestURL checks that each call creates a database, and that it is dropped when the test ends.
func TestURL(t *testing.T) {
	t.Parallel()
	var first, second string
	t.Run("two databases", func(t *testing.T) {
		first, second = postgres.URL(t), postgres.URL(t)
		if first == second {
			t.Fatalf("the same database twice")
		}
		conn, err := pgx.Connect(t.Context(), first)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Exec(t.Context(), "CREATE TABLE here (id bigint)"); err != nil {
			t.Fatal(err)
		}
		// conn stays open, because a database in use must be dropped too.
	})
	for _, url := range []string{first, second} {
		if conn, err := pgx.Connect(t.Context(), url); err == nil {
			_ = conn.Close(t.Context())
			t.Errorf("the database was not dropped")
		}
	}
}
