package db

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// ErrNoDatabase means that a URL leads to no database of this service.
var ErrNoDatabase = errors.New("there is no database of this service")

// OpenExisting opens a database of this service, of any version, and creates nothing. If the SQLite file is missing, empty or of another
// program, it returns [ErrNoDatabase].
func OpenExisting(ctx context.Context, url string) (*Store, error) {
	if rest, isSQLite := strings.CutPrefix(url, "sqlite:"); isSQLite {
		path, err := sqlitePath(rest)
		if err != nil {
			return nil, fmt.Errorf("database URL: %w", err)
		}
		if err := requireSQLite(ctx, path); err != nil {
			return nil, fmt.Errorf("open database %s: %w", path, err)
		}
	}
	return Open(ctx, url)
}

// OpenMigrated opens a database that has the schema of this program or a newer one. If there is none, it returns [ErrNoDatabase].
func OpenMigrated(ctx context.Context, url string) (*Store, error) {
	s, err := OpenExisting(ctx, url)
	if err != nil {
		return nil, err
	}
	if err := s.requireSchema(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// requireSchema fails unless the database has the schema of this program or a newer one.
func (s *Store) requireSchema(ctx context.Context) error {
	version, err := s.engine.version(ctx)
	if err != nil {
		return fmt.Errorf("read the schema's version: %w", err)
	}
	newest, err := newestMigration()
	switch {
	case err != nil:
		return err
	case version == 0:
		return ErrNoDatabase
	case version < newest:
		return fmt.Errorf("the database is at version %d, and this program needs version %d: run `financelime-auth migrate`", version, newest)
	}
	return nil
}

// Outdated reports whether the database has a schema, and an older one than that of this program: [Store.Migrate] would change it.
func (s *Store) Outdated(ctx context.Context) (bool, error) {
	version, err := s.version(ctx)
	if err != nil {
		return false, err
	}
	newest, err := newestMigration()
	return version > 0 && version < newest, err
}
