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

// writerGroup is the most transactions that are committed together. It bounds how long the first one waits.
const writerGroup = 64

// writer runs the transactions of SQLite, on the one connection that writes.
//
// A durable commit waits for the disk, which is far slower than the transaction itself. So the transactions that are
// waiting run one after another, each in a savepoint, and are committed together. No caller hears of its transaction,
// its failure included, before that commit: what it saw may have been another transaction's unfinished work.
type writer struct {
	pool      *sql.DB
	translate func(error) error
	queue     chan *job
	stop      chan struct{} // no more jobs
	stopped   chan struct{} // the goroutine has ended
	stopOnce  sync.Once

	// For [Store.Stats].
	waiting, groups, transactions atomic.Int64

	// Only the goroutine uses these.
	conn  *sql.Conn // nil until it is needed, and after trouble
	face  *sqliteFace
	group []*job
	ended bool
}

// job is one transaction, or one statement.
type job struct {
	ctx    context.Context
	single bool
	fn     func(*Queries) error

	state atomic.Int32 // waiting, then running or dropped
	done  chan struct{}
	err   error
	panic *panicError
}

const (
	waiting int32 = iota
	running
	dropped
)

// panicError carries a panic from the writer's goroutine to the caller's.
type panicError struct {
	value any
	stack []byte
}

func (p *panicError) Error() string {
	return fmt.Sprintf("%v\n\nin a transaction, at:\n%s", p.value, p.stack)
}

// Unwrap gives the value that was panicked with, if it is an error.
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

// run gives a transaction to the writer and waits for its end. A caller may leave while its transaction
// waits for its turn; one that has begun is waited for.
func (w *writer) run(ctx context.Context, single bool, fn func(*Queries) error) error {
	j := &job{ctx: ctx, single: single, fn: fn, done: make(chan struct{})}
	w.waiting.Add(1)
	defer w.waiting.Add(-1)
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
		if j.state.CompareAndSwap(waiting, dropped) {
			return w.translate(ctx.Err())
		}
		<-j.done
	}
	if j.panic != nil {
		panic(j.panic)
	}
	return j.err
}

// close finishes the waiting transactions and ends the writer.
func (w *writer) close() error {
	w.stopOnce.Do(func() { close(w.stop) })
	<-w.stopped
	return w.pool.Close()
}

func (w *writer) loop() {
	defer func() {
		if !w.ended {
			// A transaction has called runtime.Goexit, as testing's FailNow does. It takes this goroutine with it, but
			// not the writer.
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

// next returns a job that is waiting, nil if there is none.
func (w *writer) next() *job {
	select {
	case j := <-w.queue:
		return j
	default:
		return nil
	}
}

// commit runs first, and the jobs that wait meanwhile, in one transaction.
func (w *writer) commit(first *job) {
	err := w.begin()
	if err != nil {
		// Everybody who waits now would wait just as long, for the same answer.
		for j := first; j != nil && len(w.group) < writerGroup; j = w.next() {
			w.admit(j)
		}
		w.disconnect()
		w.finish(err)
		return
	}
	for j := first; j != nil; {
		if w.admit(j) {
			if err = w.member(j); err != nil {
				break
			}
		}
		j = nil
		if len(w.group) < writerGroup {
			j = w.next()
		}
	}
	if err == nil {
		err = w.exec("COMMIT")
	}
	if err != nil {
		// Nothing is known of the connection's state, except that closing it undoes what is not committed.
		w.disconnect()
	}
	w.finish(err)
}

// admit makes a job a member of the group, unless its caller has left.
func (w *writer) admit(j *job) bool {
	if !j.state.CompareAndSwap(waiting, running) {
		return false
	}
	w.group = append(w.group, j)
	return true
}

// finish tells the members of the group how it ended. An error is everybody's.
func (w *writer) finish(err error) {
	if err != nil {
		err = w.translate(err)
	}
	w.groups.Add(1)
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

// member runs one job in a savepoint. Its own failure is stored in the job; an error means that the whole
// transaction is lost: on a full disk, for one, SQLite rolls back everything, the savepoints included.
func (w *writer) member(j *job) error {
	if err := w.exec("SAVEPOINT member"); err != nil {
		return err
	}
	s := newScope(w.face, w.translate, j.single)
	j.call(s)
	keep := j.err == nil && j.panic == nil
	if j.single {
		keep = s.failed == nil // as on PostgreSQL, where the statement has committed itself
	}
	var err error
	if !keep {
		err = w.exec("ROLLBACK TO member")
	}
	if err == nil {
		err = w.exec("RELEASE member")
	}
	if err != nil && s.failed != nil {
		return s.failed // the reason why there is no savepoint any more
	}
	return err
}

// call runs the job's function and keeps its panic for the caller.
func (j *job) call(s *scope) {
	returned := false
	defer func() {
		if value := recover(); value != nil {
			j.panic = &panicError{value: value, stack: debug.Stack()}
		} else if !returned {
			j.err = errGoexit
		}
	}()
	j.err = s.run(j.fn)
	returned = true
}

func (w *writer) begin() error {
	if w.conn == nil {
		conn, err := w.pool.Conn(context.Background())
		if err != nil {
			return err
		}
		w.conn, w.face = conn, &sqliteFace{db: conn, detached: true}
	}
	return w.exec("BEGIN IMMEDIATE")
}

// exec runs a statement of the writer's own. It has no deadline but SQLite's busy time-out: an interrupted
// statement would roll back the whole group.
func (w *writer) exec(query string) error {
	_, err := w.face.Exec(context.Background(), query)
	return err
}

// disconnect closes the connection, which rolls back what is not committed. The next group opens another.
func (w *writer) disconnect() {
	if w.conn == nil {
		return
	}
	_ = w.face.close()
	// A connection that reports itself as bad is closed, not kept for reuse.
	_ = w.conn.Raw(func(any) error { return driver.ErrBadConn })
	_ = w.conn.Close()
	w.conn, w.face = nil, nil
}
