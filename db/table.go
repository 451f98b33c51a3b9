package db

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// table describes a table that both engines have. The description is read from the database, so that no list of tables needs maintenance.
type table struct {
	name    string
	columns []string
	types   []string // of the columns, as declared in schema/
	parents []string // the tables to which its foreign keys refer
}

// sourceTables returns the tables of SQLite, each after the tables to which it refers.
func sourceTables(ctx context.Context, tx *sql.Tx) ([]table, error) {
	names, err := queryStrings(ctx, tx, `SELECT name FROM sqlite_schema
		WHERE type = 'table' AND name NOT IN ($1, $2) AND name NOT LIKE 'sqlite\_%' ESCAPE '\' ORDER BY name`, versionTable, legacyTable)
	if err != nil {
		return nil, err
	}
	var remaining, ordered []table
	for _, name := range names {
		t := table{name: name}
		if t.columns, err = queryStrings(ctx, tx, "SELECT name FROM pragma_table_info($1) ORDER BY cid", name); err != nil {
			return nil, err
		}
		if t.types, err = queryStrings(ctx, tx, "SELECT lower(type) FROM pragma_table_info($1) ORDER BY cid", name); err != nil {
			return nil, err
		}
		if t.parents, err = queryStrings(ctx, tx, `SELECT DISTINCT "table" FROM pragma_foreign_key_list($1)`, name); err != nil {
			return nil, err
		}
		remaining = append(remaining, t)
	}
	done := make(map[string]bool)
	for len(remaining) > 0 {
		i := slices.IndexFunc(remaining, func(t table) bool {
			return !slices.ContainsFunc(t.parents, func(parent string) bool { return parent != t.name && !done[parent] })
		})
		if i < 0 {
			return nil, errors.New("the foreign keys of the tables form a cycle")
		}
		done[remaining[i].name] = true
		ordered = append(ordered, remaining[i])
		remaining = slices.Delete(remaining, i, i+1)
	}
	return ordered, nil
}

// querier is implemented by [sql.DB], [sql.Conn] and [sql.Tx].
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// queryStrings returns the first column of a query.
func queryStrings(ctx context.Context, q querier, query string, args ...any) (all []string, err error) {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var value string
		if err := rows.Scan(&value); err != nil {
			return nil, err
		}
		all = append(all, value)
	}
	return all, rows.Err()
}

// quoted returns the name of the table as an SQL identifier.
func (t table) quoted() string { return pgx.Identifier{t.name}.Sanitize() }

// columnList returns the columns of the table as SQL identifiers.
func (t table) columnList() string {
	quoted := make([]string, len(t.columns))
	for i, c := range t.columns {
		quoted[i] = pgx.Identifier{c}.Sanitize()
	}
	return strings.Join(quoted, ", ")
}
