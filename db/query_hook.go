package db

import (
	"context"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// QueryHook is called before every statement and every transaction. The function that it returns is called with the error, or nil, when
// the statement or transaction has ended. The context that it returns is used meanwhile. name is the name of the query in queries/,
// [HookTransaction] or [HookWrite]; arguments are not passed. The error [ErrNotFound] is a normal result.
type QueryHook func(ctx context.Context, name string) (context.Context, func(error))

// The names of a whole [Store.InTx] and a whole [Store.Write]. Their time includes the wait for a connection or for the writer, and the
// commit.
const (
	HookTransaction = "transaction"
	HookWrite       = "write"
)

// SetQueryHook sets the hook of all later statements and transactions. Call it at most once, before the Store is shared.
func (s *Store) SetQueryHook(hook QueryHook) {
	s.hook = hook
	s.read = New(&hookedDBTX{db: s.read.db, hook: hook})
}

// runHooked runs a transaction and calls the hook for it and for its statements.
func (s *Store) runHooked(ctx context.Context, single bool, fn func(*Queries) error) error {
	name := HookTransaction
	if single {
		name = HookWrite
	}
	ctx, end := s.hook(ctx, name)
	err := s.engine.run(ctx, single, func(q *Queries) error {
		return fn(New(&hookedDBTX{db: q.db, hook: s.hook}))
	})
	end(err)
	return err
}

// hookedDBTX wraps a DBTX and calls the hook for every statement.
type hookedDBTX struct {
	db   DBTX
	hook QueryHook
}

func (h *hookedDBTX) Exec(ctx context.Context, query string, args ...any) (pgconn.CommandTag, error) {
	ctx, end := h.hook(ctx, queryName(query))
	tag, err := h.db.Exec(ctx, query, args...)
	end(err)
	return tag, err
}

func (h *hookedDBTX) Query(ctx context.Context, query string, args ...any) (pgx.Rows, error) {
	ctx, end := h.hook(ctx, queryName(query))
	rows, err := h.db.Query(ctx, query, args...)
	if err != nil {
		end(err)
		return nil, err
	}
	return &hookedRows{Rows: rows, end: end}, nil
}

func (h *hookedDBTX) QueryRow(ctx context.Context, query string, args ...any) pgx.Row {
	ctx, end := h.hook(ctx, queryName(query))
	return &hookedRow{row: h.db.QueryRow(ctx, query, args...), end: end}
}

// hookedRows are the rows of a hookedDBTX.
type hookedRows struct {
	pgx.Rows

	end func(error) // nil after its call: the generated code closes rows twice
}

func (r *hookedRows) Close() {
	r.Rows.Close()
	if r.end != nil {
		r.end(r.Err())
		r.end = nil
	}
}

// hookedRow is the row of a hookedDBTX.
type hookedRow struct {
	row pgx.Row
	end func(error)
}

func (r *hookedRow) Scan(dest ...any) error {
	err := r.row.Scan(dest...)
	r.end(err)
	return err
}

// queryName returns the name of a query. The first line of a query that sqlc generated is `-- name: GetAccount :one`.
func queryName(query string) string {
	rest, _ := strings.CutPrefix(query, "-- name: ")
	name, _, _ := strings.Cut(rest, " ")
	return name
}
