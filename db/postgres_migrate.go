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
	// migrationLock names the lock among the advisory locks of the database: "flmigr" in ASCII.
	migrationLock = 0x666c6d696772
	// migrationWait is how long a process waits for another one's migration, and tries to get the locks of its own.
	migrationWait = 5 * time.Minute
	// migrationLockTimeout is how long a migration waits for the lock of a table. Whoever uses the table waits behind it.
	migrationLockTimeout = "1s"
	// migrationPause is how long the others work on before the migration tries again.
	migrationPause = 2 * time.Second
)

// migrate applies the missing migrations under a lock of the database.
//
// The lock is held by a transaction on a connection of its own and not by a session, as goose's is: behind PgBouncer in
// transaction mode the statements of a session reach several connections of the server, and what one locks another can not
// unlock. Whoever finds it taken lets go of the connection before asking again, so that many who wait leave the pooler room.
func (p *postgres) migrate(ctx context.Context) error {
	conn, err := pgx.ConnectConfig(ctx, p.pool.Config().ConnConfig)
	if err != nil {
		return err
	}
	defer func() { // ends the transaction, and so the lock, whatever has happened
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
	db := sql.OpenDB(lockTimeout{stdlib.GetPoolConnector(p.pool)})
	db.SetMaxIdleConns(0) // they belong to the pool
	defer db.Close()      //nolint:errcheck // as above
	for deadline := time.Now().Add(migrationWait); ; {
		err := migrateUp(ctx, goose.DialectPostgres, db, postgresTables)
		if !isLockTimeout(err) {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("others have used the tables without a pause for %s, see pg_locks: %w", migrationWait, err)
		}
		select {
		case <-time.After(migrationPause):
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		}
	}
}

// guard leaves damage to PostgreSQL, which has checksums of its pages (initdb --data-checksums).
func (p *postgres) guard(ctx context.Context) error { return p.checkFormats(ctx) }

// checkFormats refuses a server that sends values in a form that cannot be read, where they come as text.
func (p *postgres) checkFormats(ctx context.Context) error {
	mode := p.pool.Config().ConnConfig.DefaultQueryExecMode
	if mode != pgx.QueryExecModeExec && mode != pgx.QueryExecModeSimpleProtocol {
		return nil
	}
	var form string
	if err := p.pool.QueryRow(ctx, "SELECT current_setting('bytea_output')").Scan(&form); err != nil {
		return err
	}
	if form != "hex" {
		return fmt.Errorf("default_query_exec_mode=%s needs bytea_output = hex, and the server, the database or the role has %q", mode, form)
	}
	return nil
}

func isLockTimeout(err error) bool {
	var server *pgconn.PgError
	return errors.As(err, &server) && server.Code == "55P03"
}

// lockTimeout makes connections whose transactions do not wait long for a lock: an ALTER TABLE behind a long query would
// stop all who come after it. It is set for the transaction: behind PgBouncer the session belongs to others too.
type lockTimeout struct{ driver.Connector }

func (c lockTimeout) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	own, is := conn.(*stdlib.Conn)
	if !is {
		return nil, errors.Join(fmt.Errorf("a connection of the type %T", conn), conn.Close())
	}
	return lockTimeoutConn{own}, nil
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

// lockMigrations begins the transaction that holds the lock. It is idle while the migrations run, however long they take.
func lockMigrations(ctx context.Context, conn *pgx.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, migrationWait)
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
			return fmt.Errorf("another process migrates: %w", ctx.Err())
		}
	}
}
