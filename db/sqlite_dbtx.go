package db

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"sync"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
)

// sqliteDBTX implements [DBTX] over database/sql: it runs on SQLite the queries that sqlc generated for pgx.
type sqliteDBTX struct {
	db interface { // *sql.DB or *sql.Conn
		PrepareContext(ctx context.Context, query string) (*sql.Stmt, error)
	}
	detached bool // statements are not cancelled when the caller's context ends

	mu       sync.RWMutex
	closed   bool
	prepared map[string]*sql.Stmt // by query; the number of generated queries bounds it
}

func (d *sqliteDBTX) Exec(ctx context.Context, query string, args ...any) (pgconn.CommandTag, error) {
	statement, err := d.statement(ctx, query, args)
	if err != nil {
		return pgconn.CommandTag{}, err
	}
	result, err := statement.ExecContext(d.context(ctx), args...)
	if err != nil {
		return pgconn.CommandTag{}, err
	}
	n, err := result.RowsAffected()
	return pgconn.NewCommandTag(strconv.FormatInt(n, 10)), err
}

func (d *sqliteDBTX) Query(ctx context.Context, query string, args ...any) (pgx.Rows, error) {
	rows, err := d.query(ctx, query, args)
	if err != nil {
		return nil, err
	}
	return rows, nil
}

func (d *sqliteDBTX) QueryRow(ctx context.Context, query string, args ...any) pgx.Row {
	rows, err := d.query(ctx, query, args)
	if err != nil {
		return errorRow{err}
	}
	return sqliteRow{rows}
}

func (d *sqliteDBTX) query(ctx context.Context, query string, args []any) (*sqliteRows, error) {
	statement, err := d.statement(ctx, query, args)
	if err != nil {
		return nil, err
	}
	rows, err := statement.QueryContext(d.context(ctx), args...)
	if err != nil {
		return nil, err
	}
	return &sqliteRows{rows: rows}, nil
}

// statement prepares a query, once, and converts its arguments to SQLite's types in place.
func (d *sqliteDBTX) statement(ctx context.Context, query string, args []any) (*sql.Stmt, error) {
	for i, arg := range args {
		value, err := sqliteValue(arg)
		if err != nil {
			return nil, fmt.Errorf("argument $%d: %w", i+1, err)
		}
		args[i] = value
	}
	d.mu.RLock()
	closed, known := d.closed, d.prepared[query]
	d.mu.RUnlock()
	switch {
	case closed:
		return nil, errClosed
	case known != nil:
		return known, nil
	}
	statement, err := d.db.PrepareContext(d.context(ctx), query)
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	known = d.prepared[query]
	switch {
	case d.closed:
		return nil, errors.Join(errClosed, statement.Close())
	case known != nil: // another goroutine prepared it meanwhile
		return known, statement.Close()
	case d.prepared == nil:
		d.prepared = map[string]*sql.Stmt{}
	}
	d.prepared[query] = statement
	return statement, nil
}

// close closes the prepared statements. A connection with an open statement would stay open, with its transaction and its lock.
func (d *sqliteDBTX) close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
	var errs []error
	for _, statement := range d.prepared {
		errs = append(errs, statement.Close())
	}
	d.prepared = nil
	return errors.Join(errs...)
}

func (d *sqliteDBTX) isClosed() bool {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.closed
}

func (d *sqliteDBTX) context(ctx context.Context) context.Context {
	if d.detached {
		return context.WithoutCancel(ctx)
	}
	return ctx
}

// sqliteRows implements [pgx.Rows] over database/sql.
type sqliteRows struct {
	rows *sql.Rows
	err  error
}

func (r *sqliteRows) Next() bool {
	if r.rows.Next() {
		return true
	}
	r.Close()
	return false
}

func (r *sqliteRows) Scan(dest ...any) error {
	cells := make([]any, len(dest))
	for i := range dest {
		cells[i] = sqliteScanner{dest[i]}
	}
	err := r.rows.Scan(cells...)
	if err != nil {
		r.setError(err)
		r.Close()
	}
	return err
}

func (r *sqliteRows) Close() { r.setError(r.rows.Close()) }

func (r *sqliteRows) Err() error {
	r.setError(r.rows.Err())
	return r.err
}

// setError keeps the first error.
func (r *sqliteRows) setError(err error) {
	if r.err == nil {
		r.err = err
	}
}

// Values returns the current row in SQLite's types.
func (r *sqliteRows) Values() ([]any, error) {
	columns, err := r.rows.Columns()
	if err != nil {
		return nil, err
	}
	values := make([]any, len(columns))
	dest := make([]any, len(columns))
	for i := range values {
		dest[i] = &values[i]
	}
	return values, r.rows.Scan(dest...)
}

// CommandTag returns an empty tag: database/sql does not count the rows of a query.
func (r *sqliteRows) CommandTag() pgconn.CommandTag { return pgconn.CommandTag{} }

// FieldDescriptions returns nil, as do RawValues, Conn and TypeMap: SQLite has nothing like PostgreSQL's wire format.
func (r *sqliteRows) FieldDescriptions() []pgconn.FieldDescription { return nil }

// RawValues returns nil.
func (r *sqliteRows) RawValues() [][]byte { return nil }

// Conn returns nil.
func (r *sqliteRows) Conn() *pgx.Conn { return nil }

// TypeMap returns nil.
func (r *sqliteRows) TypeMap() *pgtype.Map { return nil }

// sqliteRow implements [pgx.Row].
type sqliteRow struct{ rows *sqliteRows }

func (r sqliteRow) Scan(dest ...any) error {
	defer r.rows.Close()
	if !r.rows.Next() {
		if err := r.rows.Err(); err != nil {
			return err
		}
		return pgx.ErrNoRows
	}
	if err := r.rows.Scan(dest...); err != nil {
		return err
	}
	r.rows.Close()
	return r.rows.Err()
}
