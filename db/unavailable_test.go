package db_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"io"
	"net"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/test/dbtest"
	"github.com/financelime/authorization/test/postgres"
)

func TestLockedSQLiteIsUnavailable(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "auth.db")
	s, err := db.OpenSQLite(t.Context(), path, 300*time.Millisecond)
	must(t, err)
	t.Cleanup(func() { must(t, s.Close()) })
	must(t, s.Migrate(t.Context()))
	a := insertAccount(t, s)
	other, err := sql.Open("sqlite", path)
	must(t, err)
	other.SetMaxOpenConns(1)
	t.Cleanup(func() { must(t, other.Close()) })
	_, err = other.ExecContext(t.Context(), "BEGIN EXCLUSIVE")
	must(t, err)

	concurrently(10, func(i int) {
		if i == 0 { // this caller's deadline ends while the writer waits for the lock
			leaving, leave := context.WithTimeoutCause(t.Context(), time.Millisecond, nil)
			defer leave()
			if err := s.InTx(leaving, func(*db.Queries) error {
				t.Error("began without the lock")
				return nil
			}); !errors.Is(err, db.ErrUnavailable) {
				t.Errorf("waited until its deadline: %v", err)
			}
			return
		}
		err := s.InTx(t.Context(), func(*db.Queries) error {
			t.Error("began without the lock")
			return nil
		})
		var unavailable *db.UnavailableError
		if !errors.As(err, &unavailable) || unavailable.RetryAfter() <= 0 || !strings.Contains(unavailable.Cause.Error(), "locked") {
			t.Errorf("a write: %v", err)
		}
	})
	if err := s.Ping(t.Context()); !errors.Is(err, db.ErrUnavailable) {
		t.Errorf("Ping succeeded without write access: %v", err)
	}
	account(t, s, a.ID) // reads still work
	_, err = other.ExecContext(t.Context(), "ROLLBACK")
	must(t, err)
	insertSession(t, s, a.ID)
	must(t, s.Ping(t.Context()))
}

func TestUnreachablePostgresIsUnavailable(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	address := listener.Addr().String()
	must(t, listener.Close()) // nothing listens there now
	s := open(t, "postgres://someone:hunter2@"+address+"/auth?sslmode=disable")
	_, read := s.Read().ListSigningKeys(t.Context())
	for name, err := range map[string]error{
		"Read":    read,
		"Write":   s.Write(t.Context(), func(q *db.Queries) error { return q.DeleteSigningKey(t.Context(), "x") }),
		"InTx":    s.InTx(t.Context(), func(q *db.Queries) error { return q.DeleteSigningKey(t.Context(), "x") }),
		"Ping":    s.Ping(t.Context()),
		"Migrate": s.Migrate(t.Context()),
	} {
		if !errors.Is(err, db.ErrUnavailable) {
			t.Errorf("%s: %v", name, err)
		} else if strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "postgres://") {
			t.Errorf("%s: the error contains the password or the URL: %v", name, err)
		}
	}
}

func TestWrongPasswordIsUnavailable(t *testing.T) {
	t.Parallel()
	address, err := url.Parse(postgres.URL(t))
	must(t, err)
	address.User = url.UserPassword("nobody_of_this_name", "hunter2")
	s := open(t, address.String())
	err = s.Ping(t.Context())
	if !errors.Is(err, db.ErrUnavailable) || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("got %v", err)
	}
}

// proxy is a TCP proxy in front of a PostgreSQL server that can simulate failures.
type proxy struct {
	listener net.Listener
	server   string
	refuse   atomic.Bool            // close new connections immediately
	cutAt    atomic.Pointer[[]byte] // close a connection that sends this, without forwarding it
	mu       sync.Mutex
	open     []net.Conn
}

// newProxy starts a proxy and returns it with the URL that leads through it.
func newProxy(t *testing.T, server string) (*proxy, string) {
	t.Helper()
	address, err := url.Parse(server)
	must(t, err)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	p := &proxy{listener: listener, server: address.Host}
	go p.serve()
	t.Cleanup(func() {
		_ = listener.Close()
		p.cut()
	})
	address.Host = listener.Addr().String()
	return p, address.String()
}

