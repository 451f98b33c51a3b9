package db

import (
	"context"
	"errors"
	"os"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// probe fails if a statement has met damage, or if the file was moved away or cannot be written to.
func (e *sqliteEngine) probe(ctx context.Context) error {
	if damaged := e.damaged.Load(); damaged != nil {
		return damaged
	}
	return e.translate(e.lastProbe.check(ctx, e.writePage))
}

// writePage writes a page and waits for the disk.
func (e *sqliteEngine) writePage(ctx context.Context) error {
	if err := e.checkFile(); err != nil {
		return err
	}
	// Neither SQLite nor the service uses user_version. The statement only has to write a page.
	return e.writer.run(ctx, true, func(q *Queries) error {
		_, err := q.db.Exec(ctx, "PRAGMA user_version = 1")
		return err
	})
}

// checkFile fails if the file was moved away or replaced: later writes would go to the old file and be lost.
func (e *sqliteEngine) checkFile() error {
	file, err := os.Stat(e.path)
	if err == nil && !os.SameFile(file, e.file) {
		err = errors.New("the database file was replaced by another file")
	}
	if err != nil {
		return &UnavailableError{Cause: err}
	}
	return nil
}

// recordDamage converts the error of a statement that met damage to a [DamagedError] and stores it: the database is not ready until the
// service restarts.
func (e *sqliteEngine) recordDamage(err error) error {
	failure, ok := errors.AsType[*sqlite.Error](err)
	if !ok {
		return err
	}
	switch failure.Code() & 0xff {
	case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
		damaged := &DamagedError{Detail: err.Error()}
		e.damaged.CompareAndSwap(nil, damaged)
		return damaged
	}
	return err
}
