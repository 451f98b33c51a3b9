package db

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// ErrInUse means that another process serves an SQLite database, restores it or moves it.
var ErrInUse = errors.New("another process uses the database")

var errLocked = errors.New("locked by another process")

// Lock is the right to be the only service of an SQLite file. It ends with the process, however that ends.
type Lock struct{ file *os.File }

// LockSQLite takes the lock of an SQLite file, which need not exist, or fails with [ErrInUse]. Commands that work beside the
// service do without.
//
// What is locked is a file beside it: closing a descriptor of the database itself would drop SQLite's own locks. Its name begins
// with a dot, so that `mv auth.db* elsewhere` leaves it in place, and it is never removed, so that nobody locks another one.
func LockSQLite(path string) (*Lock, error) {
	name, err := lockName(path)
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	file, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600) //nolint:gosec // beside the operator's database
	if errors.Is(err, os.ErrPermission) {
		file, err = os.Open(name) //nolint:gosec // as above
	}
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	if err := lockFile(file); err != nil {
		if errors.Is(err, errLocked) {
			err = fmt.Errorf("%w %s: stop it first", ErrInUse, path)
		} else {
			err = fmt.Errorf("lock %s: %w", name, err)
		}
		return nil, errors.Join(err, file.Close())
	}
	// SQLite's log and the lock belong to a name of the file. By another name the file would be opened a second time, and damaged.
	if info, err := os.Stat(path); err == nil && hasMoreNames(info) {
		return nil, errors.Join(fmt.Errorf("%s has a hard link: copy the file, or remove the other name", path), file.Close())
	}
	return &Lock{file: file}, nil
}

// lockName is the file that is locked, whichever of the database's names is used.
func lockName(path string) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	target, err := filepath.EvalSymlinks(path)
	if errors.Is(err, os.ErrNotExist) { // there is no database yet
		dir, err := filepath.EvalSymlinks(filepath.Dir(path))
		return filepath.Join(dir, "."+filepath.Base(path)+".lock"), err
	}
	return filepath.Join(filepath.Dir(target), "."+filepath.Base(target)+".lock"), err
}

// Close gives the lock back.
func (l *Lock) Close() error { return l.file.Close() }
