package db

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
)

// sqliteFace is the SQLite face of pgx: it runs the statements that sqlc generated for pgx over database/sql.
// A uuid is a blob of 16 bytes and a timestamptz an integer of microseconds; both sort as they do on PostgreSQL.
type sqliteFace struct {
	db interface { // *sql.DB or *sql.Conn
		PrepareContext(ctx context.Context, query string) (*sql.Stmt, error)
	}
	detached bool // statements run to their end, whatever becomes of the caller

	mu       sync.RWMutex
	closed   bool
	prepared map[string]*sql.Stmt // there are only as many as generated queries
}

func (f *sqliteFace) Exec(ctx context.Context, query string, args ...any) (pgconn.CommandTag, error) {
	statement, err := f.statement(ctx, query, args)
	if err != nil {
		return pgconn.CommandTag{}, err
	}
	result, err := statement.ExecContext(f.context(ctx), args...)
	if err != nil {
		return pgconn.CommandTag{}, err
	}
	n, err := result.RowsAffected()
	return pgconn.NewCommandTag(strconv.FormatInt(n, 10)), err
}

func (f *sqliteFace) Query(ctx context.Context, query string, args ...any) (pgx.Rows, error) {
	rows, err := f.query(ctx, query, args)
	if err != nil {
		return nil, err
	}
	return rows, nil
}

func (f *sqliteFace) QueryRow(ctx context.Context, query string, args ...any) pgx.Row {
	rows, err := f.query(ctx, query, args)
	if err != nil {
		return failedRow{err}
	}
	return sqliteRow{rows}
}

func (f *sqliteFace) query(ctx context.Context, query string, args []any) (*sqliteRows, error) {
	statement, err := f.statement(ctx, query, args)
	if err != nil {
		return nil, err
	}
	rows, err := statement.QueryContext(f.context(ctx), args...)
	if err != nil {
		return nil, err
	}
	return &sqliteRows{rows: rows}, nil
}

// statement prepares a query once, and puts its arguments into SQLite's types.
func (f *sqliteFace) statement(ctx context.Context, query string, args []any) (*sql.Stmt, error) {
	for i, arg := range args {
		value, err := sqliteValue(arg)
		if err != nil {
			return nil, fmt.Errorf("argument $%d: %w", i+1, err)
		}
		args[i] = value
	}
	f.mu.RLock()
	closed, known := f.closed, f.prepared[query]
	f.mu.RUnlock()
	switch {
	case closed:
		return nil, errClosed
	case known != nil:
		return known, nil
	}
	statement, err := f.db.PrepareContext(f.context(ctx), query)
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	known = f.prepared[query]
	switch {
	case f.closed:
		return nil, errors.Join(errClosed, statement.Close())
	case known != nil: // somebody was faster
		return known, statement.Close()
	case f.prepared == nil:
		f.prepared = map[string]*sql.Stmt{}
	}
	f.prepared[query] = statement
	return statement, nil
}

// close closes the statements. A connection with an open statement would live on, with its transaction and its lock.
func (f *sqliteFace) close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	var failed []error
	for _, statement := range f.prepared {
		failed = append(failed, statement.Close())
	}
	f.prepared = nil
	return errors.Join(failed...)
}

func (f *sqliteFace) isClosed() bool {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.closed
}

func (f *sqliteFace) context(ctx context.Context) context.Context {
	if f.detached {
		return context.WithoutCancel(ctx)
	}
	return ctx
}

// sqliteValue turns an argument into one of SQLite's types.
func sqliteValue(arg any) (any, error) {
	switch v := arg.(type) {
	case nil, int64, bool:
		return v, nil
	case string:
		// As PostgreSQL does, so that both engines hold the same texts.
		if !utf8.ValidString(v) || strings.ContainsRune(v, 0) {
			return nil, errors.New("text must be UTF-8 without zero bytes")
		}
		return v, nil
	case []byte:
		if v == nil {
			return nil, nil
		}
		return v, nil
	case uuid.UUID:
		return v[:], nil
	case time.Time:
		return v.UnixMicro(), nil
	case *string:
		return sqlitePointer(v)
	case *int64:
		return sqlitePointer(v)
	case *uuid.UUID:
		return sqlitePointer(v)
	case *time.Time:
		return sqlitePointer(v)
	default:
		return nil, fmt.Errorf("the type %T has no SQLite form", arg)
	}
}

