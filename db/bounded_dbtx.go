package db

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// statementTimeout limits one statement, including the wait for a connection and for locks. Without it, a database that stopped
// responding would block a caller that has no deadline.
const statementTimeout = 10 * time.Second

// boundedDBTX wraps a DBTX with a statement timeout and error translation.
type boundedDBTX struct {
	db        DBTX
	translate func(error) error
}

func (b *boundedDBTX) Exec(ctx context.Context, query string, args ...any) (pgconn.CommandTag, error) {
	if err := checkDeadline(ctx); err != nil {
		return pgconn.CommandTag{}, b.translate(err)
	}
	ctx, cancel := context.WithTimeout(ctx, statementTimeout)
	defer cancel()
	tag, err := b.db.Exec(ctx, query, args...)
	return tag, b.translate(contextError(ctx, err))
}

func (b *boundedDBTX) Query(ctx context.Context, query string, args ...any) (pgx.Rows, error) {
	if err := checkDeadline(ctx); err != nil {
		return nil, b.translate(err)
	}
	ctx, cancel := context.WithTimeout(ctx, statementTimeout)
	rows, err := b.db.Query(ctx, query, args...)
	if err != nil {
		defer cancel()
		return nil, b.translate(contextError(ctx, err))
	}
	return &boundedRows{Rows: rows, translate: b.translateIn(ctx), cancel: cancel}, nil
}

func (b *boundedDBTX) QueryRow(ctx context.Context, query string, args ...any) pgx.Row {
	if err := checkDeadline(ctx); err != nil {
		return errorRow{b.translate(err)}
	}
	ctx, cancel := context.WithTimeout(ctx, statementTimeout)
	return &boundedRow{row: b.db.QueryRow(ctx, query, args...), translate: b.translateIn(ctx), cancel: cancel}
}

// translateIn returns translate for errors of a statement that ran with ctx.
func (b *boundedDBTX) translateIn(ctx context.Context) func(error) error {
	return func(err error) error { return b.translate(contextError(ctx, err)) }
}

// boundedRows are the rows of a boundedDBTX.
type boundedRows struct {
	pgx.Rows

	translate func(error) error
	cancel    context.CancelFunc
}

func (r *boundedRows) Scan(dest ...any) error { return r.translate(r.Rows.Scan(dest...)) }

func (r *boundedRows) Err() error { return r.translate(r.Rows.Err()) }

func (r *boundedRows) Close() {
	r.Rows.Close()
	r.cancel()
}

// boundedRow is the row of a boundedDBTX.
type boundedRow struct {
	row       pgx.Row
	translate func(error) error
	cancel    context.CancelFunc
}

func (r *boundedRow) Scan(dest ...any) error {
	defer r.cancel()
	return r.translate(r.row.Scan(dest...))
}

// errorRow is the row of a statement that was not run.
type errorRow struct{ err error }

func (r errorRow) Scan(...any) error { return r.err }
