package db

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// probeInterval is the shortest time between two writes of a probe, however often /readyz is requested.
const probeInterval = time.Second

// probe caches whether a database can be written to. Only a write shows that a file or a server became read-only, that a
// disk is full, that another process holds a lock, or that commits wait for a standby that is unavailable.
type probe struct {
	failed atomic.Bool // the last write failed, and none has succeeded since

	mu      sync.Mutex    // guards the fields below
	at      time.Time     // when the last write ended
	err     error         // its error
	running chan struct{} // closed when the current write has ended; nil if there is none
}

// check returns the result of a write that is at most probeInterval old. Concurrent callers share one write. It continues when they leave,
// so it must have its own time limit.
func (p *probe) check(ctx context.Context, write func(context.Context) error) error {
	p.mu.Lock()
	if since := time.Since(p.at); !p.at.IsZero() && since < probeInterval && (p.err == nil || p.failed.Load()) {
		defer p.mu.Unlock()
		return p.err
	}
	if p.running == nil {
		p.running = make(chan struct{})
		go p.run(context.WithoutCancel(ctx), write, p.running)
	}
	running := p.running
	p.mu.Unlock()
	select {
	case <-running:
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// run stores the result of a write and closes ended.
func (p *probe) run(ctx context.Context, write func(context.Context) error, ended chan struct{}) {
	err := write(ctx)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.at, p.err, p.running = time.Now(), err, nil
	p.failed.Store(err != nil)
	close(ended)
}

// recordWrite records that a write of the service succeeded, which replaces an older failure of the probe.
func (p *probe) recordWrite() {
	if p.failed.Load() {
		p.failed.Store(false)
	}
}
