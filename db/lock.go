package db

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// ErrInUse means that another process serves, restores or moves an SQLite database.
var ErrInUse = errors.New("another process uses the database")

var errLocked = errors.New("locked by another process")

const (
	lockRetries    = 5
	lockRetryDelay = 20 * time.Millisecond
)

// Lock is an exclusive lock on an SQLite file. The operating system releases it when the process ends.
type Lock struct{ file *os.File }

// LockSQLite locks an SQLite file, which need not exist, or fails with [ErrInUse]. The service, restore and migrate take this lock; commands
// that run while the service runs do not.
//
// It locks another file in the same directory: closing a descriptor of the database itself would drop SQLite's own locks. The name of the
// lock file begins with a dot, so that `mv auth.db* elsewhere` does not move it. The lock file is never removed: otherwise two processes
// could lock different files.
func LockSQLite(path string) (*Lock, error) {
	if info, err := os.Stat(path); err == nil {
		// The lock and SQLite's log belong to one name of the file. A service that opens it by another name would damage it.
		switch {
		case !info.Mode().IsRegular():
			return nil, fmt.Errorf("%s is not a file", path)
		case hasHardLinks(info):
			return nil, fmt.Errorf("%s has a hard link: copy the file, or remove the other name", path)
		}
	}
	name, err := lockPath(path)
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	file, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600) //nolint:gosec // next to the operator's database
	if errors.Is(err, os.ErrPermission) {
		file, err = os.Open(name) //nolint:gosec // as above
	}
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	err = lockFile(file)
	for retry := 0; errors.Is(err, errLocked) && retry < lockRetries; retry++ { // isServed may hold the lock for a moment
		time.Sleep(lockRetryDelay)
		err = lockFile(file)
	}
	if err != nil {
		if errors.Is(err, errLocked) {
			err = fmt.Errorf("%w %s: stop it first", ErrInUse, path)
		} else {
			err = fmt.Errorf("lock %s: %w", name, err)
		}
		return nil, errors.Join(err, file.Close())
	}
	return &Lock{file: file}, nil
}

// isServed reports whether a process holds the lock of an SQLite file. It creates no file.
func isServed(path string) (bool, error) {
	name, err := lockPath(path)
	if err != nil {
		return false, err
	}
	file, err := os.Open(name) //nolint:gosec // next to the operator's database
	switch {
	case errors.Is(err, os.ErrNotExist):
		return false, nil
	case errors.Is(err, os.ErrPermission): // the service of another user may be running
		return true, nil
	case err != nil:
		return false, err
	}
	err = lockFile(file)
	served := errors.Is(err, errLocked)
	if served {
		err = nil
	}
	return served, errors.Join(err, file.Close())
}

// lockPath returns the path of the lock file. It is the same for all symbolic links to a database.
func lockPath(path string) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	target, err := filepath.EvalSymlinks(path)
	if errors.Is(err, os.ErrNotExist) { // the database does not exist yet
		dir, err := filepath.EvalSymlinks(filepath.Dir(path))
		return filepath.Join(dir, "."+filepath.Base(path)+".lock"), err
	}
	return filepath.Join(filepath.Dir(target), "."+filepath.Base(target)+".lock"), err
}

// Close releases the lock.
func (l *Lock) Close() error { return l.file.Close() }
