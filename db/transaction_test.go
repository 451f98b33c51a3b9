package db_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"

	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/test/dbtest"
)

// exists reports whether a session is committed.
func exists(t *testing.T, s *db.Store, session uuid.UUID) bool {
	t.Helper()
	_, err := s.Read().GetSession(t.Context(), session)
	if err != nil && !errors.Is(err, db.ErrNotFound) {
		t.Error(err)
	}
	return err == nil
}

func TestInTxIsAtomic(t *testing.T) {
	onBoth(t, func(t *testing.T, s *db.Store) {
		a := insertAccount(t, s)
		errOwn := errors.New("own error")
		for name, test := range map[string]struct {
			end  func() error
			want func(error) bool
			kept bool
		}{
			"nil":       {func() error { return nil }, func(err error) bool { return err == nil }, true},
			"error":     {func() error { return fmt.Errorf("so: %w", errOwn) }, func(err error) bool { return errors.Is(err, errOwn) }, false},
			"not found": {func() error { return db.ErrNotFound }, func(err error) bool { return errors.Is(err, db.ErrNotFound) }, false},
		} {
			first, second := newID(t), newID(t)
			err := s.InTx(t.Context(), func(q *db.Queries) error {
				for _, id := range []uuid.UUID{first, second} {
					if err := q.InsertSession(t.Context(), db.InsertSessionParams{ID: id, AccountID: a.ID, Now: start}); err != nil {
						return err
					}
				}
				if exists(t, s, first) {
					t.Errorf("%s: another transaction reads uncommitted rows", name)
				}
				if _, err := q.GetSession(t.Context(), first); err != nil {
					t.Errorf("%s: the transaction does not read its own rows: %v", name, err)
				}
				return test.end()
			})
			if !test.want(err) {
				t.Errorf("%s: got error %v", name, err)
			}
			if exists(t, s, first) != test.kept || exists(t, s, second) != test.kept {
				t.Errorf("%s: rows kept: %v, %v", name, exists(t, s, first), exists(t, s, second))
			}
		}
	})
}

func TestPanicRollsBack(t *testing.T) {
	onBoth(t, func(t *testing.T, s *db.Store) {
		a := insertAccount(t, s)
		id := newID(t)
		errOwn := errors.New("own error")
		func() {
			defer func() {
				value := recover()
				if err, ok := value.(error); !ok || !errors.Is(err, errOwn) {
					t.Errorf("recovered %v", value)
				}
			}()
			_ = s.InTx(t.Context(), func(q *db.Queries) error {
				if err := q.InsertSession(t.Context(), db.InsertSessionParams{ID: id, AccountID: a.ID, Now: start}); err != nil {
					t.Error(err)
				}
				panic(errOwn)
			})
			t.Error("no panic")
		}()
		if exists(t, s, id) {
			t.Error("the row was committed")
		}
		insertSession(t, s, a.ID) // the store still works
	})
}

func TestGoexitRollsBack(t *testing.T) {
	onBoth(t, func(t *testing.T, s *db.Store) {
		a := insertAccount(t, s)
		id := newID(t)
		var wg sync.WaitGroup
		wg.Go(func() {
			err := s.InTx(t.Context(), func(q *db.Queries) error {
				if err := q.InsertSession(t.Context(), db.InsertSessionParams{ID: id, AccountID: a.ID, Now: start}); err != nil {
					t.Error(err)
				}
				runtime.Goexit() // as t.FailNow does
				return nil
			})
			if err == nil {
				t.Error("committed")
			}
		})
		wg.Wait()
		if exists(t, s, id) {
			t.Error("the row was committed")
		}
		insertSession(t, s, a.ID)
	})
}

func TestFailedStatementFailsTransaction(t *testing.T) {
	onBoth(t, func(t *testing.T, s *db.Store) {
		a := insertAccount(t, s)
		id := newID(t)
		err := s.InTx(t.Context(), func(q *db.Queries) error {
			arg := db.InsertSessionParams{ID: id, AccountID: a.ID, Now: start}
			if err := q.InsertSession(t.Context(), arg); err != nil {
				t.Error(err)
			}
			if err := q.InsertSession(t.Context(), arg); !errors.Is(err, db.ErrConflict) {
				t.Errorf("the same row again: %v", err)
			}
			// PostgreSQL refuses statements after an error by itself.
			arg.ID = newID(t)
			if err := q.InsertSession(t.Context(), arg); !errors.Is(err, db.ErrConflict) {
				t.Errorf("after an error: %v", err)
			}
			return nil
		})
		if !errors.Is(err, db.ErrConflict) {
			t.Errorf("got %v", err)
		}
		if exists(t, s, id) {
			t.Error("the row was committed")
		}
	})
}

