package db

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
)

// CopiedTable is a table and the number of its rows that were copied.
type CopiedTable struct {
	Table string
	Rows  int64
}

// Copy copies all rows from an SQLite database to an empty PostgreSQL database, in one transaction. Both must have the schema version of
// this program, and both are locked against writes meanwhile. Copy reads every row back and compares number and content with the source.
func Copy(ctx context.Context, from, to *Store) (copied []CopiedTable, err error) {
	source, isSQLite := from.engine.(*sqliteEngine)
	target, isPostgres := to.engine.(*postgres)
	if !isSQLite || !isPostgres {
		return nil, errors.New("copying works from SQLite to PostgreSQL only")
	}
	if err := requireNewestVersion(ctx, from, to); err != nil {
		return nil, err
	}
	pool, err := openPool(source.dsn, 1) // its transactions begin with the write lock
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, pool.Close()) }()
	in, err := pool.BeginTx(ctx, nil)
	if err != nil {
		return nil, fmt.Errorf("lock the source: %w", source.translate(err))
	}
	defer in.Rollback() //nolint:errcheck // it only reads
	tables, err := sourceTables(ctx, in)
	if err != nil {
		return nil, fmt.Errorf("read the source's schema: %w", source.translate(err))
	}
	err = pgx.BeginFunc(ctx, target.pool, func(out pgx.Tx) error {
		if err := lockEmpty(ctx, out, tables); err != nil {
			return err
		}
		for _, t := range tables {
			rows, err := t.copy(ctx, in, out)
			if err != nil {
				return fmt.Errorf("table %s: %w", t.name, err)
			}
			copied = append(copied, CopiedTable{t.name, rows})
		}
		return nil
	})
	if err != nil {
		return nil, target.translate(err)
	}
	return copied, nil
}

// requireNewestVersion fails unless the stores have the schema version of this program.
func requireNewestVersion(ctx context.Context, stores ...*Store) error {
	newest, err := newestMigration()
	if err != nil {
		return err
	}
	for _, s := range stores {
		version, err := s.engine.version(ctx)
		if err != nil {
			return err
		}
		if version != newest {
			return fmt.Errorf("the %s database is at version %d, and this program needs version %d", s.Engine(), version, newest)
		}
	}
	return nil
}

// lockEmpty locks the tables of the target against other writes and fails if one of them has a row.
func lockEmpty(ctx context.Context, tx pgx.Tx, tables []table) error {
	names := make([]string, len(tables))
	for i, t := range tables {
		names[i] = t.quoted()
	}
	if _, err := tx.Exec(ctx, "LOCK TABLE "+strings.Join(names, ", ")+" IN SHARE ROW EXCLUSIVE MODE"); err != nil {
		return fmt.Errorf("lock the target: %w", err)
	}
	for _, t := range tables {
		var filled bool
		if err := tx.QueryRow(ctx, "SELECT EXISTS (SELECT 1 FROM "+t.quoted()+")").Scan(&filled); err != nil {
			return fmt.Errorf("read the target: %w", err)
		}
		if filled {
			return fmt.Errorf("the target is not empty: its table %s has rows (a service creates some when it starts)", t.name)
		}
	}
	return nil
}

// copy copies a table and reads it back.
func (t table) copy(ctx context.Context, in *sql.Tx, out pgx.Tx) (count int64, err error) {
	rows, err := in.QueryContext(ctx, "SELECT "+t.columnList()+" FROM "+t.quoted()) //nolint:gosec // names from the schema
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	source := &copyRows{table: t, rows: rows}
	if count, err = out.CopyFrom(ctx, pgx.Identifier{t.name}, t.columns, source); err != nil {
		return 0, err
	}
	if err := rows.Err(); err != nil {
		return 0, err
	}
	back, err := t.checksum(ctx, out)
	if err != nil {
		return 0, fmt.Errorf("read back: %w", err)
	}
	if back != source.sum {
		return 0, fmt.Errorf("the rows in the target differ from those in the source: %d rows were read back, %d copied", back.rows, source.sum.rows)
	}
	_, err = out.Exec(ctx, "ANALYZE "+t.quoted()) // so that the first queries have good plans
	return count, err
}

// checksum computes the checksum of a table on PostgreSQL.
func (t table) checksum(ctx context.Context, tx pgx.Tx) (total rowsChecksum, err error) {
	rows, err := tx.Query(ctx, "SELECT "+t.columnList()+" FROM "+t.quoted())
	if err != nil {
		return total, err
	}
	defer rows.Close()
	for rows.Next() {
		values, err := rows.Values()
		if err != nil {
			return total, err
		}
		if err := total.add(values); err != nil {
			return total, err
		}
	}
	return total, rows.Err()
}