func sqlitePointer[T any](p *T) (any, error) {
	if p == nil {
		return nil, nil
	}
	return sqliteValue(*p)
}

// sqliteRows are [pgx.Rows] over database/sql.
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
		cells[i] = sqliteCell{dest[i]}
	}
	err := r.rows.Scan(cells...)
	if err != nil {
		r.fail(err)
		r.Close()
	}
	return err
}

func (r *sqliteRows) Close() { r.fail(r.rows.Close()) }

func (r *sqliteRows) Err() error {
	r.fail(r.rows.Err())
	return r.err
}

func (r *sqliteRows) fail(err error) {
	if r.err == nil {
		r.err = err
	}
}

// Values returns the current row in the types of SQLite.
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

// CommandTag is empty: database/sql does not count the rows of a query.
func (r *sqliteRows) CommandTag() pgconn.CommandTag { return pgconn.CommandTag{} }

// FieldDescriptions is nil, as are RawValues, Conn and TypeMap: PostgreSQL's wire format has no counterpart here.
func (r *sqliteRows) FieldDescriptions() []pgconn.FieldDescription { return nil }

// RawValues is nil.
func (r *sqliteRows) RawValues() [][]byte { return nil }

// Conn is nil.
func (r *sqliteRows) Conn() *pgx.Conn { return nil }

// TypeMap is nil.
func (r *sqliteRows) TypeMap() *pgtype.Map { return nil }

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

// sqliteCell scans one value into a destination of the generated code.
type sqliteCell struct{ dest any }

func (c sqliteCell) Scan(src any) error {
	switch dest := c.dest.(type) {
	case *string:
		return scanCell(dest, src, sqliteText)
	case **string:
		return scanNullable(dest, src, sqliteText)
	case *int64:
		return scanCell(dest, src, sqliteInteger)
	case **int64:
		return scanNullable(dest, src, sqliteInteger)
	case *bool:
		return scanCell(dest, src, sqliteBool)
	case *uuid.UUID:
		return scanCell(dest, src, sqliteUUID)
	case **uuid.UUID:
		return scanNullable(dest, src, sqliteUUID)
	case *time.Time:
		return scanCell(dest, src, sqliteTime)
	case **time.Time:
		return scanNullable(dest, src, sqliteTime)
	case *[]byte:
		if src == nil {
			*dest = nil
			return nil
		}
		return scanCell(dest, src, sqliteBlob)
	default:
		return fmt.Errorf("cannot scan into %T", c.dest)
	}
}

func scanCell[T any](dest *T, src any, read func(any) (T, bool)) error {
	value, ok := read(src)
	if !ok {
		return fmt.Errorf("cannot scan %T into %T", src, dest)
	}
	*dest = value
	return nil
}

func scanNullable[T any](dest **T, src any, read func(any) (T, bool)) error {
	if src == nil {
		*dest = nil
		return nil
	}
	*dest = new(T)
	return scanCell(*dest, src, read)
}

func sqliteText(src any) (string, bool) {
	value, ok := src.(string)
	return value, ok
}

func sqliteInteger(src any) (int64, bool) {
	value, ok := src.(int64)
	return value, ok
}

func sqliteBool(src any) (bool, bool) {
	value, ok := src.(int64)
	return value != 0, ok
}

func sqliteTime(src any) (time.Time, bool) {
	value, ok := src.(int64)
	return time.UnixMicro(value).UTC(), ok
}

func sqliteUUID(src any) (uuid.UUID, bool) {
	value, ok := src.([]byte)
	id, err := uuid.FromBytes(value)
	return id, ok && err == nil
}

// sqliteBlob copies: the driver's bytes are only valid until the next row. An empty value is not NULL.
func sqliteBlob(src any) ([]byte, bool) {
	value, ok := src.([]byte)
	return append(make([]byte, 0, len(value)), value...), ok
}
