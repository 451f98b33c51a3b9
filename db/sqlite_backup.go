package db

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
)

// Backup writes a copy of an SQLite database into a new file, which only its owner can read, while the service works on:
// it reads one moment's state and makes no writer wait. The file appears whole, checked and on the disk, or not at all.
func (s *Store) Backup(ctx context.Context, path string) error {
	e, isSQLite := s.engine.(*sqliteEngine)
	if !isSQLite {
		return errors.New("only SQLite is copied so: pg_dump makes a backup of PostgreSQL")
	}
	if err := copySQLite(ctx, e.dsn, path, nil); err != nil {
		return fmt.Errorf("back up: %w", e.translate(err))
	}
	return nil
}

// Restore makes a database out of a file that [Store.Backup] wrote. prepare works on it, migrated, before it appears under
// its path, where nothing may be yet.
func Restore(ctx context.Context, backup, path string, prepare func(*Store) error) error {
	backup, err := filepath.Abs(backup)
	if err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	if _, err := os.Stat(backup); err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	// A log that belongs to another database would be taken for this one's.
	for _, suffix := range []string{"", "-wal", "-shm", "-journal"} {
		if _, err := os.Stat(path + suffix); !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("restore: %s is in the way: stop the service and move it away", path+suffix)
		}
	}
	source := sqliteDSN(backup, sqliteBusyTimeout, url.Values{"mode": {"ro"}})
	err = copySQLite(ctx, source, path, func(copied string) error {
		store, err := Open(ctx, "sqlite:"+copied)
		if err != nil {
			return err
		}
		return errors.Join(prepareCopy(ctx, store, prepare), store.Close())
	})
	if err != nil {
		return fmt.Errorf("restore %s: %w", backup, err)
	}
	return nil
}

func prepareCopy(ctx context.Context, s *Store, prepare func(*Store) error) error {
	version, err := s.engine.version(ctx)
	if err != nil {
		return err
	}
	newest, err := newestMigration()
	switch {
	case err != nil:
		return err
	case version == 0:
		return errors.New("it is no database of this service")
	case version > newest:
		return fmt.Errorf("it is of a newer version: %d, and this one knows %d", version, newest)
	}
	if err := s.Migrate(ctx); err != nil {
		return err
	}
	return prepare(s)
}

// copySQLite copies a database into a new file, under a name of its own until it is complete.
func copySQLite(ctx context.Context, dsn, path string, prepare func(copied string) error) (err error) {
	path, err = filepath.Abs(path)
	if err != nil {
		return err
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		return errors.Join(fmt.Errorf("%s exists already", path), err)
	}
	file, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".new-*") // mode 0600
	if err != nil {
		return err
	}
	copied := file.Name()
	defer func() {
		for _, suffix := range []string{"", "-wal", "-shm", "-journal"} {
			if gone := os.Remove(copied + suffix); !errors.Is(gone, os.ErrNotExist) {
				err = errors.Join(err, gone)
			}
		}
	}()
	if err := file.Close(); err != nil {
		return err
	}
	if err := vacuumInto(ctx, dsn, copied); err != nil {
		return err
	}
	if prepare != nil {
		if err := prepare(copied); err != nil {
			return err
		}
	}
	if err := checkIntegrity(ctx, copied); err != nil {
		return err
	}
	return publish(copied, path)
}

func vacuumInto(ctx context.Context, dsn, path string) error {
	pool, err := openPool(dsn, 1)
	if err != nil {
		return err
	}
	_, err = pool.ExecContext(ctx, "VACUUM INTO $1", path)
	return errors.Join(err, pool.Close())
}

func checkIntegrity(ctx context.Context, path string) error {
	pool, err := openPool(sqliteDSN(path, sqliteBusyTimeout, url.Values{"mode": {"ro"}}), 1)
	if err != nil {
		return err
	}
	var verdict string
	err = pool.QueryRowContext(ctx, "PRAGMA integrity_check(1)").Scan(&verdict)
	if err == nil && verdict != "ok" {
		err = fmt.Errorf("the copy is damaged: %s", verdict)
	}
	return errors.Join(err, pool.Close())
}

// publish brings a file onto the disk and gives it its name, which nothing may have.
func publish(file, path string) error {
	if err := syncPath(file, os.O_RDWR); err != nil {
		return err
	}
	if err := os.Link(file, path); err != nil {
		return err
	}
	if runtime.GOOS == "windows" { // has no way to bring a folder onto the disk
		return nil
	}
	return syncPath(filepath.Dir(path), os.O_RDONLY)
}

func syncPath(path string, mode int) error {
	file, err := os.OpenFile(path, mode, 0) //nolint:gosec // the operator's path
	if err != nil {
		return err
	}
	return errors.Join(file.Sync(), file.Close())
}