func (p *proxy) serve() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", p.server)
		if err != nil || p.refuse.Load() {
			_ = client.Close()
			continue
		}
		p.mu.Lock()
		p.open = append(p.open, client, server)
		p.mu.Unlock()
		go func() { _, _ = io.Copy(client, server); _ = client.Close() }()
		go func() { _, _ = io.Copy(server, &cuttingConn{client, p}); _ = server.Close() }()
	}
}

// cut closes all connections.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, conn := range p.open {
		_ = conn.Close()
	}
	p.open = nil
}

// cuttingConn closes the connection when the client sends the text in cutAt.
type cuttingConn struct {
	net.Conn
	p *proxy
}

func (c *cuttingConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if at := c.p.cutAt.Load(); at != nil && bytes.Contains(b[:n], *at) {
		_ = c.Close()
		return 0, io.ErrUnexpectedEOF
	}
	return n, err
}

func TestPostgresOutage(t *testing.T) {
	t.Parallel()
	p, address := newProxy(t, postgres.URL(t))
	s := dbtest.Open(t, address)
	a := insertAccount(t, s)
	p.refuse.Store(true)
	p.cut()
	if _, err := s.Read().GetAccount(t.Context(), a.ID); !errors.Is(err, db.ErrUnavailable) {
		t.Errorf("a read: %v", err)
	}
	if err := s.InTx(t.Context(), func(*db.Queries) error { return nil }); !errors.Is(err, db.ErrUnavailable) {
		t.Errorf("a transaction: %v", err)
	}
	p.refuse.Store(false)
	account(t, s, a.ID)
	insertSession(t, s, a.ID)
}

func TestLostCommitIsUnavailable(t *testing.T) {
	t.Parallel()
	p, address := newProxy(t, postgres.URL(t))
	s := dbtest.Open(t, address)
	a := insertAccount(t, s)
	p.cutAt.Store(new([]byte("commit")))
	err := s.InTx(t.Context(), func(q *db.Queries) error {
		return q.InsertSession(t.Context(), db.InsertSessionParams{ID: newID(t), AccountID: a.ID, Now: start})
	})
	if !errors.Is(err, db.ErrUnavailable) {
		t.Errorf("got %v", err)
	}
	p.cutAt.Store(nil)
	insertSession(t, s, a.ID)
}

func TestExhaustedPoolIsUnavailable(t *testing.T) {
	t.Parallel()
	s := dbtest.Open(t, postgres.URL(t)+"&pool_max_conns=1")
	err := s.InTx(t.Context(), func(*db.Queries) error {
		short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		_, err := s.Read().ListSigningKeys(short) // the transaction holds the only connection
		return err
	})
	if !errors.Is(err, db.ErrUnavailable) {
		t.Errorf("got %v", err)
	}
	must(t, s.Ping(t.Context()))
}

func TestReadOnlyPostgresIsUnavailable(t *testing.T) {
	t.Parallel()
	server := postgres.URL(t)
	s := dbtest.Open(t, server)
	insertAccount(t, s)
	standby := open(t, server+"&default_transaction_read_only=on")
	if err := standby.Ping(t.Context()); !errors.Is(err, db.ErrUnavailable) {
		t.Errorf("Ping succeeded without write access: %v", err)
	}
	if err := standby.Write(t.Context(), func(q *db.Queries) error { return q.DeleteSigningKey(t.Context(), "x") }); !errors.Is(err, db.ErrUnavailable) {
		t.Errorf("a write: %v", err)
	}
}

func TestTerminatedConnectionIsUnavailable(t *testing.T) {
	t.Parallel()
	s := dbtest.Open(t, postgres.URL(t))
	err := s.InTx(t.Context(), func(q *db.Queries) error {
		var pid int64
		if err := db.QueryRaw(t.Context(), q, "SELECT pg_backend_pid()").Scan(&pid); err != nil {
			return err
		}
		_, err := db.ExecRaw(t.Context(), q, "SELECT pg_terminate_backend($1)", pid)
		return err
	})
	if !errors.Is(err, db.ErrUnavailable) {
		t.Errorf("got %v", err)
	}
	insertAccount(t, s)
}
