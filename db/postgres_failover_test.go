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
	"github.com/financelime/authorization/test/postgres"
)

// onlyConn is a URL by which there is one connection, so that a test knows which one it speaks on.
func onlyConn(address string) string { return address + "&pool_max_conns=1" }

// A server that became a standby may keep its connections (and a pooler before it always does): the write that finds out
// fails, and the next one goes over a new connection.
func TestAReadOnlyConnectionIsNotUsedAgain(t *testing.T) {
	t.Parallel()
	s := migrated(t, onlyConn(postgres.URL(t)))
	a := insertAccount(t, s)
	for name, write := range map[string]func() error{
		"Write": func() error {
			return s.Write(t.Context(), func(q *db.Queries) error { return q.InsertSession(t.Context(), sessionOf(t, a)) })
		},
		"InTx": func() error {
			return s.InTx(t.Context(), func(q *db.Queries) error { return q.InsertSession(t.Context(), sessionOf(t, a)) })
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

func sessionOf(t testing.TB, a db.Account) db.InsertSessionParams {
	t.Helper()
	return db.InsertSessionParams{ID: newID(t), AccountID: a.ID, Now: start}
}

// Of several hosts the one that can be written to is used, though the URL does not say so.
func TestSeveralHosts(t *testing.T) {
	t.Parallel()
	first, err := url.Parse(postgres.URL(t))
	must(t, err)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	dead := listener.Addr().String()
	must(t, listener.Close())

	several := *first
	several.Host = dead + "," + first.Host
	migrated(t, several.String())

	readOnly := several.String() + "&default_transaction_read_only=on"
	s := open(t, readOnly)
	if err := s.Migrate(t.Context()); !errors.Is(err, db.ErrUnavailable) {
		t.Errorf("where every server is a standby: %v", err)
	}
	anyone := open(t, readOnly+"&target_session_attrs=any")
	if err := anyone.Ping(t.Context()); err == nil || !strings.Contains(err.Error(), "read-only") {
		t.Errorf("the URL asked for any server, and the standby says %v", err)
	}
}

// The lock of a migration is a transaction's, which a pooler in transaction mode keeps together.
func TestAMigrationWaitsForAnotherOne(t *testing.T) {
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
		t.Error("it did not wait")
	}
	if err := s.Ping(t.Context()); err == nil || !strings.Contains(err.Error(), "not migrated") {
		t.Errorf("after the wait was given up: %v", err)
	}
	close(release)
	must(t, <-holding)
	must(t, s.Migrate(t.Context()))
}