func TestWriteRunsOneStatement(t *testing.T) {
	onBoth(t, func(t *testing.T, s *db.Store) {
		a := insertAccount(t, s)
		first, second, third := newID(t), newID(t), newID(t)
		err := s.Write(t.Context(), func(q *db.Queries) error {
			for _, id := range []uuid.UUID{first, second} {
				if err := q.InsertSession(t.Context(), db.InsertSessionParams{ID: id, AccountID: a.ID, Now: start}); err != nil {
					return err
				}
			}
			return nil
		})
		if err == nil || !strings.Contains(err.Error(), "InTx") || exists(t, s, second) {
			t.Errorf("a second statement: %v", err)
		}
		// A statement that succeeded is committed on both engines, whatever fn returns.
		errOwn := errors.New("own error")
		if err := s.Write(t.Context(), func(q *db.Queries) error {
			if err := q.InsertSession(t.Context(), db.InsertSessionParams{ID: third, AccountID: a.ID, Now: start}); err != nil {
				return err
			}
			return errOwn
		}); !errors.Is(err, errOwn) || !exists(t, s, third) {
			t.Errorf("an error after the statement: %v, kept: %v", err, exists(t, s, third))
		}
		must(t, s.Write(t.Context(), func(*db.Queries) error { return nil }))
	})
}

func TestQueriesEndWithTransaction(t *testing.T) {
	onBoth(t, func(t *testing.T, s *db.Store) {
		for name, run := range map[string]func(context.Context, func(*db.Queries) error) error{"Write": s.Write, "InTx": s.InTx} {
			var leaked *db.Queries
			must(t, run(t.Context(), func(q *db.Queries) error {
				leaked = q
				return nil
			}))
			if _, err := leaked.GetSession(t.Context(), newID(t)); err == nil || errors.Is(err, db.ErrNotFound) {
				t.Errorf("%s: a leaked read: %v", name, err)
			}
			if _, err := leaked.ListSigningKeys(t.Context()); err == nil {
				t.Errorf("%s: a leaked list works", name)
			}
			if err := leaked.DeleteSigningKey(t.Context(), "x"); err == nil {
				t.Errorf("%s: a leaked write works", name)
			}
		}
	})
}

func TestCancelledContextChangesNothing(t *testing.T) {
	onBoth(t, func(t *testing.T, s *db.Store) {
		a := insertAccount(t, s)
		cancelled, cancel := context.WithCancel(t.Context())
		cancel()
		for name, err := range map[string]error{
			"Write": s.Write(cancelled, func(*db.Queries) error { t.Error("Write began"); return nil }),
			"InTx":  s.InTx(cancelled, func(*db.Queries) error { t.Error("InTx began"); return nil }),
			"Ping":  s.Ping(cancelled),
			"Read":  func() error { _, err := s.Read().GetAccount(cancelled, a.ID); return err }(),
		} {
			if !errors.Is(err, context.Canceled) || errors.Is(err, db.ErrUnavailable) {
				t.Errorf("%s: %v", name, err)
			}
		}

		// The context ends within the transaction.
		id := newID(t)
		leaving, leave := context.WithCancel(t.Context())
		err := s.InTx(leaving, func(q *db.Queries) error {
			if err := q.InsertSession(leaving, db.InsertSessionParams{ID: id, AccountID: a.ID, Now: start}); err != nil {
				t.Error(err)
			}
			leave()
			_, err := q.GetSession(leaving, id)
			return err
		})
		if !errors.Is(err, context.Canceled) || exists(t, s, id) {
			t.Errorf("cancelled within the transaction: %v", err)
		}
	})
}

func TestPassedDeadlineIsUnavailable(t *testing.T) {
	onBoth(t, func(t *testing.T, s *db.Store) {
		insertAccount(t, s)
		late, cancel := context.WithTimeout(t.Context(), 0)
		defer cancel()
		_, err := s.Read().GetAccount(late, newID(t))
		for name, err := range map[string]error{
			"Read":  err,
			"Write": s.Write(late, func(*db.Queries) error { return nil }),
		} {
			if !errors.Is(err, db.ErrUnavailable) {
				t.Errorf("%s: %v", name, err)
			}
		}
		insertAccount(t, s)
	})
}

func TestReadDoesNotWrite(t *testing.T) {
	t.Parallel()
	s := dbtest.Open(t, dbtest.SQLiteURL(t)) // PostgreSQL has no read-only mode outside a transaction
	if err := s.Read().DeleteSigningKey(t.Context(), "x"); err == nil {
		t.Error("a reader has written")
	}
}

func TestClosedStoreIsUnavailable(t *testing.T) {
	onBothURLs(t, func(t *testing.T, url string) {
		s := dbtest.Open(t, url)
		must(t, s.Close())
		_, read := s.Read().ListSigningKeys(t.Context())
		for name, err := range map[string]error{
			"Read":  read,
			"Write": s.Write(t.Context(), func(q *db.Queries) error { return q.DeleteSigningKey(t.Context(), "x") }),
			"InTx":  s.InTx(t.Context(), func(q *db.Queries) error { return q.DeleteSigningKey(t.Context(), "x") }),
			"Ping":  s.Ping(t.Context()),
		} {
			if !errors.Is(err, db.ErrUnavailable) {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}
