package db

import (
	"context"
	"errors"
	"sync/atomic"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

var (
	errTxEnded         = errors.New("queries used after the end of their transaction")
	errSecondStatement = errors.New("a second statement in Write: use InTx")
)

// txGuard is the [DBTX] of one Write or InTx. It refuses statements after the end of the transaction, so that leaked [Queries] cannot
// write into another transaction, and a second statement in a Write. After an error it refuses all further statements, as PostgreSQL does:
// otherwise code that continues after an error would work on SQLite only.
type txGuard struct {
	db     boundedDBTX
	single bool
	used   bool
	failed error // the first error of a statement, except ErrNotFound
	ended  atomic.Bool
}

func newTxGuard(db DBTX, translate func(error) error, single bool) *txGuard {
	g := &txGuard{single: single}
	g.db = boundedDBTX{db: db, translate: func(err error) error {
		err = translate(err)
		if err != nil && g.failed == nil && !errors.Is(err, ErrNotFound) {
			g.failed = err
		}
		return err
	}}
	return g
}

// run calls fn with the guarded queries and ends the guard, also when fn panics. A failed statement fails the transaction, even if fn
// returns nil.
func (g *txGuard) run(fn func(*Queries) error) error {
	defer g.ended.Store(true)
	if err := fn(New(g)); err != nil {
		return err
	}
	return g.failed
}

// check fails unless another statement is allowed.
func (g *txGuard) check() error {
	switch {
	case g.ended.Load():
		return errTxEnded
	case g.failed != nil:
		return g.failed
	case g.single && g.used:
		g.failed = errSecondStatement
		return errSecondStatement
	}
	g.used = true
	return nil
}

func (g *txGuard) Exec(ctx context.Context, query string, args ...any) (pgconn.CommandTag, error) {
	if err := g.check(); err != nil {
		return pgconn.CommandTag{}, err
	}
	return g.db.Exec(ctx, query, args...)
}

func (g *txGuard) Query(ctx context.Context, query string, args ...any) (pgx.Rows, error) {
	if err := g.check(); err != nil {
		return nil, err
	}
	return g.db.Query(ctx, query, args...)
}

func (g *txGuard) QueryRow(ctx context.Context, query string, args ...any) pgx.Row {
	if err := g.check(); err != nil {
		return errorRow{err}
	}
	return g.db.QueryRow(ctx, query, args...)
}
