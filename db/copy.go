package db

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// Copied is what was copied of a table.
type Copied struct {
	Table string
	Rows  int64
}

// Copy copies everything from an SQLite database into an empty PostgreSQL one, all of it or nothing. Both must be at the
// version of this program. Nobody can write to either meanwhile. Afterwards every row is read back: their number and their
// content must be the source's.
func Copy(ctx context.Context, from, to *Store) (copied []Copied, err error) {
	source, isSQLite := from.engine.(*sqliteEngine)
	target, isPostgres := to.engine.(*postgres)
	if !isSQLite || !isPostgres {
		return nil, errors.New("only from SQLite to PostgreSQL")
	}
	if err := sameVersion(ctx, from, to); err != nil {
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
	defer in.Rollback() //nolint:errcheck // it has only read
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
			copied = append(copied, Copied{t.name, rows})
		}
		return nil
	})
	if err != nil {
		return nil, target.translate(err)
	}
	return copied, nil
}

func sameVersion(ctx context.Context, stores ...*Store) error {
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
			return fmt.Errorf("the %s database is at version %d, and this program at %d", s.Engine(), version, newest)
		}
	}
	return nil
}

// table is a table as both engines have it. What it is comes from the database: no list of tables can be forgotten.
type table struct {
	name    string
	columns []string
	types   []string // as declared in schema/
	parents []string // that it refers to
}

// sourceTables lists the tables, each after those that it refers to.
func sourceTables(ctx context.Context, tx *sql.Tx) ([]table, error) {
	names, err := texts(ctx, tx, `SELECT name FROM sqlite_schema
		WHERE type = 'table' AND name NOT IN ($1, $2) AND name NOT LIKE 'sqlite\_%' ESCAPE '\' ORDER BY name`, versionTable, legacyTable)
	if err != nil {
		return nil, err
	}
	var waiting, ordered []table
	for _, name := range names {
		t := table{name: name}
		if t.columns, err = texts(ctx, tx, "SELECT name FROM pragma_table_info($1) ORDER BY cid", name); err != nil {
			return nil, err
		}
		if t.types, err = texts(ctx, tx, "SELECT lower(type) FROM pragma_table_info($1) ORDER BY cid", name); err != nil {
			return nil, err
		}
		if t.parents, err = texts(ctx, tx, `SELECT DISTINCT "table" FROM pragma_foreign_key_list($1)`, name); err != nil {
			return nil, err
		}
		waiting = append(waiting, t)
	}
	done := make(map[string]bool)
	for len(waiting) > 0 {
		i := slices.IndexFunc(waiting, func(t table) bool {
			return !slices.ContainsFunc(t.parents, func(parent string) bool { return parent != t.name && !done[parent] })
		})
		if i < 0 {
			return nil, errors.New("tables that refer to each other in a circle")
		}
		done[waiting[i].name] = true
		ordered = append(ordered, waiting[i])
		waiting = slices.Delete(waiting, i, i+1)
	}
	return ordered, nil
}

func texts(ctx context.Context, tx querier, query string, args ...any) (all []string, err error) {
	rows, err := tx.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			return nil, err
		}
		all = append(all, text)
	}
	return all, rows.Err()
}

// lockEmpty keeps every other writer out of the target and refuses it where it has a row already.
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
			return fmt.Errorf("look into the target: %w", err)
		}
		if filled {
			return fmt.Errorf("the target is not empty: its table %s has rows (a service that starts makes some)", t.name)
		}
	}
	return nil
}

func (t table) quoted() string { return pgx.Identifier{t.name}.Sanitize() }

func (t table) list() string {
	quoted := make([]string, len(t.columns))
	for i, c := range t.columns {
		quoted[i] = pgx.Identifier{c}.Sanitize()
	}
	return strings.Join(quoted, ", ")
}

// copy copies one table and reads it back.
func (t table) copy(ctx context.Context, in *sql.Tx, out pgx.Tx) (count int64, err error) {
	rows, err := in.QueryContext(ctx, "SELECT "+t.list()+" FROM "+t.quoted()) //nolint:gosec // names from the schema
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
	back, err := t.sum(ctx, out)
	if err != nil {
		return 0, fmt.Errorf("read back: %w", err)
	}
	if back != source.sum {
		return 0, fmt.Errorf("what was read back is not what was copied: %d rows of %d", back.rows, source.sum.rows)
	}
	_, err = out.Exec(ctx, "ANALYZE "+t.quoted()) // so that the first queries are planned for what is there
	return count, err
}

func (t table) sum(ctx context.Context, tx pgx.Tx) (total checksum, err error) {
	rows, err := tx.Query(ctx, "SELECT "+t.list()+" FROM "+t.quoted())
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
