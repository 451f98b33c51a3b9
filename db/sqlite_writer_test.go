package db_test

import (
	"context"
	"database/sql"
	"errors"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/test/dbtest"
)

// inSynctest runs a test of the writer in a synctest bubble, where synctest.Wait returns when all goroutines are blocked.
// other is a connection like that of another process.
func inSynctest(t *testing.T, test func(t *testing.T, s *db.Store, other *sql.DB)) {
	t.Helper()
	t.Parallel()
	path := filepath.Join(t.TempDir(), "auth.db")
	synctest.Test(t, func(t *testing.T) {
		s := dbtest.Open(t, "sqlite:"+path)
		other, err := sql.Open("sqlite", path)
		must(t, err)
		other.SetMaxOpenConns(1)
		defer func() { must(t, other.Close()) }()
		test(t, s, other)
	})
}

// blockWriter keeps the writer busy with a transaction until release is called. The transactions that arrive meanwhile are committed in the
// same group. release returns the error of the blocking transaction.
func blockWriter(t *testing.T, s *db.Store) (release func() error) {
	t.Helper()
	begun, end, ended := make(chan struct{}), make(chan struct{}), make(chan error)
	go func() {
		ended <- s.InTx(t.Context(), func(*db.Queries) error {
			close(begun)
			<-end
			return nil
		})
	}()
	<-begun
	return func() error {
		close(end)
		return <-ended
	}
}

// count runs a query that returns a number.
func count(t *testing.T, other *sql.DB, query string, args ...any) (n int) {
	t.Helper()
	if err := other.QueryRowContext(t.Context(), query, args...).Scan(&n); err != nil {
		t.Error(err)
	}
	return n
}

func TestGroupCommit(t *testing.T) {
	inSynctest(t, func(t *testing.T, s *db.Store, other *sql.DB) {
		a := insertAccount(t, s)
		release := blockWriter(t, s)
		var wg sync.WaitGroup
		acknowledged := make(chan uuid.UUID, 10)
		for range 10 {
			wg.Go(func() {
				id := newID(t)
				write(t, s, func(q *db.Queries) error {
					return q.InsertSession(t.Context(), db.InsertSessionParams{ID: id, AccountID: a.ID, Now: start})
				})
				if count(t, other, "SELECT count(*) FROM session WHERE id = ?", id[:]) != 1 {
					t.Error("acknowledged before another connection can see it")
				}
				acknowledged <- id
			})
		}
		synctest.Wait() // all ten are waiting for the writer

		// The last one in the queue runs after the others.
		wg.Go(func() {
			if err := s.InTx(t.Context(), func(q *db.Queries) error {
				list, err := q.ListSessions(t.Context(), db.ListSessionsParams{AccountID: a.ID})
				if len(list) != 10 {
					t.Errorf("ran after %d of the other transactions", len(list))
				}
				if n := count(t, other, "SELECT count(*) FROM session"); n != 0 {
					t.Errorf("%d transactions were committed before the group", n)
				}
				if len(acknowledged) != 0 {
					t.Errorf("%d transactions were acknowledged before the commit", len(acknowledged))
				}
				return err
			}); err != nil {
				t.Error(err)
			}
		})
		synctest.Wait()
		must(t, release())
		wg.Wait()
		if n := count(t, other, "SELECT count(*) FROM session"); n != 10 {
			t.Errorf("%d rows", n)
		}
	})
}

func TestGroupIsolatesFailures(t *testing.T) {
	inSynctest(t, func(t *testing.T, s *db.Store, other *sql.DB) {
		a := insertAccount(t, s)
		errOwn := errors.New("changed my mind")
		insert := func(q *db.Queries, account uuid.UUID) error {
			return q.InsertSession(t.Context(), db.InsertSessionParams{ID: newID(t), AccountID: account, Now: start})
		}
		release := blockWriter(t, s)
		var wg sync.WaitGroup
		for range 5 {
			wg.Go(func() {
				if err := s.InTx(t.Context(), func(q *db.Queries) error { return insert(q, a.ID) }); err != nil {
					t.Errorf("a transaction without an error: %v", err)
				}
			})
			wg.Go(func() {
				if err := s.InTx(t.Context(), func(q *db.Queries) error { return errors.Join(insert(q, a.ID), errOwn) }); !errors.Is(err, errOwn) {
					t.Errorf("a transaction with an error: %v", err)
				}
			})
			wg.Go(func() {
				err := s.InTx(t.Context(), func(q *db.Queries) error { return errors.Join(insert(q, a.ID), insert(q, newID(t))) })
				if !errors.Is(err, db.ErrConflict) {
					t.Errorf("a transaction that violates a constraint: %v", err)
				}
			})
			wg.Go(func() {
				defer func() {
					if recover() == nil {
						t.Error("a panic was lost")
					}
				}()
				_ = s.InTx(t.Context(), func(q *db.Queries) error { panic(insert(q, a.ID)) })
			})
			wg.Go(func() { // a single statement that fails
				if err := s.Write(t.Context(), func(q *db.Queries) error { return insert(q, newID(t)) }); !errors.Is(err, db.ErrConflict) {
					t.Errorf("a statement that violates a constraint: %v", err)
				}
			})
		}
		synctest.Wait()
		must(t, release())
		wg.Wait()
		if n := count(t, other, "SELECT count(*) FROM session"); n != 5 {
			t.Errorf("%d rows, want 5", n)
		}
	})
}

