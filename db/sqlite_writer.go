package db

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"sync/atomic"
)

// writerMaxGroup is the maximum number of transactions in one commit. It limits how long the first one waits.
const writerMaxGroup = 64

// writer runs the transactions of SQLite on the only connection that writes.
//
// A durable commit waits for the disk, which takes much longer than the transaction itself. So the transactions that are waiting run one
// after another, each in a savepoint, and are committed together (group commit). A caller gets the result of its transaction, also an
// error, only after that commit: its transaction may have read uncommitted changes of another one in the group.
type writer struct {
	pool      *sql.DB
	translate func(error) error
	queue     chan *job
	stop      chan struct{} // closed when no more jobs are accepted
	stopped   chan struct{} // closed when the goroutine has ended
	stopOnce  sync.Once

	// For [Store.Stats].
	pending, commits, transactions atomic.Int64

	// Only the goroutine uses these.
	conn  *sql.Conn // nil until it is needed, and after an error
	db    *sqliteDBTX
	group []*job
	ended bool
}

// job is one transaction, or one statement.
type job struct {
	ctx    context.Context
	single bool
	fn     func(*Queries) error

	state atomic.Int32 // jobWaiting, then jobRunning or jobAbandoned
	done  chan struct{}
	err   error
	panic *panicError
}

const (
	jobWaiting int32 = iota
	jobRunning
	jobAbandoned // the caller's context ended first
)

// panicError carries a panic from the writer's goroutine to the caller's goroutine.
type panicError struct {
	value any
	stack []byte
}

func (p *panicError) Error() string {
	return fmt.Sprintf("%v\n\nin a transaction, at:\n%s", p.value, p.stack)
}

// Unwrap returns the value of the panic if it is an error.
func (p *panicError) Unwrap() error {
	err, _ := p.value.(error)
	return err
}

var errGoexit = errors.New("the function of a transaction ended its goroutine")

func startWriter(pool *sql.DB, translate func(error) error) *writer {
	w := &writer{
		pool: pool, translate: translate,
		queue: make(chan *job), stop: make(chan struct{}), stopped: make(chan struct{}),
	}
	go w.loop()
	return w
}

// run passes a transaction to the writer and waits until it ends. If ctx ends before the transaction begins, run returns; a transaction
// that has begun is waited for.
func (w *writer) run(ctx context.Context, single bool, fn func(*Queries) error) error {
	j := &job{ctx: ctx, single: single, fn: fn, done: make(chan struct{})}
	w.pending.Add(1)
	defer w.pending.Add(-1)
	select {
	case <-w.stop:
		return errClosed
	default:
	}
	select {
	case w.queue <- j:
	case <-ctx.Done():
		return w.translate(ctx.Err())
	case <-w.stopped:
		return errClosed
	}
	select {
	case <-j.done:
	case <-ctx.Done():
		if j.state.CompareAndSwap(jobWaiting, jobAbandoned) {
			return w.translate(ctx.Err())
		}
		<-j.done
	}
	if j.panic != nil {
		panic(j.panic)
	}
	return j.err
}

// close runs the waiting transactions and ends the writer.
func (w *writer) close() error {
	w.stopOnce.Do(func() { close(w.stop) })
	<-w.stopped
	return w.pool.Close()
}

func (w *writer) loop() {
	defer func() {
		if !w.ended {
			// A transaction has called runtime.Goexit, as testing's FailNow does, which ends this goroutine. Start another.
			w.disconnect()
			w.finish(errGoexit)
			go w.loop()
		}
	}()
	for {
		select {
		case j := <-w.queue:
			w.commit(j)
			continue
		case <-w.stop:
		}
		for j := w.next(); j != nil; j = w.next() {
			w.commit(j)
		}
		w.disconnect()
		w.ended = true
		close(w.stopped)
		return
	}
}

// next returns a waiting job, or nil.
func (w *writer) next() *job {
	select {
	case j := <-w.queue:
		return j
	default:
		return nil
	}
}

// commit runs first, and the jobs that arrive meanwhile, in one transaction.
func (w *writer) commit(first *job) {
	err := w.begin()
	if err != nil {
		// The jobs that are waiting fail too: each would wait as long for the same error.
		for j := first; j != nil && len(w.group) < writerMaxGroup; j = w.next() {
			w.admit(j)
		}
		w.disconnect()
		w.finish(err)
		return
	}
	for j := first; j != nil; {
		if w.admit(j) {
			if err = w.runInSavepoint(j); err != nil {
				break
			}
		}
		j = nil
		if len(w.group) < writerMaxGroup {
			j = w.next()
		}
	}
	if err == nil {
		err = w.exec("COMMIT")
	}
	if err != nil {
		// The state of the connection is unknown. Closing it rolls back what is not committed.
		w.disconnect()
	}
	w.finish(err)
}

// admit adds a job to the group, unless its caller has abandoned it.
func (w *writer) admit(j *job) bool {
	if !j.state.CompareAndSwap(jobWaiting, jobRunning) {
		return false
	}
	w.group = append(w.group, j)
	return true
}

// finish returns the result to the callers of the group. An error is the result of all of them.
func (w *writer) finish(err error) {
	if err != nil {
		err = w.translate(err)
	}
	w.commits.Add(1)
	w.transactions.Add(int64(len(w.group)))
	for i, j := range w.group {
		if err != nil {
			j.err = err
		}
		close(j.done)
		w.group[i] = nil
	}
	w.group = w.group[:0]
}

// runInSavepoint runs one job in a savepoint and stores the job's own error in it. An error that it returns means that the whole
// transaction is lost: on a full disk, for example, SQLite rolls back everything, including the savepoints.
func (w *writer) runInSavepoint(j *job) error {
	if err := w.exec("SAVEPOINT job"); err != nil {
		return err
	}
	guard := newTxGuard(w.db, w.translate, j.single)
	j.call(guard)
	keep := j.err == nil && j.panic == nil
	if j.single {
		keep = guard.failed == nil // as on PostgreSQL, where the statement has been committed already
	}
	var err error
	if !keep {
		err = w.exec("ROLLBACK TO job")
	}
	if err == nil {
		err = w.exec("RELEASE job")
	}
	if err != nil && guard.failed != nil {
		return guard.failed // the reason why the savepoint does not exist any more
	}
	return err
}

// call runs the job's function and stores its panic for the caller.
func (j *job) call(guard *txGuard) {
	returned := false
	defer func() {
		if value := recover(); value != nil {
			j.panic = &panicError{value: value, stack: debug.Stack()}
		} else if !returned {
			j.err = errGoexit
		}
	}()
	j.err = guard.run(j.fn)
	returned = true
}

func (w *writer) begin() error {
	if w.conn == nil {
		conn, err := w.pool.Conn(context.Background())
		if err != nil {
			return err
		}
		w.conn, w.db = conn, &sqliteDBTX{db: conn, detached: true}
	}
	return w.exec("BEGIN IMMEDIATE")
}

// exec runs a statement of the writer itself. Its only timeout is SQLite's busy timeout: an interrupted statement would roll back the
// whole group.
func (w *writer) exec(query string) error {
	_, err := w.db.Exec(context.Background(), query)
	return err
}

// disconnect closes the connection, which rolls back what is not committed. The next group opens a new one.
func (w *writer) disconnect() {
	if w.conn == nil {
		return
	}
	_ = w.db.close()
	// The pool closes a connection that reports itself as bad.
	_ = w.conn.Raw(func(any) error { return driver.ErrBadConn })
	_ = w.conn.Close()
	w.conn, w.db = nil, nil
}
