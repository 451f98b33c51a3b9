package db

import (
	"context"
	"database/sql"
	"maps"
	"slices"
	"strings"
)

// shadowPrefix is the prefix of the names of shadow indexes. A shadow index contains all columns of a table, so that integrity_check compares
// each value with a second copy of it.
const shadowPrefix = "whole_"

// createShadowIndexes creates the shadow indexes that are missing or not up to date.
func createShadowIndexes(ctx context.Context, db *sql.DB) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // no effect after the commit
	want, err := shadowIndexes(ctx, tx)
	if err != nil {
		return err
	}
	have, err := queryStrings(ctx, tx, "SELECT sql FROM sqlite_schema WHERE type = 'index' AND name LIKE '"+shadowPrefix+"%'")
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if slices.Contains(have, want[name]) {
			continue
		}
		if _, err := tx.ExecContext(ctx, "DROP INDEX IF EXISTS "+name); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, want[name]); err != nil {
			return err
		}
	}
	return tx.Commit()
}

// shadowIndexes returns the statements that create the shadow indexes, by the quoted name of the index.
func shadowIndexes(ctx context.Context, q querier) (map[string]string, error) {
	tables, err := queryStrings(ctx, q, "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'")
	if err != nil {
		return nil, err
	}
	want := map[string]string{}
	for _, name := range tables {
		t := table{name: name}
		if t.columns, err = queryStrings(ctx, q, "SELECT name FROM pragma_table_info($1) ORDER BY cid", name); err != nil {
			return nil, err
		}
		index := table{name: shadowPrefix + name}.quoted()
		want[index] = "CREATE INDEX " + index + " ON " + t.quoted() + " (" + t.columnList() + ")"
	}
	return want, nil
}

// dropShadowIndexes drops the shadow indexes before a migration: SQLite does not drop a column that is part of an index.
func dropShadowIndexes(ctx context.Context, db *sql.DB) error {
	names, err := queryStrings(ctx, db, "SELECT name FROM sqlite_schema WHERE type = 'index' AND name LIKE '"+shadowPrefix+"%'")
	if err != nil {
		return err
	}
	for _, name := range names {
		if _, err := db.ExecContext(ctx, "DROP INDEX IF EXISTS "+table{name: name}.quoted()); err != nil {
			return err
		}
	}
	return nil
}

// checkShadowIndexes returns a [DamagedError] if a shadow index does not fit its table or is missing. A database without any shadow index
// is valid: early versions of the service created none, and an interrupted migration leaves none. Tables that an operator has added need no
// shadow index. actual has the definitions of all tables and indexes by name, schema those of the migrations.
func checkShadowIndexes(ctx context.Context, db *sql.DB, actual, schema map[string]string) error {
	want, err := shadowIndexes(ctx, db)
	if err != nil {
		return damageError(err)
	}
	found := false
	for name, statement := range actual {
		if !strings.HasPrefix(name, shadowPrefix) {
			continue
		}
		found = true
		if want[(table{name: name}).quoted()] != statement {
			return &DamagedError{Detail: "the definition of the index " + name + " does not match its table"}
		}
	}
	for name, statement := range schema {
		if found && strings.HasPrefix(statement, "CREATE TABLE") && actual[shadowPrefix+name] == "" && actual[name] != "" {
			return &DamagedError{Detail: "the shadow index of the table " + name + " is missing"}
		}
	}
	return nil
}
