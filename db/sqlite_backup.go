package db

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// Backup copies an SQLite database to a new file with mode 0600, while the service runs. It reads one snapshot and blocks no writer. The
// file appears under its name when it is complete, checked and on disk. Backup also writes its SHA-256 to a file with the same name and
// [ChecksumSuffix]. For a damaged database it returns a [DamagedError].
func (s *Store) Backup(ctx context.Context, path string) error {
	e, isSQLite := s.engine.(*sqliteEngine)
	if !isSQLite {
		return errors.New("backup works with SQLite only: use pg_dump for PostgreSQL")
	}
	err := copySQLite(ctx, e.dsn, path, func(copied string) error { return writeChecksum(copied, path) })
	if err != nil {
		return fmt.Errorf("back up: %w", e.translate(err))
	}
	return nil
}

// ChecksumSuffix is appended to the name of a backup to get the name of its checksum file.
const ChecksumSuffix = ".sha256"

// writeChecksum writes the checksum file of a file that will be renamed to name, in the format of sha256sum.
func writeChecksum(file, name string) error {
	sum, err := fileSHA256(file)
	if err != nil {
		return err
	}
	name, err = filepath.Abs(name)
	if err != nil {
		return err
	}
	out, err := os.CreateTemp(filepath.Dir(name), filepath.Base(name)+ChecksumSuffix+".new-*") // mode 0600
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "%s  %s\n", sum, filepath.Base(name))
	err = errors.Join(err, out.Sync(), out.Close())
	if err == nil {
		err = os.Rename(out.Name(), name+ChecksumSuffix) // replaces the checksum of a backup that was deleted
	}
	if err != nil {
		return errors.Join(err, os.Remove(out.Name()))
	}
	return nil
}

// verifyChecksum fails unless a backup matches its checksum file.
func verifyChecksum(backup string) error {
	content, err := os.ReadFile(backup + ChecksumSuffix) //nolint:gosec // the operator's path
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("its checksum file %s is missing: put it next to the backup, or restore with --no-checksum", backup+ChecksumSuffix)
	}
	if err != nil {
		return err
	}
	sum, err := fileSHA256(backup)
	if err != nil {
		return err
	}
	if fields := strings.Fields(string(content)); len(fields) == 0 || fields[0] != sum {
		return fmt.Errorf("the backup does not match its checksum in %s: use another backup", filepath.Base(backup)+ChecksumSuffix)
	}
	return nil
}

// fileSHA256 returns the SHA-256 of a file in hexadecimal.
func fileSHA256(path string) (string, error) {
	file, err := os.Open(path) //nolint:gosec // the operator's path
	if err != nil {
		return "", err
	}
	defer file.Close() //nolint:errcheck // it was only read
	hash := sha256.New()
	if _, err := io.Copy(hash, file); err != nil {
		return "", err
	}
	return hex.EncodeToString(hash.Sum(nil)), nil
}

// RestoreOptions select the backup of a [Restore].
type RestoreOptions struct {
	Backup     string // the path of a file that [Store.Backup] wrote
	NoChecksum bool   // do not require the checksum file: only the content of the backup is checked
}

// Restore creates a database at path from a backup and migrates it. It fails if the backup is damaged or a file exists at path. prepare can
// change the database before it appears at path.
func Restore(ctx context.Context, o RestoreOptions, path string, prepare func(*Store) error) error {
	backup, err := filepath.Abs(o.Backup)
	if err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	if _, err := os.Stat(backup); err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	// SQLite would apply the leftover log of another database to this one.
	for _, suffix := range []string{"", "-wal", "-shm", "-journal"} {
		if _, err := os.Stat(path + suffix); !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("restore: %s is in the way: stop the service and move the file away", path+suffix)
		}
	}
	if !o.NoChecksum {
		if err := verifyChecksum(backup); err != nil {
			return fmt.Errorf("restore %s: %w", backup, err)
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

// prepareCopy checks the version of a copy, migrates it and calls prepare.
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
		return ErrNoDatabase
	case version > newest:
		return fmt.Errorf("it has the newer version %d, and this program supports %d", version, newest)
	}
	if err := s.Migrate(ctx); err != nil {
		return err
	}
	return prepare(s)
}

// copySQLite copies a database to a new file at path. The copy has a temporary name until it is complete; prepare is called with that name.
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
			if removeErr := os.Remove(copied + suffix); !errors.Is(removeErr, os.ErrNotExist) {
				err = errors.Join(err, removeErr)
			}
		}
	}()
	if err := file.Close(); err != nil {
		return err
	}
	// Check the source first: the copy of a damaged database is valid, but without the rows that could not be read.
	if err := checkDSN(ctx, dsn); err != nil {
		return err
	}
	if err := vacuumInto(ctx, dsn, copied); err != nil {
		return err
	}
	if err := prepare(copied); err != nil {
		return err
	}
	if err := checkDSN(ctx, sqliteDSN(copied, sqliteBusyTimeout, url.Values{"mode": {"ro"}})); err != nil {
		return fmt.Errorf("the copy: %w", err)
	}
	return publish(copied, path)
}

// vacuumInto writes a copy of a database to an empty file.
func vacuumInto(ctx context.Context, dsn, path string) error {
	pool, err := openPool(dsn, 1)
	if err != nil {
		return err
	}
	_, err = pool.ExecContext(ctx, "VACUUM INTO $1", path)
	return errors.Join(err, pool.Close())
}

// checkDSN checks all of a database.
func checkDSN(ctx context.Context, dsn string) error {
	pool, err := openPool(dsn, 1)
	if err != nil {
		return err
	}
	_, err = checkDatabase(ctx, pool, checkLimit{})
	return errors.Join(err, pool.Close())
}

// publish syncs a file to disk and links it to path, which must not exist.
func publish(file, path string) error {
	if err := syncPath(file, os.O_RDWR); err != nil {
		return err
	}
	if err := os.Link(file, path); err != nil {
		return err
	}
	if runtime.GOOS == "windows" { // cannot sync a directory
		return nil
	}
	return syncPath(filepath.Dir(path), os.O_RDONLY)
}

// syncPath syncs a file or a directory to disk.
func syncPath(path string, mode int) error {
	file, err := os.OpenFile(path, mode, 0) //nolint:gosec // the operator's path
	if err != nil {
		return err
	}
	return errors.Join(file.Sync(), file.Close())
}
