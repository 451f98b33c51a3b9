package db

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// statementTimeout bounds one statement, waiting for a connection and for locks included, so that a database
// that went silent cannot hold a caller without a deadline for ever.
const statementTimeout = 10 * time.Second

// face is the [DBTX] that the generated queries see: it bounds every statement in time and hands every error
// through one function.
type face struct {
	db     DBTX
	errors func(error) error
}

func (f *face) Exec(ctx context.Context, query string, args ...any) (pgconn.CommandTag, error) {
	if err := inTime(ctx); err != nil {
		return pgconn.CommandTag{}, f.errors(err)
	}
	ctx, cancel := context.WithTimeout(ctx, statementTimeout)
	defer cancel()
	tag, err := f.db.Exec(ctx, query, args...)
	return tag, f.errors(cancelled(ctx, err))
}

func (f *face) Query(ctx context.Context, query string, args ...any) (pgx.Rows, error) {
	if err := inTime(ctx); err != nil {
		return nil, f.errors(err)
	}
	ctx, cancel := context.WithTimeout(ctx, statementTimeout)
	rows, err := f.db.Query(ctx, query, args...)
	if err != nil {
		defer cancel()
		return nil, f.errors(cancelled(ctx, err))
	}
	return &faceRows{Rows: rows, errors: f.cancelledErrors(ctx), cancel: cancel}, nil
}

func (f *face) QueryRow(ctx context.Context, query string, args ...any) pgx.Row {
	if err := inTime(ctx); err != nil {
		return failedRow{f.errors(err)}
	}
	ctx, cancel := context.WithTimeout(ctx, statementTimeout)
	return &faceRow{row: f.db.QueryRow(ctx, query, args...), errors: f.cancelledErrors(ctx), cancel: cancel}
}

// cancelledErrors is errors for the rows of a statement that ends with ctx.
func (f *face) cancelledErrors(ctx context.Context) func(error) error {
	return func(err error) error { return f.errors(cancelled(ctx, err)) }
}

type faceRows struct {
	pgx.Rows

	errors func(error) error
	cancel context.CancelFunc
}

func (r *faceRows) Scan(dest ...any) error { return r.errors(r.Rows.Scan(dest...)) }

func (r *faceRows) Err() error { return r.errors(r.Rows.Err()) }

func (r *faceRows) Close() {
	r.Rows.Close()
	r.cancel()
}

type faceRow struct {
	row    pgx.Row
	errors func(error) error
	cancel context.CancelFunc
}

func (r *faceRow) Scan(dest ...any) error {
	defer r.cancel()
	return r.errors(r.row.Scan(dest...))
}

// failedRow is the row of a statement that was not run.
type failedRow struct{ err error }

func (r failedRow) Scan(...any) error { return r.err }

var (
	errEnded   = errors.New("queries used after the end of their transaction")
	errOneOnly = errors.New("a second statement in Write: use InTx")
)

// scope is the [DBTX] of one Write or InTx: it dies with it, so that a leaked [Queries] fails instead of writing
// into somebody else's transaction. After an error it refuses every further statement, as PostgreSQL does by
// itself: code that goes on after an error would otherwise work on one engine only.
type scope struct {
	face   face
	single bool
	used   bool
	failed error // the first error of a statement; a missing row is none
	ended  atomic.Bool
}

func newScope(db DBTX, translate func(error) error, single bool) *scope {
	s := &scope{single: single}
	s.face = face{db: db, errors: func(err error) error {
		err = translate(err)
		if err != nil && s.failed == nil && !errors.Is(err, ErrNotFound) {
			s.failed = err
		}
		return err
	}}
	return s
}

// run calls fn with the scope's queries and ends the scope, also when fn panics.
// A failed statement fails the whole, even when fn keeps silent about it.
func (s *scope) run(fn func(*Queries) error) error {
	defer s.ended.Store(true)
	if err := fn(New(s)); err != nil {
		return err
	}
	return s.failed
}

func (s *scope) admit() error {
	switch {
	case s.ended.Load():
		return errEnded
	case s.failed != nil:
		return s.failed
	case s.single && s.used:
		s.failed = errOneOnly
		return errOneOnly
	}
	s.used = true
	return nil
}

func (s *scope) Exec(ctx context.Context, query string, args ...any) (pgconn.CommandTag, error) {
	if err := s.admit(); err != nil {
		return pgconn.CommandTag{}, err
	}
	return s.face.Exec(ctx, query, args...)
}

func (s *scope) Query(ctx context.Context, query string, args ...any) (pgx.Rows, error) {
	if err := s.admit(); err != nil {
		return nil, err
	}
	return s.face.Query(ctx, query, args...)
}

func (s *scope) QueryRow(ctx context.Context, query string, args ...any) pgx.Row {
	if err := s.admit(); err != nil {
		return failedRow{err}
	}
	return s.face.QueryRow(ctx, query, args...)
}
