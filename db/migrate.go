package db

import (
	"context"
	"fmt"
)

// Migrate brings the database to the newest version. Several processes may do so at once: one of them does the work,
// under a lock, and the others wait for it. A database that is newer than this program is left alone, so that
// replicas can be replaced one after another.
func (s *Store) Migrate(ctx context.Context) error {
	newest, err := newestMigration()
	if err != nil {
		return err
	}
	before, err := s.version(ctx)
	if err != nil {
		return err
	}
	if before >= newest {
		if err := s.engine.translate(s.engine.guard(ctx)); err != nil {
			return fmt.Errorf("migrate database: %w", err)
		}
	}
	for before < newest {
		err := s.engine.translate(s.engine.migrate(ctx))
		if err == nil {
			return nil
		}
		// On SQLite a migration takes its lock with its transaction, so somebody else may have applied it since
		// we asked which are missing. Then our attempt has failed, but the database got on.
		after, versionErr := s.version(ctx)
		if versionErr != nil || after <= before {
			return fmt.Errorf("migrate database: %w", err)
		}
		before = after
	}
	return nil
}

func (s *Store) version(ctx context.Context) (int64, error) {
	version, err := s.engine.version(ctx)
	if err != nil {
		return 0, fmt.Errorf("migrate database: %w", err)
	}
	return version, nil
}
