package db_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/financelime/authorization/db"
)

// Only one process can lock a file, whichever path leads to it.
func TestLockSQLite(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "auth.db")
	lock, err := db.LockSQLite(path) // before there is a database
	must(t, err)
	must(t, os.WriteFile(path, nil, 0o600))
	link := filepath.Join(t.TempDir(), "link.db")
	must(t, os.Symlink(path, link))
	for _, name := range []string{path, link, filepath.Join(dir, ".", "..", filepath.Base(dir), "auth.db")} {
		if second, err := db.LockSQLite(name); !errors.Is(err, db.ErrInUse) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v, %v", name, second, err)
		}
	}
	other, err := db.LockSQLite(filepath.Join(dir, "other.db"))
	must(t, err)
	must(t, other.Close())
	must(t, lock.Close())
	// Two hard links would have separate locks and logs: neither can be locked.
	hard := filepath.Join(dir, "hard.db")
	must(t, os.Link(path, hard))
	for _, name := range []string{path, hard, link} {
		if second, err := db.LockSQLite(name); err == nil || !strings.Contains(err.Error(), "hard link") {
			t.Errorf("%s: %v, %v", name, second, err)
		}
	}
	must(t, os.Remove(hard))
	if second, err := db.LockSQLite(dir); err == nil || !strings.Contains(err.Error(), "is not a file") {
		t.Errorf("a directory: %v, %v", second, err)
	}
	again, err := db.LockSQLite(link)
	must(t, err)
	must(t, again.Close())
}
