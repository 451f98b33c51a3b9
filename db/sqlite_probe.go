package db

import (
	"context"
	"errors"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// probeEvery bounds how often a probe writes, however often somebody asks.
const probeEvery = time.Second

// probe is the last answer to the question whether an SQLite database can be written to.
type probe struct {
	failed atomic.Bool // so did the last one, and nobody has written since

	mu      sync.Mutex
	at      time.Time     // when the last one ended
	err     error         // how
	running chan struct{} // closed when the one under way has ended; nil while there is none
}

// probe writes a page and waits for the disk: a file that became read-only, a full disk or a lock that somebody holds do not show when
// one only reads. All who ask at once share an answer.
func (e *sqliteEngine) probe(ctx context.Context) error {
	p := &e.probed
	p.mu.Lock()
	if since := time.Since(p.at); !p.at.IsZero() && since < probeEvery && (p.err == nil || p.failed.Load()) {
		defer p.mu.Unlock()
		return p.err
	}
	if p.running == nil {
		p.running = make(chan struct{})
		go e.runProbe(context.WithoutCancel(ctx), p.running)
	}
	running := p.running
	p.mu.Unlock()
	select {
	case <-running:
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.err
	case <-ctx.Done():
		return e.translate(ctx.Err())
	}
}

func (e *sqliteEngine) runProbe(ctx context.Context, ended chan struct{}) {
	err := e.inPlace()
	if err == nil {
		// user_version means nothing to SQLite, and nothing to us: what counts is that the page is written.
		err = e.writer.run(ctx, true, func(q *Queries) error {
			_, err := q.db.Exec(ctx, "PRAGMA user_version = 1")
			return err
		})
	}
	p := &e.probed
	p.mu.Lock()
	defer p.mu.Unlock()
	p.at, p.err, p.running = time.Now(), err, nil
	p.failed.Store(err != nil)
	close(ended)
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
