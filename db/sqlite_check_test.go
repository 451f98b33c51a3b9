package db_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/test/dbtest"
)

// dumpFile returns all rows and definitions of an SQLite file, or the error of reading it.
func dumpFile(t *testing.T, path string) (string, error) {
	t.Helper()
	pool := openSQL(t, "sqlite:"+path)
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
		query := "SELECT * FROM " + name
		if name == "sqlite_schema" { // rootpage and the names of automatic indexes are not content
			query = "SELECT type, name, sql FROM sqlite_schema WHERE sql IS NOT NULL"
		}
		rows, err := pool.QueryContext(t.Context(), query)
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

// newPopulatedFile creates a database with some hundred rows and returns the path of its file, which is closed.
func newPopulatedFile(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "auth.db")
	s, err := db.Open(t.Context(), "sqlite:"+path)
	must(t, err)
	must(t, s.Migrate(t.Context()))
	insertRows(t, s)
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

// damage returns a copy of a file with a change: of one bit for even n, of one page for odd n.
func damage(random *rand.Rand, whole []byte, n int) (damaged []byte, what string) {
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
		return damaged, fmt.Sprintf("page %d copied over page %d", other/page+1, from/page+1)
	}
}

const damageCount = 200

// hasTime reports whether there is time for another change: without FINANCELIME_FULL the test stops after a minute.
func hasTime(t *testing.T, began time.Time, n int) bool {
	t.Helper()
	if os.Getenv("FINANCELIME_FULL") == "" && time.Since(began) > time.Minute {
		t.Logf("stopped after %d", n)
		return false
	}
	return true
}

