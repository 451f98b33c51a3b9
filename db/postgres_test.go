package db_test

import (
	"errors"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/test/dbtest"
	"github.com/financelime/authorization/test/postgres"
)

func TestDeadlockIsRetried(t *testing.T) {
	t.Parallel()
	s := dbtest.Open(t, postgres.URL(t))
	a := insertAccount(t, s)
	one, two := insertSession(t, s, a.ID), insertSession(t, s, a.ID)
	var runs atomic.Int64
	var both sync.WaitGroup // done when both have locked their first row
	both.Add(2)
	concurrently(2, func(i int) {
		order := []uuid.UUID{one.ID, two.ID}
		if i == 1 {
			order[0], order[1] = order[1], order[0]
		}
		first := true
		if err := s.InTx(t.Context(), func(q *db.Queries) error {
			runs.Add(1)
			for n, id := range order {
				if _, err := db.ExecRaw(t.Context(), q, "UPDATE session SET generation = generation + 1 WHERE id = $1", id); err != nil {
					return errors.New("hidden") // the retry does not depend on the error of fn
				}
				if n == 0 && first {
					first = false
					both.Done()
					both.Wait()
				}
			}
			return nil
		}); err != nil {
			t.Error(err)
		}
	})
	if runs.Load() < 3 { // on a busy machine they can deadlock again
		t.Errorf("ran %d times: there was no deadlock", runs.Load())
	}
	for _, id := range []uuid.UUID{one.ID, two.ID} {
		got, err := s.Read().GetSession(t.Context(), id)
		must(t, err)
		if got.Generation != 3 {
			t.Errorf("%d of 2 updates were committed", got.Generation-1)
		}
	}
}

func TestRetriesAreLimited(t *testing.T) {
	t.Parallel()
	s := dbtest.Open(t, postgres.URL(t))
	runs := 0
	fail := func(q *db.Queries) error {
		runs++
		_, err := db.ExecRaw(t.Context(), q, "DO $$BEGIN RAISE SQLSTATE '40001'; END$$")
		return err
	}
	if err := s.InTx(t.Context(), fail); !errors.Is(err, db.ErrUnavailable) || runs != 3 {
		t.Errorf("InTx: %d runs, %v", runs, err)
	}
	runs = 0
	if err := s.Write(t.Context(), fail); !errors.Is(err, db.ErrUnavailable) || runs != 3 {
		t.Errorf("Write: %d runs, %v", runs, err)
	}
}

// A refresh must not change an indexed column: then PostgreSQL does a heap-only tuple (HOT) update, which is a third faster.
func TestRotateSessionIsHOTUpdate(t *testing.T) {
	t.Parallel()
	s := dbtest.Open(t, postgres.URL(t))
	session := insertSession(t, s, insertAccount(t, s).ID)
	must(t, s.InTx(t.Context(), func(q *db.Queries) error {
		for generation := range int64(5) {
			if _, err := q.RotateSession(t.Context(), db.RotateSessionParams{
				ID: session.ID, Generation: generation + 1, Now: start.Add(time.Duration(generation) * time.Hour),
				RemoteAddr: "2001:db8::" + strconv.FormatInt(generation, 10), CreatedAfter: start.AddDate(-1, 0, 0),
			}); err != nil {
				return err
			}
		}
		var updates, hot int64
		err := db.QueryRaw(t.Context(), q,
			"SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_xact_user_tables WHERE relname = 'session'").Scan(&updates, &hot)
		if updates != 5 || hot != 5 {
			t.Errorf("%d of %d refreshes were HOT updates", hot, updates)
		}
		return err
	}))
}

func TestTransactionSettings(t *testing.T) {
	t.Parallel()
	s := dbtest.Open(t, postgres.URL(t)+"&default_transaction_isolation=serializable")
	must(t, s.InTx(t.Context(), func(q *db.Queries) error {
		var level, idle string
		err := db.QueryRaw(t.Context(), q,
			"SELECT current_setting('transaction_isolation'), current_setting('idle_in_transaction_session_timeout')").Scan(&level, &idle)
		if level != "read committed" || idle != "15s" {
			t.Errorf("isolation %q, idle timeout %q", level, idle)
		}
		return err
	}))
}
