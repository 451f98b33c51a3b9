package db_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/test/dbtest"
	"github.com/financelime/authorization/test/postgres"
)

// backUp backs up a file to the same path with the suffix .backup.
func backUp(t *testing.T, file string) error {
	t.Helper()
	s, err := db.OpenExisting(t.Context(), "sqlite:"+file)
	if err != nil {
		return err
	}
	return errors.Join(s.Backup(t.Context(), file+".backup"), s.Close())
}

// A backup with any changed byte is not restored. Without its checksum it is restored only if its content is the same.
func TestDamagedBackupIsNotRestored(t *testing.T) {
	t.Parallel()
	path := newPopulatedFile(t)
	backup := path + ".backup"
	must(t, backUp(t, path))
	whole, err := os.ReadFile(backup)
	must(t, err)
	sum, err := os.ReadFile(backup + db.ChecksumSuffix)
	must(t, err)
	want, err := dumpFile(t, path)
	must(t, err)
	random := newRand(t)
	restore := func(content []byte, noChecksum bool) (restored string, err error) {
		dir := t.TempDir()
		file := filepath.Join(dir, "copy")
		must(t, os.WriteFile(file, content, 0o600))
		if !noChecksum {
			must(t, os.WriteFile(file+db.ChecksumSuffix, sum, 0o600))
		}
		restored = filepath.Join(dir, "auth.db")
		err = db.Restore(t.Context(), db.RestoreOptions{Backup: file, NoChecksum: noChecksum}, restored, func(*db.Store) error { return nil })
		if _, missing := os.Stat(restored); err != nil && missing == nil {
			t.Error("the restore failed but left a database")
		}
		return restored, err
	}
	if _, err := restore(whole, false); err != nil {
		t.Fatalf("the backup itself: %v", err)
	}
	if _, err := restore(append(slices.Clip(whole), 0), false); err == nil {
		t.Error("a backup with an additional byte was restored")
	}
	began := time.Now()
	for n := 0; n < damageCount && hasTime(t, began, n); n++ {
		damaged, what := damage(random, whole, n)
		if bytes.Equal(damaged, whole) {
			continue
		}
		if _, err := restore(damaged, false); err == nil {
			t.Errorf("%s: the backup was restored", what)
		}
		restored, err := restore(damaged, true)
		if err != nil {
			continue
		}
		if now, err := dumpFile(t, restored); err != nil || now != want {
			t.Errorf("%s: restored without a checksum, and the content differs: %v", what, err)
		}
	}
}

