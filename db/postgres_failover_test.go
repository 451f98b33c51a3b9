package db_test

import (
	"context"
	"errors"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/test/dbtest"
	"github.com/financelime/authorization/test/postgres"
)

// withOneConnection limits the pool of a URL to one connection, so that a test always uses the same one.
func withOneConnection(address string) string { return address + "&pool_max_conns=1" }

// A server that has become a standby may keep its connections open, and a pooler always does. The first write fails, and the next one uses a
// new connection.
func TestReadOnlyConnectionIsReplaced(t *testing.T) {
	t.Parallel()
	s := dbtest.Open(t, withOneConnection(postgres.URL(t)))
	a := insertAccount(t, s)
	for name, write := range map[string]func() error{
		"Write": func() error {
			return s.Write(t.Context(), func(q *db.Queries) error { return q.InsertSession(t.Context(), newSession(t, a)) })
		},
		"InTx": func() error {
			return s.InTx(t.Context(), func(q *db.Queries) error { return q.InsertSession(t.Context(), newSession(t, a)) })
		},
	} {
		_, err := db.ExecRaw(t.Context(), s.Read(), "SET default_transaction_read_only = on")
		must(t, err)
		if err := write(); !errors.Is(err, db.ErrUnavailable) {
			t.Errorf("%s on a standby: %v", name, err)
		}
		if err := write(); err != nil {
			t.Errorf("%s after that: %v", name, err)
		}
	}
}

func newSession(t testing.TB, a db.Account) db.InsertSessionParams {
	t.Helper()
	return db.InsertSessionParams{ID: newID(t), AccountID: a.ID, Now: start}
}

// Of several hosts the store uses the one that accepts writes, also without target_session_attrs in the URL.
func TestMultipleHosts(t *testing.T) {
	t.Parallel()
	first, err := url.Parse(postgres.URL(t))
	must(t, err)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	dead := listener.Addr().String()
	must(t, listener.Close())

	several := *first
	several.Host = dead + "," + first.Host
	dbtest.Open(t, several.String())

	readOnly := several.String() + "&default_transaction_read_only=on"
	s := open(t, readOnly)
	if err := s.Migrate(t.Context()); !errors.Is(err, db.ErrUnavailable) {
		t.Errorf("only standbys: %v", err)
	}
	anyone := open(t, readOnly+"&target_session_attrs=any")
	if err := anyone.Ping(t.Context()); err == nil || !strings.Contains(err.Error(), "read-only") {
		t.Errorf("target_session_attrs=any on a standby: %v", err)
	}
}

// A migration waits for the transaction that holds the migration lock.
func TestMigrateWaitsForLock(t *testing.T) {
	t.Parallel()
	address := postgres.URL(t)
	held, release := make(chan struct{}), make(chan struct{})
	holder := open(t, address)
	holding := make(chan error, 1)
	go func() {
		holding <- holder.InTx(t.Context(), func(q *db.Queries) error {
			_, err := db.ExecRaw(t.Context(), q, "SELECT pg_advisory_xact_lock($1)", db.MigrationLock)
			close(held)
			<-release
			return err
		})
	}()
	<-held
	s := open(t, address)
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	if err := s.Migrate(ctx); err == nil {
		t.Error("Migrate did not wait")
	}
	if err := s.Ping(t.Context()); err == nil || !strings.Contains(err.Error(), "not migrated") {
		t.Errorf("after Migrate was cancelled: %v", err)
	}
	close(release)
	must(t, <-holding)
	must(t, s.Migrate(t.Context()))
}
