package db

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
)

const (
	// postgresMaxAttempts is how often a transaction runs that PostgreSQL aborts because of a deadlock.
	postgresMaxAttempts = 3

	// The isolation level is explicit, because the server can have another default. The timeout ends the transaction of a replica that
	// disappears from the network: otherwise it would hold its row locks until the server's TCP keepalive fails.
	postgresBegin = "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL idle_in_transaction_session_timeout = '15s'"

	// postgresHasVersionTable looks for the version table in the schema where it would be created, not in the whole search_path.
	postgresHasVersionTable = "SELECT to_regclass(quote_ident(current_schema()) || '." + versionTable + "') IS NOT NULL"
	// postgresTables selects the names of all relations that would collide with a table of this service.
	postgresTables = `SELECT CAST(c.relname AS text) FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
		WHERE n.nspname = current_schema() AND c.relkind NOT IN ('i', 'I', 't')`
)

// postgres is the engine on a PostgreSQL server.
type postgres struct {
	pool      *pgxpool.Pool
	lastProbe probe
}

func openPostgres(ctx context.Context, config *pgxpool.Config) (*postgres, error) {
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	return &postgres{pool: pool}, nil
}

func (p *postgres) name() string { return "postgres" }

func (p *postgres) reader() DBTX { return p.pool }

func (p *postgres) close() error {
	p.pool.Close()
	return nil
}

func (p *postgres) run(ctx context.Context, single bool, fn func(*Queries) error) error {
	once := p.transaction
	if single {
		once = p.statement
	}
	for attempt := 1; ; attempt++ {
		retry, err := once(ctx, fn)
		if err == nil {
			p.lastProbe.recordWrite()
		}
		if !retry || attempt == postgresMaxAttempts {
			return err
		}
		// A random pause, so that the transactions of a deadlock do not collide again.
		jitter := rand.N(8 * time.Millisecond) //nolint:gosec // not a secret
		pause := time.NewTimer(time.Duration(attempt) * (2*time.Millisecond + jitter))
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return err
		}
	}
}

// statement runs a single statement on the pool. It is a transaction by itself, in one round trip.
func (p *postgres) statement(_ context.Context, fn func(*Queries) error) (retry bool, err error) {
	guard := newTxGuard(p.pool, p.translate, true)
	err = guard.run(fn)
	return isDeadlock(guard.failed), err
}

// transaction runs fn in a transaction and reports whether it should run again.
func (p *postgres) transaction(ctx context.Context, fn func(*Queries) error) (retry bool, err error) {
	begin, cancel := context.WithTimeout(ctx, statementTimeout)
	defer cancel()
	tx, err := p.pool.BeginTx(begin, pgx.TxOptions{BeginQuery: postgresBegin})
	if err != nil {
		return false, p.translate(fmt.Errorf("begin transaction: %w", contextError(begin, err)))
	}
	committed := false
	defer func() { // also when fn panics
		if !committed {
			p.rollback(ctx, tx)
		}
	}()
	guard := newTxGuard(tx, p.translate, false)
	if err := guard.run(fn); err != nil {
		return isDeadlock(guard.failed), err
	}
	if err := checkDeadline(ctx); err != nil {
		return false, err
	}
	// The commit continues if the caller's context ends: otherwise its result would be unknown.
	detached, cancel := context.WithTimeout(context.WithoutCancel(ctx), statementTimeout)
	defer cancel()
	err = p.translate(tx.Commit(detached))
	committed = err == nil
	return isDeadlock(err), err
}

// rollback rolls back also when ctx has ended. An error means that the connection is lost, and the transaction with it.
func (p *postgres) rollback(ctx context.Context, tx pgx.Tx) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	_ = tx.Rollback(ctx)
}

func (p *postgres) version(ctx context.Context) (version int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, statementTimeout)
	defer cancel()
	var exists bool
	if err := p.pool.QueryRow(ctx, postgresHasVersionTable).Scan(&exists); err != nil {
		return 0, p.translate(err)
	}
	if exists {
		err = p.pool.QueryRow(ctx, latestVersion).Scan(&version)
		return version, p.translate(err)
	}
	db := stdlib.OpenDBFromPool(p.pool)
	defer db.Close() //nolint:errcheck // the pool stays open
	version, err = legacyVersion(ctx, db, postgresTables)
	if _, foreign := errors.AsType[foreignTablesError](err); foreign {
		return 0, nil // migrate returns this error
	}
	return version, p.translate(err)
}

// probe fails if the server does not commit. It updates a row, so it detects a read-only server, revoked privileges and commits that wait
// for an unavailable standby. It does not detect a full disk of the server while existing pages and log segments have space: then inserts
// fail with 503, but refreshes and reads succeed. If the replicas were not ready, those would fail too.
func (p *postgres) probe(ctx context.Context) error {
	return p.translate(p.lastProbe.check(ctx, p.writeRow))
}

// writeRow updates a row without changing it. The timeout is short, so that a lost connection does not delay for long the detection that
// the server is available again.
func (p *postgres) writeRow(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, probeInterval)
	defer cancel()
	_, err := p.pool.Exec(ctx, "UPDATE "+versionTable+" SET is_applied = is_applied WHERE version_id = ("+latestVersion+")")
	return p.translate(err)
}
