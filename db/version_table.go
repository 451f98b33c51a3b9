package db

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/database"
)

const (
	// versionTable lists the applied migrations. It does not have goose's default name, because another program that uses goose in the same
	// schema would share the table.
	versionTable = "financelime_auth_version"
	// legacyTable listed the migrations before migration 00008. It is read once and not changed: an earlier version of the service may
	// still be running, and another program may use the table.
	legacyTable = "goose_db_version"

	latestVersion = "SELECT coalesce(max(version_id), 0) FROM " + versionTable
)

// legacyVersion returns the version of a database without versionTable. It is the version in legacyTable, if its entries and the existing
// tables fit this service, and otherwise 0. legacyVersion returns a foreignTablesError if a table has a name that this service needs.
func legacyVersion(ctx context.Context, q querier, tablesQuery string) (int64, error) {
	all, err := migrations()
	if err != nil {
		return 0, err
	}
	present, err := queryStrings(ctx, q, tablesQuery)
	if err != nil {
		return 0, err
	}
	if slices.Contains(present, legacyTable) {
		applied, err := queryStrings(ctx, q, "SELECT DISTINCT CAST(version_id AS text) FROM "+legacyTable+" WHERE version_id > 0")
		if err != nil {
			return 0, err
		}
		if version := matchingVersion(all, applied, present); version > 0 {
			return version, nil
		}
	}
	var taken []string
	for _, name := range all[len(all)-1].tables {
		if slices.Contains(present, name) {
			taken = append(taken, name)
		}
	}
	if len(taken) > 0 {
		return 0, foreignTablesError(taken)
	}
	return 0, nil
}

// foreignTablesError lists the tables of another program whose names this service needs.
type foreignTablesError []string

func (e foreignTablesError) Error() string {
	return fmt.Sprintf("the database has tables of another program with names that this service needs (%s): "+
		"use a separate database, or a separate schema in search_path", strings.Join(e, ", "))
}

// matchingVersion returns the number of the newest applied migration if the applied ones are the first of all, without a gap, and every table
// of that version is present. Otherwise it returns 0.
func matchingVersion(all []migration, applied, present []string) int64 {
	for i, m := range all {
		if !slices.Contains(applied, fmt.Sprint(m.number)) {
			return 0
		}
		if i+1 == len(applied) {
			for _, name := range m.tables {
				if !slices.Contains(present, name) {
					return 0
				}
			}
			return m.number
		}
	}
	return 0
}

// createVersionTable creates versionTable if it is missing, with the migrations that legacyTable lists. It returns a foreignTablesError if a
// table of another program has a name that this service needs.
func createVersionTable(ctx context.Context, dialect goose.Dialect, db *sql.DB, tablesQuery string) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // no effect after the commit
	present, err := queryStrings(ctx, tx, tablesQuery)
	if err != nil || slices.Contains(present, versionTable) {
		return err
	}
	version, err := legacyVersion(ctx, tx, tablesQuery)
	if err != nil {
		return err
	}
	all, err := migrations()
	if err != nil {
		return err
	}
	store, err := database.NewStore(dialect, versionTable)
	if err != nil {
		return err
	}
	if err := store.CreateVersionTable(ctx, tx); err != nil {
		return fmt.Errorf("create the version table: %w", err)
	}
	numbers := []int64{0}
	for _, m := range all {
		if m.number <= version {
			numbers = append(numbers, m.number)
		}
	}
	for _, number := range numbers {
		if err := store.Insert(ctx, tx, database.InsertRequest{Version: number}); err != nil {
			return fmt.Errorf("fill the version table: %w", err)
		}
	}
	return tx.Commit()
}
