package db_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/schema"
	"github.com/financelime/authorization/test/dbtest"
)

func TestMigrate(t *testing.T) {
	onBothURLs(t, func(t *testing.T, url string) {
		s := open(t, url)
		if err := s.Ping(t.Context()); err == nil || errors.Is(err, db.ErrUnavailable) || !strings.Contains(err.Error(), "not migrated") {
			t.Errorf("ready before it is migrated: %v", err)
		}
		must(t, s.Migrate(t.Context()))
		must(t, s.Ping(t.Context()))
		a := insertAccount(t, s)
		must(t, s.Migrate(t.Context()))
		account(t, s, a.ID)

		// An older replica and a newer one run at the same time.
		write(t, s, func(q *db.Queries) error {
			_, err := db.ExecRaw(t.Context(), q, "INSERT INTO financelime_auth_version (version_id, is_applied) VALUES (99999, true)")
			return err
		})
		must(t, s.Migrate(t.Context()))
		must(t, s.Ping(t.Context()))
	})
}

func TestConcurrentMigrations(t *testing.T) {
	onBothURLs(t, func(t *testing.T, url string) {
		stores := make([]*db.Store, 4)
		concurrently(len(stores), func(i int) {
			s, err := db.Open(t.Context(), url) // one of them creates the file
			if err != nil {
				t.Error(err)
				return
			}
			stores[i] = s
			if err := s.Migrate(t.Context()); err != nil {
				t.Error(err)
			}
			if err := s.Ping(t.Context()); err != nil {
				t.Error(err)
			}
		})
		for _, s := range stores {
			if s != nil {
				insertAccount(t, s)
				must(t, s.Close())
			}
		}
	})
}

func TestMigrateReturnsError(t *testing.T) {
	onBothURLs(t, func(t *testing.T, url string) {
		s := open(t, url)
		write(t, s, func(q *db.Queries) error {
			_, err := db.ExecRaw(t.Context(), q, "CREATE TABLE invite (id bigint)") // conflicts with a table of the service
			return err
		})
		err := s.Migrate(t.Context())
		if err == nil || errors.Is(err, db.ErrUnavailable) || !strings.Contains(err.Error(), "invite") {
			t.Errorf("got %v", err)
		}
		if err := s.Ping(t.Context()); err == nil {
			t.Error("ready after a failed migration")
		}
	})
}

func TestMigrationFileNames(t *testing.T) {
	t.Parallel()
	names, err := fs.Glob(schema.FS, "*")
	must(t, err)
	onDisk, err := filepath.Glob("../schema/*.sql")
	must(t, err)
	if len(names) != len(onDisk) {
		t.Errorf("%d files embedded, %d in the folder", len(names), len(onDisk))
	}
	for _, name := range names {
		if len(name) < 7 || name[5] != '_' { // sqlc and goose sort numbers of different lengths differently
			t.Errorf("%s does not begin with five digits", name)
		}
	}
}

func TestSQLiteFileModes(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := dbtest.Open(t, "sqlite:"+filepath.Join(dir, "auth.db"))
	insertAccount(t, s)
	files, err := os.ReadDir(dir)
	must(t, err)
	names := map[string]bool{}
	for _, file := range files {
		info, err := file.Info()
		must(t, err)
		names[file.Name()] = true
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", file.Name(), info.Mode())
		}
	}
	if len(names) != 3 || !names["auth.db"] || !names["auth.db-wal"] || !names["auth.db-shm"] {
		t.Errorf("files: %v", names)
	}
}
