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

// Backup writes a copy of an SQLite database into a new file, which only its owner can read, while the service works on:
// it reads one moment's state and makes no writer wait. The file appears whole, checked and on the disk, or not at all. Beside it is
// its SHA-256, in a file of the same name with [ChecksumSuffix]. A damaged database is not backed up: see [DamagedError].
func (s *Store) Backup(ctx context.Context, path string) error {
	e, isSQLite := s.engine.(*sqliteEngine)
	if !isSQLite {
		return errors.New("only SQLite is copied so: pg_dump makes a backup of PostgreSQL")
	}
	err := copySQLite(ctx, e.dsn, path, func(copied string) error { return writeChecksum(copied, path) })
	if err != nil {
		return fmt.Errorf("back up: %w", e.translate(err))
	}
	return nil
}

// ChecksumSuffix is what the name of a backup's checksum has more than that of the backup.
const ChecksumSuffix = ".sha256"

// writeChecksum writes the checksum of a file beside the name that it is going to have, as sha256sum does.
func writeChecksum(file, name string) error {
	sum, err := checksumOf(file)
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
		err = os.Rename(out.Name(), name+ChecksumSuffix) // one that is there is of a backup that is gone
	}
	if err != nil {
		return errors.Join(err, os.Remove(out.Name()))
	}
	return nil
}

// verifyChecksum fails unless a backup is what was written.
func verifyChecksum(backup string) error {
	content, err := os.ReadFile(backup + ChecksumSuffix) //nolint:gosec // the operator's path
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("its checksum %s is missing: put it beside the backup, or restore with --no-checksum", backup+ChecksumSuffix)
	}
	if err != nil {
		return err
	}
	sum, err := checksumOf(backup)
	if err != nil {
		return err
	}
	if fields := strings.Fields(string(content)); len(fields) == 0 || fields[0] != sum {
		return fmt.Errorf("the backup is damaged, or %s is not its checksum: use another backup", filepath.Base(backup)+ChecksumSuffix)
	}
	return nil
}

// checksumOf is the SHA-256 of a file, in hexadecimal.
func checksumOf(path string) (string, error) {
	file, err := os.Open(path) //nolint:gosec // the operator's path
	if err != nil {
		return "", err
	}
	defer file.Close() //nolint:errcheck // only read
	hash := sha256.New()
	if _, err := io.Copy(hash, file); err != nil {
		return "", err
	}
	return hex.EncodeToString(hash.Sum(nil)), nil
}

// RestoreOptions are how a backup is restored.
type RestoreOptions struct {
	Backup     string // the file that [Store.Backup] wrote
	NoChecksum bool   // there is none: only what can be seen in the file itself is checked
}

// Restore makes a database out of a backup, unless that is damaged. prepare works on it, migrated, before it appears under
// its path, where nothing may be yet.
func Restore(ctx context.Context, o RestoreOptions, path string, prepare func(*Store) error) error {
	backup, err := filepath.Abs(o.Backup)
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
	// First: a copy of a damaged database is whole, and lacks what could not be read.
	if err := checkSource(ctx, dsn); err != nil {
		return err
	}
	if err := vacuumInto(ctx, dsn, copied); err != nil {
		return err
	}
	if err := prepare(copied); err != nil {
		return err
	}
	if err := checkSource(ctx, sqliteDSN(copied, sqliteBusyTimeout, url.Values{"mode": {"ro"}})); err != nil {
		return fmt.Errorf("the copy: %w", err)
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

func checkSource(ctx context.Context, dsn string) error {
	pool, err := openPool(dsn, 1)
	if err != nil {
		return err
	}
	_, err = checkDatabase(ctx, pool, 0)
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