// newRand returns a random generator with the seed DAMAGE_SEED, or a logged one.
func newRand(t *testing.T) *rand.Rand {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if given := os.Getenv("DAMAGE_SEED"); given != "" {
		_, err := fmt.Sscan(given, &seed)
		must(t, err)
	}
	t.Logf("DAMAGE_SEED=%d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// A damaged file is neither served nor backed up, unless the change did not affect its content.
func TestDamagedFileIsDetected(t *testing.T) {
	t.Parallel()
	path := newPopulatedFile(t)
	whole, err := os.ReadFile(path)
	must(t, err)
	want, err := dumpFile(t, path)
	must(t, err)
	random := newRand(t)
	detected, tried, began := 0, 0, time.Now()
	for n := range damageCount {
		if !hasTime(t, began, n) {
			break
		}
		tried++
		damaged, what := damage(random, whole, n)
		file := filepath.Join(t.TempDir(), "auth.db")
		must(t, os.WriteFile(file, damaged, 0o600))
		_, served := db.CheckSQLite(t.Context(), file, time.Minute)
		backedUp := backUp(t, file)
		if served != nil && backedUp != nil {
			detected++
			continue
		}
		if now, err := dumpFile(t, file); err != nil || now != want {
			t.Errorf("%s: served: %v, backed up: %v, but the content differs: %v", what, served, backedUp, err)
		}
	}
	t.Logf("%d of %d changes were detected, the others did not affect the content", detected, tried)
	if detected < tried/4 {
		t.Error("too few changes are detected")
	}
}

// SQLite ignores the log after a damaged frame, which would lose committed transactions. The check detects it.
func TestDamagedWALIsDetected(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	live := filepath.Join(dir, "live.db")
	s := dbtest.Open(t, "sqlite:"+live)
	for range 20 {
		insertSession(t, s, insertAccount(t, s).ID)
	}
	main, err := os.ReadFile(live)
	must(t, err)
	log, err := os.ReadFile(live + "-wal") // as kill -9 leaves it
	must(t, err)
	random := newRand(t)
	file := filepath.Join(dir, "auth.db")
	check := func(log []byte) (notes []string, err error) {
		must(t, os.WriteFile(file, main, 0o600))
		must(t, os.WriteFile(file+"-wal", log, 0o600))
		must(t, errors.Join(os.RemoveAll(file+"-shm")))
		return db.CheckSQLite(t.Context(), file, time.Minute)
	}
	if notes, err := check(log); err != nil || len(notes) > 0 {
		t.Fatalf("the log as it was: %v, %v", notes, err)
	}
	want, err := dumpFile(t, file)
	must(t, err)
	for n := range damageCount / 2 {
		damaged := append([]byte(nil), log...)
		at := random.IntN(len(log))
		damaged[at] ^= 1 << random.IntN(8)
		notes, err := check(damaged)
		if err != nil || len(notes) > 0 {
			continue
		}
		if now, err := dumpFile(t, file); err != nil || now != want {
			t.Errorf("damage %d, byte %d: %v", n, at, err)
		}
	}
	// A command that runs before the service returns the error and does not change such a log.
	damaged := append([]byte(nil), log...)
	damaged[len(log)/2] ^= 1
	if _, err := check(damaged); err == nil {
		t.Fatal("the damage was not detected")
	}
	if s, err := db.OpenMigrated(t.Context(), "sqlite:"+file); err == nil || !strings.Contains(err.Error(), "the database is damaged") {
		t.Errorf("a command: %v, %v", s, err)
	}
	if now, err := os.ReadFile(file + "-wal"); err != nil || !bytes.Equal(now, damaged) {
		t.Errorf("a command changed the log: %v", err)
	}
	// After a crash the log can end in the middle of a transaction.
	for range 20 {
		if _, err := check(log[:random.IntN(len(log))]); err != nil {
			t.Errorf("a truncated log: %v", err)
		}
	}
}

// A statement that meets damage returns a DamagedError. After that the database is not ready, because later writes may be lost.
func TestDamageEndsReadiness(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(page []byte){
		"no cells": func(page []byte) { page[3], page[4] = 0xff, 0xff },
		"zeros":    func(page []byte) { clear(page) },
		"noise": func(page []byte) {
			for i := range page {
				page[i] = 0xff
			}
		},
	} {
		path := newPopulatedFile(t)
		pool := openSQL(t, "sqlite:"+path)
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
		change(page)
		_, err = file.WriteAt(page, (number-1)*4096)
		must(t, err)
		writeErr := s.Write(t.Context(), func(q *db.Queries) error {
			_, err := db.ExecRaw(t.Context(), q, "UPDATE account SET language = language")
			return err
		})
		pingErr := s.Ping(t.Context())
		for what, err := range map[string]error{"Write": writeErr, "Ping": pingErr} {
			if _, ok := errors.AsType[*db.DamagedError](err); !ok || !strings.Contains(err.Error(), "Restore a backup") {
				t.Errorf("%s, %s: %v", name, what, err)
			}
		}
		must(t, file.Close()) // after the test: closing it drops SQLite's locks
	}
}

// TestAddedTableIsNoDamage adds a table, as an operator may: the file is valid, and a missing shadow index of a table of the service is still detected.
func TestAddedTableIsNoDamage(t *testing.T) {
	t.Parallel()
	file := newPopulatedFile(t)
	pool := openSQL(t, "sqlite:"+file)
	execSQL(t, pool, "CREATE TABLE report (id integer PRIMARY KEY, text text)")
	if _, err := db.CheckSQLite(t.Context(), file, time.Minute); err != nil {
		t.Errorf("with an added table: %v", err)
	}
	execSQL(t, pool, "DROP INDEX whole_session")
	if _, err := db.CheckSQLite(t.Context(), file, time.Minute); err == nil || !strings.Contains(err.Error(), "the table session") {
		t.Errorf("without the shadow index of session: %v", err)
	}
}

// All parts of the check at startup have one limit together: a slow part leaves less time for the others.
func TestSQLiteCheckHasOneLimit(t *testing.T) {
	t.Parallel()
	path := newPopulatedFile(t)
	if notes, err := db.CheckSQLite(t.Context(), path, time.Minute); err != nil || len(notes) > 0 {
		t.Fatalf("enough time: %v, %v", notes, err)
	}
	// Each row of this table takes milliseconds in each part: it has a CHECK constraint, and a foreign key that is computed.
	const slow = "length(hex(zeroblob(n + 1000000))) > 0"
	pool := openSQL(t, "sqlite:"+path)
	pool.SetMaxOpenConns(1) // the PRAGMA affects one connection
	execSQL(t, pool,
		"PRAGMA ignore_check_constraints = on",
		"CREATE TABLE slow (n INTEGER NOT NULL PRIMARY KEY, one INTEGER AS ("+slow+") REFERENCES slow (n), CHECK ("+slow+"))",
		`CREATE INDEX "whole_slow" ON "slow" ("n")`,
		"INSERT INTO slow WITH RECURSIVE row (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM row WHERE n < 1000) SELECT n FROM row")
	must(t, pool.Close())
	const limit = time.Second
	began := time.Now()
	notes, err := db.CheckSQLite(t.Context(), path, limit)
	if err != nil || len(notes) != 1 || !strings.Contains(notes[0], "too large to be checked within 1s") {
		t.Errorf("not enough time: %v, %v", notes, err)
	}
	if elapsed := time.Since(began); elapsed < limit || elapsed > 2*limit {
		t.Errorf("the check took %s, the limit is %s", elapsed, limit)
	}
}
