package db_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/financelime/authorization/db"
)

// content is all that an SQLite file holds, and its definitions, or the error that reading it gave.
func content(t *testing.T, path string) (string, error) {
	t.Helper()
	pool := raw(t, "sqlite:"+path)
	defer pool.Close()
	var lines []string
	tables := []string{"sqlite_schema"}
	rows, err := pool.QueryContext(t.Context(), "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%'")
	if err != nil {
		return "", err
	}
	for rows.Next() {
		var name string
		must(t, rows.Scan(&name))
		tables = append(tables, name)
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil { //nolint:sqlclosecheck // before the next query
		return "", err
	}
	for _, name := range tables {
		columns := "*"
		if name == "sqlite_schema" {
			columns = "type, name, sql" // where a table begins in the file is not what it holds
		}
		rows, err := pool.QueryContext(t.Context(), "SELECT "+columns+" FROM "+name)
		if err != nil {
			return "", err
		}
		names, err := rows.Columns()
		must(t, err)
		for rows.Next() {
			values, targets := make([]any, len(names)), make([]any, len(names))
			for i := range values {
				targets[i] = &values[i]
			}
			if err := rows.Scan(targets...); err != nil {
				return "", errors.Join(err, rows.Close()) //nolint:sqlclosecheck // in a loop
			}
			lines = append(lines, fmt.Sprintf("%s %q", name, values))
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil {
			return "", err
		}
	}
	sort.Strings(lines)
	return strings.Join(lines, "\n"), nil
}

// populated makes a database with some hundred rows and returns its file, which nobody has open.
func populated(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "auth.db")
	s, err := db.Open(t.Context(), "sqlite:"+path)
	must(t, err)
	must(t, s.Migrate(t.Context()))
	fill(t, s)
	for range 25 {
		a := insertAccount(t, s)
		for range 3 {
			insertSession(t, s, a.ID)
		}
		write(t, s, func(q *db.Queries) error {
			return q.InsertMail(t.Context(), db.InsertMailParams{ID: newID(t), AccountID: a.ID, Kind: "password", RequestID: uuid.NewString(), Now: start})
		})
	}
	must(t, s.Close())
	return path
}

// damages are changes of one byte and of one page, in turn.
func damages(random *rand.Rand, whole []byte, n int) (damaged []byte, what string) {
	damaged = append([]byte(nil), whole...)
	const page = 4096
	if n%2 == 0 {
		at := random.IntN(len(whole))
		bit := byte(1) << random.IntN(8)
		damaged[at] ^= bit
		return damaged, fmt.Sprintf("bit %d of byte %d", bit, at)
	}
	from := random.IntN(len(whole)/page) * page
	switch n / 2 % 3 {
	case 0:
		clear(damaged[from : from+page])
		return damaged, fmt.Sprintf("zeros in page %d", from/page+1)
	case 1:
		for i := range page {
			damaged[from+i] = byte(random.Uint32())
		}
		return damaged, fmt.Sprintf("noise in page %d", from/page+1)
	default:
		other := random.IntN(len(whole)/page) * page
		copy(damaged[from:from+page], whole[other:other+page])
		return damaged, fmt.Sprintf("page %d in the place of page %d", other/page+1, from/page+1)
	}
}

const damagesTried = 200

// inTime reports whether there is time for another one: on a slow machine fewer are tried, unless all are wanted.
func inTime(t *testing.T, began time.Time, n int) bool {
	t.Helper()
	if os.Getenv("FINANCELIME_FULL") == "" && time.Since(began) > time.Minute {
		t.Logf("stopped after %d", n)
		return false
	}
	return true
}

func seeded(t *testing.T) *rand.Rand {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if given := os.Getenv("DAMAGE_SEED"); given != "" {
		_, err := fmt.Sscan(given, &seed)
		must(t, err)
	}
	t.Logf("DAMAGE_SEED=%d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// A damaged file is neither served nor backed up, unless the damage is where nothing is: then everything is still there.
func TestDamageOfALiveFileIsNoticed(t *testing.T) {
	t.Parallel()
	path := populated(t)
	whole, err := os.ReadFile(path)
	must(t, err)
	want, err := content(t, path)
	must(t, err)
	random := seeded(t)
	noticed, tried, began := 0, 0, time.Now()
	for n := range damagesTried {
		if !inTime(t, began, n) {
			break
		}
		tried++
		damaged, what := damages(random, whole, n)
		file := filepath.Join(t.TempDir(), "auth.db")
		must(t, os.WriteFile(file, damaged, 0o600))
		_, served := db.CheckSQLite(t.Context(), file, time.Minute)
		backedUp := backUp(t, file)
		if served != nil && backedUp != nil {
			noticed++
			continue
		}
		if now, err := content(t, file); err != nil || now != want {
			t.Errorf("%s: served: %v, backed up: %v, but the content is another: %v", what, served, backedUp, err)
		}
	}
	t.Logf("%d of %d were noticed, the others changed nothing", noticed, tried)
	if noticed < tried/4 {
		t.Error("hardly any damage is noticed")
	}
}

func backUp(t *testing.T, file string) error {
	t.Helper()
	s, err := db.OpenExisting(t.Context(), "sqlite:"+file)
	if err != nil {
		return err
	}
	return errors.Join(s.Backup(t.Context(), file+".backup"), s.Close())
}

// A backup of which a single byte has changed is not restored, wherever it is.
func TestDamageOfABackupIsNoticed(t *testing.T) {
	t.Parallel()
	path := populated(t)
	backup := path + ".backup"
	must(t, backUp(t, path))
	whole, err := os.ReadFile(backup)
	must(t, err)
	sum, err := os.ReadFile(backup + db.ChecksumSuffix)
	must(t, err)
	want, err := content(t, path)
	must(t, err)
	random := seeded(t)
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
			t.Error("a database that was not restored is there")
		}
		return restored, err
	}
	if _, err := restore(whole, false); err != nil {
		t.Fatalf("the backup itself: %v", err)
	}
	if _, err := restore(append(slices.Clip(whole), 0), false); err == nil {
		t.Error("a backup with one more byte")
	}
	began := time.Now()
	for n := 0; n < damagesTried && inTime(t, began, n); n++ {
		damaged, what := damages(random, whole, n)
		if bytes.Equal(damaged, whole) {
			continue
		}
		if _, err := restore(damaged, false); err == nil {
			t.Errorf("%s: it is restored", what)
		}
		restored, err := restore(damaged, true)
		if err != nil {
			continue
		}
		if now, err := content(t, restored); err != nil || now != want {
			t.Errorf("%s: without a checksum it is restored, and the content is another: %v", what, err)
		}
	}
}

// A backup without its checksum is restored when one says so, and not otherwise.
func TestABackupWithoutAChecksum(t *testing.T) {
	t.Parallel()
	path := populated(t)
	backup := path + ".backup"
	must(t, os.WriteFile(backup+db.ChecksumSuffix, []byte("of a backup that is gone"), 0o600))
	must(t, backUp(t, path))
	nothing := func(*db.Store) error { return nil }
	for name, content := range map[string]string{"missing": "", "empty": "\n", "another": strings.Repeat("0", 64) + "  auth.db.backup\n"} {
		copied := filepath.Join(t.TempDir(), "copy")
		whole, err := os.ReadFile(backup)
		must(t, err)
		must(t, os.WriteFile(copied, whole, 0o600))
		if content != "" {
			must(t, os.WriteFile(copied+db.ChecksumSuffix, []byte(content), 0o600))
		}
		if err := db.Restore(t.Context(), db.RestoreOptions{Backup: copied}, copied+".db", nothing); err == nil || !strings.Contains(err.Error(), "checksum") {
			t.Errorf("%s: %v", name, err)
		}
		if err := db.Restore(t.Context(), db.RestoreOptions{Backup: copied, NoChecksum: true}, copied+".db", nothing); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A log of which a byte has changed is not cut off there in silence: what was committed after it would be lost.
func TestDamageOfTheLogIsNoticed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	live := filepath.Join(dir, "live.db")
	s := migrated(t, "sqlite:"+live)
	for range 20 {
		insertSession(t, s, insertAccount(t, s).ID)
	}
	main, err := os.ReadFile(live)
	must(t, err)
	log, err := os.ReadFile(live + "-wal") // as kill -9 leaves it
	must(t, err)
	random := seeded(t)
	file := filepath.Join(dir, "auth.db")
	look := func(log []byte) (notes []string, err error) {
		must(t, os.WriteFile(file, main, 0o600))
		must(t, os.WriteFile(file+"-wal", log, 0o600))
		must(t, errors.Join(os.RemoveAll(file+"-shm")))
		return db.CheckSQLite(t.Context(), file, time.Minute)
	}
	if notes, err := look(log); err != nil || len(notes) > 0 {
		t.Fatalf("the log as it was: %v, %v", notes, err)
	}
	want, err := content(t, file)
	must(t, err)
	for n := range damagesTried / 2 {
		damaged := append([]byte(nil), log...)
		at := random.IntN(len(log))
		damaged[at] ^= 1 << random.IntN(8)
		notes, err := look(damaged)
		if err != nil || len(notes) > 0 {
			continue
		}
		if now, err := content(t, file); err != nil || now != want {
			t.Errorf("damage %d, byte %d: %v", n, at, err)
		}
	}
	// A command that comes before the service leaves such a log as it is, and says so.
	damaged := append([]byte(nil), log...)
	damaged[len(log)/2] ^= 1
	if _, err := look(damaged); err == nil {
		t.Fatal("the damage is not noticed")
	}
	if s, err := db.OpenMigrated(t.Context(), "sqlite:"+file); err == nil || !strings.Contains(err.Error(), "the database is damaged") {
		t.Errorf("a command: %v, %v", s, err)
	}
	if now, err := os.ReadFile(file + "-wal"); err != nil || !bytes.Equal(now, damaged) {
		t.Errorf("a command changed the log: %v", err)
	}
	// What a crash leaves: a log that ends in the middle of a transaction.
	for range 20 {
		if _, err := look(log[:random.IntN(len(log))]); err != nil {
			t.Errorf("a log that was cut off: %v", err)
		}
	}
}

// The first service of a file is the only one, by whichever name it goes.
func TestLock(t *testing.T) {
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
	// Two hard links have locks and logs of their own: neither is served.
	hard := filepath.Join(dir, "hard.db")
	must(t, os.Link(path, hard))
	for _, name := range []string{path, hard, link} {
		if second, err := db.LockSQLite(name); err == nil || !strings.Contains(err.Error(), "hard link") {
			t.Errorf("%s: %v, %v", name, second, err)
		}
	}
	must(t, os.Remove(hard))
	if second, err := db.LockSQLite(dir); err == nil || !strings.Contains(err.Error(), "is not a file") {
		t.Errorf("a folder: %v, %v", second, err)
	}
	again, err := db.LockSQLite(link)
	must(t, err)
	must(t, again.Close())
}

// A statement that meets damage in a file that is served says so, and the database is not ready any more: what is written next
// may be lost.
func TestDamageMetWhileServingIsNotReady(t *testing.T) {
	t.Parallel()
	for name, damage := range map[string]func(page []byte){
		"no cells": func(page []byte) { page[3], page[4] = 0xff, 0xff },
		"zeros":    func(page []byte) { clear(page) },
		"noise": func(page []byte) {
			for i := range page {
				page[i] = 0xff
			}
		},
	} {
		path := populated(t)
		pool := raw(t, "sqlite:"+path)
		var number int64
		must(t, pool.QueryRowContext(t.Context(), "SELECT rootpage FROM sqlite_schema WHERE name = 'account'").Scan(&number))
		must(t, pool.Close())
		s := open(t, "sqlite:"+path)
		must(t, s.Ping(t.Context()))
		file, err := os.OpenFile(path, os.O_RDWR, 0o600)
		must(t, err)
		page := make([]byte, 4096)
		_, err = file.ReadAt(page, (number-1)*4096)
		must(t, err)
		damage(page)
		_, err = file.WriteAt(page, (number-1)*4096)
		must(t, err)
		met := s.Write(t.Context(), func(q *db.Queries) error {
			_, err := db.ExecRaw(t.Context(), q, "UPDATE account SET language = language")
			return err
		})
		ready := s.Ping(t.Context())
		for what, err := range map[string]error{"a statement": met, "ready": ready} {
			if _, is := errors.AsType[*db.DamagedError](err); !is || !strings.Contains(err.Error(), "Restore a backup") {
				t.Errorf("%s, %s: %v", name, what, err)
			}
		}
		must(t, file.Close()) // at the end: it would drop SQLite's locks
	}
}

// A probe is written, and by any number of those who ask at once only one.
func TestReadyMeansWritable(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "auth.db")
	s := migrated(t, "sqlite:"+path)
	before := s.Stats().Writer.Transactions
	atOnce(50, func(int) {
		if err := s.Ping(t.Context()); err != nil {
			t.Error(err)
		}
	})
	if wrote := s.Stats().Writer.Transactions - before; wrote < 1 || wrote > 3 {
		t.Errorf("50 probes wrote %d times", wrote)
	}
	must(t, os.Rename(path, path+".away"))
	time.Sleep(1100 * time.Millisecond)
	if err := s.Ping(context.Background()); !errors.Is(err, db.ErrUnavailable) {
		t.Errorf("the file was moved away: %v", err)
	}
	must(t, os.WriteFile(path, nil, 0o600))
	time.Sleep(1100 * time.Millisecond)
	if err := s.Ping(context.Background()); !errors.Is(err, db.ErrUnavailable) {
		t.Errorf("another file is in its place: %v", err)
	}
	must(t, os.Rename(path+".away", path))
	time.Sleep(1100 * time.Millisecond)
	must(t, s.Ping(context.Background()))
}
