package db

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// Store is an open database. All methods are safe for concurrent use, except [Store.SetQueryHook].
type Store struct {
	engine     engine
	read       *Queries
	hook       QueryHook                              // nil if there is none
	auditEvent func() (InsertAuditEventParams, error) // nil unless made by WithAudit
}

// engine is the interface to everything that differs between SQLite and PostgreSQL.
type engine interface {
	name() string
	// reader runs statements outside a transaction. Its errors are the driver's.
	reader() DBTX
	// run calls fn with the queries of a transaction. If single is true, fn runs one statement only, which is a transaction by itself.
	run(ctx context.Context, single bool, fn func(*Queries) error) error
	// translate converts the driver's errors to errors of this package.
	translate(err error) error
	// version returns the number of the newest applied migration, or 0.
	version(ctx context.Context) (int64, error)
	// probe fails if the database cannot be written to at the moment.
	probe(ctx context.Context) error
	migrate(ctx context.Context) error
	// finishMigration does what is left to do in a database that has all migrations.
	finishMigration(ctx context.Context) error
	stats() Stats
	// countQuery returns a query for the approximate number of rows of a table.
	countQuery(table string) string
	// hasClock reports whether the database has its own clock.
	hasClock() bool
	close() error
}

// Open opens a database by its URL: "sqlite:" and the path of a file (sqlite:data/auth.db, sqlite:/var/lib/auth.db), or a PostgreSQL URL
// (postgres://user:password@host:5432/database?sslmode=verify-full&pool_max_conns=16).
//
// Open creates a missing SQLite file with mode 0600, but no directory. It does not connect to PostgreSQL and does not migrate. No error of
// this package contains the URL or its password.
func Open(ctx context.Context, url string) (*Store, error) {
	scheme, rest, ok := strings.Cut(url, ":")
	switch {
	case ok && scheme == "sqlite":
		path, err := sqlitePath(rest)
		if err != nil {
			return nil, fmt.Errorf("database URL: %w", err)
		}
		e, err := openSQLite(ctx, path, sqliteBusyTimeout)
		if err != nil {
			return nil, fmt.Errorf("open database %s: %w", path, err)
		}
		return newStore(e), nil
	case ok && (scheme == "postgres" || scheme == "postgresql"):
		config, err := postgresConfig(url)
		if err != nil {
			return nil, fmt.Errorf("database URL: %w", err)
		}
		e, err := openPostgres(ctx, config)
		if err != nil {
			return nil, fmt.Errorf("open database: %w", err)
		}
		return newStore(e), nil
	default:
		return nil, errors.New("database URL: it must begin with sqlite: or postgres://")
	}
}

func newStore(e engine) *Store {
	return &Store{engine: e, read: New(&boundedDBTX{db: e.reader(), translate: e.translate})}
}

// Engine returns "sqlite" or "postgres".
func (s *Store) Engine() string { return s.engine.name() }

// Read returns queries that run outside a transaction. They only read: on SQLite a write fails.
func (s *Store) Read() *Queries { return s.read }

// Write runs a single statement as a transaction. Unless Write returns an [ErrUnavailable], a statement that succeeded is durable, also
// when fn returns an error after it. A second statement fails. fn may be called again, as in [Store.InTx].
func (s *Store) Write(ctx context.Context, fn func(*Queries) error) error {
	return s.run(ctx, true, fn)
}

// InTx runs fn in a transaction. It commits if fn returns nil, and rolls back if fn returns an error or panics. A statement that fails,
// except with [ErrNotFound], fails the transaction.
//
// After a deadlock InTx calls fn again, so fn must reset the variables that it captures. fn should only run queries, because on SQLite all
// other writes wait for it. It must not call methods of the Store.
func (s *Store) InTx(ctx context.Context, fn func(*Queries) error) error {
	return s.run(ctx, false, fn)
}

func (s *Store) run(ctx context.Context, single bool, fn func(*Queries) error) error {
	if err := checkDeadline(ctx); err != nil {
		return err
	}
	if s.auditEvent != nil {
		single, fn = false, s.audited(ctx, fn)
	}
	if s.hook != nil {
		return s.runHooked(ctx, single, fn)
	}
	return s.engine.run(ctx, single, fn)
}

// Ping fails unless the database responds, can be written to and is migrated.
func (s *Store) Ping(ctx context.Context) error {
	if err := checkDeadline(ctx); err != nil {
		return err
	}
	version, err := s.engine.version(ctx)
	if err != nil {
		return err
	}
	newest, err := newestMigration()
	if err != nil {
		return err
	}
	if version < newest {
		return fmt.Errorf("database is not migrated: it is at version %d of %d", version, newest)
	}
	return s.engine.probe(ctx)
}

// Close waits for the transactions that have been started, and closes the database.
func (s *Store) Close() error { return s.engine.close() }
