package db

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
)

const (
	// migrationLock is the key of the advisory lock: "flmigr" in ASCII.
	migrationLock = 0x666c6d696772
	// migrationTimeout is how long a process waits for the migration of another one, and how long it tries to lock the tables.
	migrationTimeout = 5 * time.Minute
	// migrationLockTimeout is how long a migration waits for the lock of a table. Later statements on the table wait behind it.
	migrationLockTimeout = "1s"
	// migrationRetryDelay is the time between two attempts, in which other statements can use the tables.
	migrationRetryDelay = 2 * time.Second
)

// migrate applies the missing migrations under an advisory lock.
//
// A transaction on a separate connection holds the lock. goose's own lock belongs to a session: behind PgBouncer in transaction mode the
// statements of a session reach several connections of the server, and one connection cannot release the lock of another. A process that
// waits for the lock ends its transaction between two attempts, so that the pooler can use the connection.
func (p *postgres) migrate(ctx context.Context) error {
	conn, err := pgx.ConnectConfig(ctx, p.pool.Config().ConnConfig)
	if err != nil {
		return err
	}
	defer func() { // always ends the transaction, and with it the lock
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		_ = conn.Close(closing)
	}()
	if err := lockMigrations(ctx, conn); err != nil {
		return err
	}
	if err := p.checkFormats(ctx); err != nil {
		return err
	}
	db := sql.OpenDB(lockTimeoutConnector{stdlib.GetPoolConnector(p.pool)})
	db.SetMaxIdleConns(0) // connections return to the pool
	defer db.Close()      //nolint:errcheck // the pool stays open
	for deadline := time.Now().Add(migrationTimeout); ; {
		err := migrateUp(ctx, goose.DialectPostgres, db, postgresTables)
		if !isLockTimeout(err) {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("other statements have locked the tables for %s, see pg_locks: %w", migrationTimeout, err)
		}
		select {
		case <-time.After(migrationRetryDelay):
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		}
	}
}

// finishMigration only checks the format of values. PostgreSQL detects damage itself (initdb --data-checksums).
func (p *postgres) finishMigration(ctx context.Context) error { return p.checkFormats(ctx) }

// checkFormats fails if the server sends values as text in a format that pgx does not read.
func (p *postgres) checkFormats(ctx context.Context) error {
	mode := p.pool.Config().ConnConfig.DefaultQueryExecMode
	if mode != pgx.QueryExecModeExec && mode != pgx.QueryExecModeSimpleProtocol {
		return nil
	}
	var format string
	if err := p.pool.QueryRow(ctx, "SELECT current_setting('bytea_output')").Scan(&format); err != nil {
		return err
	}
	if format != "hex" {
		return fmt.Errorf("default_query_exec_mode=%s requires bytea_output = hex, but the server, the database or the role sets %q", mode, format)
	}
	return nil
}

// isLockTimeout reports whether a statement waited too long for a lock.
func isLockTimeout(err error) bool {
	var server *pgconn.PgError
	return errors.As(err, &server) && server.Code == "55P03"
}

// lockTimeoutConnector opens connections whose transactions have a lock timeout: an ALTER TABLE that waits for a long query would block all
// later statements on the table. The timeout is set for the transaction, because behind PgBouncer other clients share the session.
type lockTimeoutConnector struct{ driver.Connector }

func (c lockTimeoutConnector) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	pgxConn, ok := conn.(*stdlib.Conn)
	if !ok {
		return nil, errors.Join(fmt.Errorf("unexpected connection type %T", conn), conn.Close())
	}
	return lockTimeoutConn{pgxConn}, nil
}

type lockTimeoutConn struct{ *stdlib.Conn }

func (c lockTimeoutConn) BeginTx(ctx context.Context, options driver.TxOptions) (driver.Tx, error) {
	tx, err := c.Conn.BeginTx(ctx, options)
	if err != nil {
		return nil, err
	}
	if _, err := c.ExecContext(ctx, "SET LOCAL lock_timeout = '"+migrationLockTimeout+"'", nil); err != nil {
		return nil, errors.Join(err, tx.Rollback())
	}
	return tx, nil
}

// lockMigrations begins the transaction that holds the lock. It is idle while the migrations run and has no idle timeout.
func lockMigrations(ctx context.Context, conn *pgx.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, migrationTimeout)
	defer cancel()
	for {
		tx, err := conn.BeginTx(ctx, pgx.TxOptions{BeginQuery: "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL idle_in_transaction_session_timeout = 0"})
		if err != nil {
			return fmt.Errorf("lock the migrations: %w", err)
		}
		var locked bool
		if err := tx.QueryRow(ctx, "SELECT pg_try_advisory_xact_lock($1)", int64(migrationLock)).Scan(&locked); err != nil {
			return fmt.Errorf("lock the migrations: %w", err)
		}
		if locked {
			return nil
		}
		if err := tx.Rollback(ctx); err != nil {
			return fmt.Errorf("lock the migrations: %w", err)
		}
		select {
		case <-time.After(200 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("another process is migrating: %w", ctx.Err())
		}
	}
}
