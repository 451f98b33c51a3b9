package db

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// ErrInUse means that another process serves an SQLite database, restores it or moves it.
var ErrInUse = errors.New("another process uses the database")

var errLocked = errors.New("locked by another process")

const (
	lockTries = 5
	lockPause = 20 * time.Millisecond
)

// Lock is the right to be the only service of an SQLite file. It ends with the process, however that ends.
type Lock struct{ file *os.File }

// LockSQLite takes the lock of an SQLite file, which need not exist, or fails with [ErrInUse]. Commands that work beside the
// service do without.
//
// What is locked is a file beside it: closing a descriptor of the database itself would drop SQLite's own locks. Its name begins
// with a dot, so that `mv auth.db* elsewhere` leaves it in place, and it is never removed, so that nobody locks another one.
func LockSQLite(path string) (*Lock, error) {
	if info, err := os.Stat(path); err == nil {
		// SQLite's log and the lock belong to a name of the file. By another name it would be opened a second time, and damaged.
		switch {
		case !info.Mode().IsRegular():
			return nil, fmt.Errorf("%s is not a file", path)
		case hasMoreNames(info):
			return nil, fmt.Errorf("%s has a hard link: copy the file, or remove the other name", path)
		}
	}
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
	err = lockFile(file)
	for try := 0; errors.Is(err, errLocked) && try < lockTries; try++ { // a command may be looking whether it is locked
		time.Sleep(lockPause)
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

// isServed reports whether a process holds the lock of an SQLite file. It makes no file.
func isServed(path string) (bool, error) {
	name, err := lockName(path)
	if err != nil {
		return false, err
	}
	file, err := os.Open(name) //nolint:gosec // beside the operator's database
	switch {
	case errors.Is(err, os.ErrNotExist):
		return false, nil
	case errors.Is(err, os.ErrPermission): // another user's service may run
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
