// Package schema holds the migrations of the database.
package schema

import "embed"

// FS holds the migrations in the format of goose, one file each, in order of their names.
//
//go:embed *.sql
var FS embed.FS
