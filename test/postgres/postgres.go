// Package postgres creates PostgreSQL databases for tests.
package postgres

import (
	"context"
	"crypto/rand"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// Variable names the environment variable with the URL of a PostgreSQL server whose user may create databases.
const Variable = "TEST_DATABASE_URL"

// None as the value of Variable skips each test that needs PostgreSQL. Only `make test-fast` sets it, and prints what it skips.
const None = "none"

// URL creates a new, empty database on the server of TEST_DATABASE_URL and returns its URL. The database is dropped when
// the test ends. Without a server the test fails, because a skipped test would look like one that passed; see also None.
func URL(t testing.TB) string {
	t.Helper()
	server := os.Getenv(Variable)
	if server == None {
		t.Skip("not run: it needs PostgreSQL, and " + Variable + " is " + None)
	}
	if server == "" {
		t.Fatal("no PostgreSQL server: run `make test`, or `test/with-postgres go test ./...`, or set " + Variable)
	}
	address, err := url.Parse(server)
	if err != nil || !strings.HasPrefix(address.Scheme, "postgres") {
		t.Fatal(Variable + " is not a URL that begins with postgres://")
	}
	name := "test_" + strings.ToLower(rand.Text())
	do(t, server, "CREATE DATABASE "+name)
	t.Cleanup(func() { do(t, server, "DROP DATABASE "+name+" WITH (FORCE)") })
	address.Path = "/" + name
	return address.String()
}

// do runs a statement on a new connection.
func do(t testing.TB, server, statement string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute) // t.Context is done during cleanup
	defer cancel()
	conn, err := pgx.Connect(ctx, server)
	if err != nil {
		t.Fatalf("connect to %s: %v", Variable, err)
	}
	defer func() { _ = conn.Close(ctx) }()
	if _, err := conn.Exec(ctx, statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}
