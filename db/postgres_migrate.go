package db

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
)

const (
	// migrationLock names the lock among the advisory locks of the database: "flmigr" in ASCII.
	migrationLock = 0x666c6d696772
	// migrationWait is how long a process waits for another one's migration.
	migrationWait = 5 * time.Minute
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
	db := stdlib.OpenDBFromPool(p.pool)
	err = migrateUp(ctx, goose.DialectPostgres, db)
	return errors.Join(err, db.Close())
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