func TestGroupSizeIsLimited(t *testing.T) {
	inSynctest(t, func(t *testing.T, s *db.Store, other *sql.DB) {
		a := insertAccount(t, s)
		release := blockWriter(t, s)
		var wg sync.WaitGroup
		maxUncommitted := 0 // only the writer's goroutine uses it
		for range 3 * db.WriterMaxGroup {
			wg.Go(func() {
				if err := s.InTx(t.Context(), func(q *db.Queries) error {
					list, err := q.ListSessions(t.Context(), db.ListSessionsParams{AccountID: a.ID})
					if err != nil {
						return err
					}
					maxUncommitted = max(maxUncommitted, len(list)-count(t, other, "SELECT count(*) FROM session"))
					return q.InsertSession(t.Context(), db.InsertSessionParams{ID: newID(t), AccountID: a.ID, Now: start})
				}); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		must(t, release())
		wg.Wait()
		if maxUncommitted != db.WriterMaxGroup-1 {
			t.Errorf("up to %d other transactions in a group", maxUncommitted)
		}
	})
}

func TestWaitingCallerCanCancel(t *testing.T) {
	inSynctest(t, func(t *testing.T, s *db.Store, _ *sql.DB) {
		release := blockWriter(t, s)
		fail := func(*db.Queries) error {
			return errors.New("the transaction of a caller that had left was run")
		}
		leaving, leave := context.WithCancel(t.Context())
		left := make(chan error)
		go func() { left <- s.InTx(leaving, fail) }()
		synctest.Wait()
		leave()
		if err := <-left; !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled: %v", err)
		}
		late, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := s.Write(late, fail); !errors.Is(err, db.ErrUnavailable) {
			t.Errorf("waited until its deadline: %v", err)
		}
		must(t, release())
		insertAccount(t, s)
	})
}

func TestAbandonedTransactionDoesNotRun(t *testing.T) {
	t.Parallel()
	s := dbtest.Open(t, dbtest.SQLiteURL(t))
	db.SendAbandoned(s, func(*db.Queries) error {
		t.Error("the transaction of a caller that had left was run")
		return nil
	})
	insertAccount(t, s)
}

func TestStartedTransactionIsNotCancelled(t *testing.T) {
	inSynctest(t, func(t *testing.T, s *db.Store, other *sql.DB) {
		a := insertAccount(t, s)
		leaving, leave := context.WithCancel(t.Context())
		err := s.InTx(leaving, func(q *db.Queries) error {
			err := q.InsertSession(leaving, db.InsertSessionParams{ID: newID(t), AccountID: a.ID, Now: start})
			leave()
			synctest.Wait() // an early return of the caller would have happened by now
			return err
		})
		if err != nil {
			t.Errorf("committed, but the caller got: %v", err)
		}
		if n := count(t, other, "SELECT count(*) FROM session"); n != 1 {
			t.Errorf("%d rows", n)
		}
	})
}

func TestLostTransactionFailsWholeGroup(t *testing.T) {
	inSynctest(t, func(t *testing.T, s *db.Store, other *sql.DB) {
		a := insertAccount(t, s)
		release := blockWriter(t, s)
		var wg sync.WaitGroup
		wg.Go(func() { // succeeds, but a later transaction of the group loses everything
			if err := s.Write(t.Context(), func(q *db.Queries) error {
				return q.InsertSession(t.Context(), db.InsertSessionParams{ID: newID(t), AccountID: a.ID, Now: start})
			}); !errors.Is(err, db.ErrUnavailable) {
				t.Errorf("the first transaction: %v", err)
			}
		})
		synctest.Wait()
		wg.Go(func() { // reads the first one's row, so its result must not be reported
			if err := s.Write(t.Context(), func(q *db.Queries) error {
				_, err := q.DeleteAccountSessions(t.Context(), a.ID)
				return errors.Join(err, db.ErrNotFound)
			}); !errors.Is(err, db.ErrUnavailable) {
				t.Errorf("the second transaction: %v", err)
			}
		})
		synctest.Wait()
		wg.Go(func() { // a full disk
			if err := s.InTx(t.Context(), func(q *db.Queries) error {
				var pages int64
				if err := db.QueryRaw(t.Context(), q, "PRAGMA max_page_count = 1").Scan(&pages); err != nil {
					return err
				}
				err := q.InsertSession(t.Context(), db.InsertSessionParams{
					ID: newID(t), AccountID: a.ID, Platform: strings.Repeat("x", 1<<20), Now: start,
				})
				if !errors.Is(err, db.ErrUnavailable) {
					t.Errorf("the statement: %v", err)
				}
				// A caller that ignores the error must not be able to write.
				if err := q.InsertSession(t.Context(), db.InsertSessionParams{ID: newID(t), AccountID: a.ID, Now: start}); err == nil {
					t.Error("a statement ran outside of the transaction")
				}
				return nil
			}); !errors.Is(err, db.ErrUnavailable) {
				t.Errorf("the third transaction: %v", err)
			}
		})
		synctest.Wait()
		wg.Go(func() { // the first of the next group
			if err := s.Write(t.Context(), func(q *db.Queries) error {
				return q.InsertSession(t.Context(), db.InsertSessionParams{ID: newID(t), AccountID: a.ID, Platform: "after", Now: start})
			}); err != nil {
				t.Errorf("after the lost group: %v", err)
			}
		})
		synctest.Wait()
		if err := release(); !errors.Is(err, db.ErrUnavailable) {
			t.Errorf("the transaction without a write: %v", err)
		}
		wg.Wait()
		if n := count(t, other, "SELECT count(*) FROM session"); n != 1 {
			t.Errorf("%d rows", n)
		}
	})
}

func TestFailedCommitFailsWholeGroup(t *testing.T) {
	inSynctest(t, func(t *testing.T, s *db.Store, other *sql.DB) {
		a := insertAccount(t, s)
		var wg sync.WaitGroup
		begun, end := make(chan struct{}), make(chan struct{})
		wg.Go(func() {
			err := s.InTx(t.Context(), func(q *db.Queries) error {
				close(begun)
				<-end
				if _, err := db.ExecRaw(t.Context(), q, "PRAGMA defer_foreign_keys = on"); err != nil {
					return err
				}
				return q.InsertSession(t.Context(), db.InsertSessionParams{ID: newID(t), AccountID: newID(t), Now: start})
			})
			if !errors.Is(err, db.ErrConflict) {
				t.Errorf("the transaction that cannot be committed: %v", err)
			}
		})
		<-begun
		wg.Go(func() {
			if err := s.Write(t.Context(), func(q *db.Queries) error {
				return q.InsertSession(t.Context(), db.InsertSessionParams{ID: newID(t), AccountID: a.ID, Now: start})
			}); err == nil {
				t.Error("acknowledged without a commit")
			}
		})
		synctest.Wait()
		close(end)
		wg.Wait()
		if n := count(t, other, "SELECT count(*) FROM session"); n != 0 {
			t.Errorf("%d rows", n)
		}
		insertSession(t, s, a.ID)
	})
}

func TestCloseRunsWaitingTransactions(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "auth.db")
	synctest.Test(t, func(t *testing.T) {
		s, err := db.Open(t.Context(), "sqlite:"+path)
		must(t, err)
		must(t, s.Migrate(t.Context()))
		a := insertAccount(t, s)
		release := blockWriter(t, s)
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() {
				write(t, s, func(q *db.Queries) error {
					return q.InsertSession(t.Context(), db.InsertSessionParams{ID: newID(t), AccountID: a.ID, Now: start})
				})
			})
		}
		synctest.Wait()
		wg.Go(func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
		synctest.Wait()
		must(t, release())
		wg.Wait()
		must(t, s.Close()) // a second Close has no effect

		s = open(t, "sqlite:"+path)
		list, err := s.Read().ListSessions(t.Context(), db.ListSessionsParams{AccountID: a.ID})
		must(t, err)
		if len(list) != 100 {
			t.Errorf("%d rows", len(list))
		}
	})
}