// A backup without a valid checksum file is restored only with NoChecksum.
func TestRestoreWithoutChecksum(t *testing.T) {
	t.Parallel()
	path := newPopulatedFile(t)
	backup := path + ".backup"
	must(t, os.WriteFile(backup+db.ChecksumSuffix, []byte("of a deleted backup"), 0o600))
	must(t, backUp(t, path))
	noop := func(*db.Store) error { return nil }
	for name, content := range map[string]string{"missing": "", "empty": "\n", "another": strings.Repeat("0", 64) + "  auth.db.backup\n"} {
		copied := filepath.Join(t.TempDir(), "copy")
		whole, err := os.ReadFile(backup)
		must(t, err)
		must(t, os.WriteFile(copied, whole, 0o600))
		if content != "" {
			must(t, os.WriteFile(copied+db.ChecksumSuffix, []byte(content), 0o600))
		}
		if err := db.Restore(t.Context(), db.RestoreOptions{Backup: copied}, copied+".db", noop); err == nil || !strings.Contains(err.Error(), "checksum") {
			t.Errorf("%s: %v", name, err)
		}
		if err := db.Restore(t.Context(), db.RestoreOptions{Backup: copied, NoChecksum: true}, copied+".db", noop); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A backup under load is a snapshot: two rows that are always updated together have the same generation.
func TestBackupUnderLoad(t *testing.T) {
	t.Parallel()
	s := dbtest.Open(t, dbtest.SQLiteURL(t))
	insertRows(t, s)
	a := insertAccount(t, s)
	one, two := insertSession(t, s, a.ID), insertSession(t, s, a.ID)
	ctx, cancel := context.WithCancel(t.Context())
	var load sync.WaitGroup
	started := make(chan struct{})
	load.Go(func() {
		for generation := int64(2); ctx.Err() == nil; generation++ {
			if err := s.InTx(t.Context(), func(q *db.Queries) error {
				for _, id := range []uuid.UUID{one.ID, two.ID} {
					if _, err := db.ExecRaw(t.Context(), q, "UPDATE session SET generation = $1 WHERE id = $2", generation, id); err != nil {
						return err
					}
				}
				return nil
			}); err != nil {
				t.Error(err)
			}
			if generation == 10 {
				close(started)
			}
		}
	})
	<-started
	dir := t.TempDir()
	for i := range 5 {
		path := filepath.Join(dir, string(rune('a'+i)))
		must(t, s.Backup(t.Context(), path))
		requirePrivate(t, path)
		restored := filepath.Join(t.TempDir(), "auth.db")
		must(t, db.Restore(t.Context(), db.RestoreOptions{Backup: path, NoChecksum: true}, restored, func(r *db.Store) error {
			first, err := r.Read().GetSession(t.Context(), one.ID)
			must(t, err)
			second, err := r.Read().GetSession(t.Context(), two.ID)
			if first.Generation != second.Generation {
				t.Errorf("generations %d and %d", first.Generation, second.Generation)
			}
			return err
		}))
		requirePrivate(t, restored)
		must(t, open(t, "sqlite:"+restored).Ping(t.Context()))
	}
	cancel()
	load.Wait()
	if left, err := filepath.Glob(filepath.Join(dir, "*new*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}

func TestBackupAndRestoreErrors(t *testing.T) {
	t.Parallel()
	s := dbtest.Open(t, dbtest.SQLiteURL(t))
	dir := t.TempDir()
	path, free := filepath.Join(dir, "backup"), filepath.Join(dir, "auth.db")
	must(t, s.Backup(t.Context(), path))
	notCalled := func(*db.Store) error { return errors.New("called") }
	errPrepare := errors.New("prepare failed")
	newer := filepath.Join(dir, "newer")
	write(t, s, func(q *db.Queries) error {
		_, err := db.ExecRaw(t.Context(), q, "INSERT INTO financelime_auth_version (version_id, is_applied) VALUES (99999, true)")
		return err
	})
	must(t, s.Backup(t.Context(), newer))
	empty, garbage := filepath.Join(dir, "empty"), filepath.Join(dir, "garbage")
	writeFile(t, empty, "")
	writeFile(t, garbage, strings.Repeat("no database ", 100))
	writeFile(t, filepath.Join(dir, "other.db-wal"), "the log of a deleted database")
	for want, do := range map[string]func() error{
		"exists already": func() error { return s.Backup(t.Context(), path) },
		"pg_dump":        func() error { return open(t, postgres.URL(t)).Backup(t.Context(), free) },
		"is in the way": func() error {
			return db.Restore(t.Context(), db.RestoreOptions{Backup: path, NoChecksum: true}, path, notCalled)
		},
		"other.db-wal": func() error {
			return db.Restore(t.Context(), db.RestoreOptions{Backup: path, NoChecksum: true}, filepath.Join(dir, "other.db"), notCalled)
		},
		"no such file": func() error {
			return db.Restore(t.Context(), db.RestoreOptions{Backup: path + "x", NoChecksum: true}, free, notCalled)
		},
		"newer version": func() error {
			return db.Restore(t.Context(), db.RestoreOptions{Backup: newer, NoChecksum: true}, free, notCalled)
		},
		"no database of this": func() error {
			return db.Restore(t.Context(), db.RestoreOptions{Backup: empty, NoChecksum: true}, free, notCalled)
		},
		"file is not a databas": func() error {
			return db.Restore(t.Context(), db.RestoreOptions{Backup: garbage, NoChecksum: true}, free, notCalled)
		},
		"prepare failed": func() error {
			return db.Restore(t.Context(), db.RestoreOptions{Backup: path, NoChecksum: true}, free, func(*db.Store) error { return errPrepare })
		},
	} {
		if err := do(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", want, err)
		}
	}
	left, err := filepath.Glob(filepath.Join(dir, "*"))
	must(t, err)
	if len(left) != 7 { // two of them are checksums
		t.Errorf("left behind: %v", left)
	}
}
