package db

import (
	"context"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Watch is told of every statement and transaction before it begins, and what it returns is called with the error when it has
// ended. A statement goes by its name in queries/; arguments are never told. [ErrNotFound] is an answer, not a failure.
type Watch func(ctx context.Context, name string) (context.Context, func(error))

// What a [Watch] calls that which is no statement of queries/: [Store.InTx] and [Store.Write] as a whole, with the time
// that they wait for a connection or for the writer, and with the commit.
const (
	WatchedTransaction = "transaction"
	WatchedWrite       = "write"
)

// Watch lets w see all that the Store does from now on. It is to be called before the Store is shared, and once.
func (s *Store) Watch(w Watch) {
	s.watch = w
	s.read = New(&watched{db: s.read.db, watch: w})
}

// watchedRun is run, under the eyes of the watch.
func (s *Store) watchedRun(ctx context.Context, single bool, fn func(*Queries) error) error {
	name := WatchedTransaction
	if single {
		name = WatchedWrite
	}
	ctx, end := s.watch(ctx, name)
	err := s.engine.run(ctx, single, func(q *Queries) error {
		return fn(New(&watched{db: q.db, watch: s.watch}))
	})
	end(err)
	return err
}

// watched is the [DBTX] of queries whose statements are watched.
type watched struct {
	db    DBTX
	watch Watch
}

func (w *watched) Exec(ctx context.Context, query string, args ...any) (pgconn.CommandTag, error) {
	ctx, end := w.watch(ctx, statementName(query))
	tag, err := w.db.Exec(ctx, query, args...)
	end(err)
	return tag, err
}

func (w *watched) Query(ctx context.Context, query string, args ...any) (pgx.Rows, error) {
	ctx, end := w.watch(ctx, statementName(query))
	rows, err := w.db.Query(ctx, query, args...)
	if err != nil {
		end(err)
		return nil, err
	}
	return &watchedRows{Rows: rows, end: end}, nil
}

func (w *watched) QueryRow(ctx context.Context, query string, args ...any) pgx.Row {
	ctx, end := w.watch(ctx, statementName(query))
	return &watchedRow{row: w.db.QueryRow(ctx, query, args...), end: end}
}

type watchedRows struct {
	pgx.Rows

	end func(error) // nil once it was called: the generated code closes rows twice
}

func (r *watchedRows) Close() {
	r.Rows.Close()
	if r.end != nil {
		r.end(r.Err())
		r.end = nil
	}
}

type watchedRow struct {
	row pgx.Row
	end func(error)
}

func (r *watchedRow) Scan(dest ...any) error {
	err := r.row.Scan(dest...)
	r.end(err)
	return err
}

// statementName takes the name from a statement as sqlc writes it: its first line is `-- name: GetAccount :one`.
func statementName(query string) string {
	rest, _ := strings.CutPrefix(query, "-- name: ")
	name, _, _ := strings.Cut(rest, " ")
	return name
}
