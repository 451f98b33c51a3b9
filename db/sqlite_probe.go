package db

import (
	"context"
	"errors"
	"os"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// probe fails if the database is known to be damaged, was moved away, or cannot be written to.
func (e *sqliteEngine) probe(ctx context.Context) error {
	if damaged := e.damaged.Load(); damaged != nil {
		return damaged
	}
	return e.translate(e.probed.ask(ctx, e.writePage))
}

// writePage writes a page and waits for the disk.
func (e *sqliteEngine) writePage(ctx context.Context) error {
	if err := e.inPlace(); err != nil {
		return err
	}
	// Neither SQLite nor the service uses user_version: what counts is that the page is written.
	return e.writer.run(ctx, true, func(q *Queries) error {
		_, err := q.db.Exec(ctx, "PRAGMA user_version = 1")
		return err
	})
}

// inPlace fails where the file was moved away or another one took its place: what is written then stays behind.
func (e *sqliteEngine) inPlace() error {
	file, err := os.Stat(e.path)
	if err == nil && !os.SameFile(file, e.file) {
		err = errors.New("another file is in the place of the database")
	}
	if err != nil {
		return &UnavailableError{Cause: err}
	}
	return nil
}

// noteDamage turns the error of a statement that met damage into a [DamagedError], and keeps it: until the next start, the
// database is not ready.
func (e *sqliteEngine) noteDamage(err error) error {
	failure, is := errors.AsType[*sqlite.Error](err)
	if !is {
		return err
	}
	switch failure.Code() & 0xff {
	case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
		damaged := &DamagedError{What: err.Error()}
		e.damaged.CompareAndSwap(nil, damaged)
		return damaged
	}
	return err
}
