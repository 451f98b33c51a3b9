package db

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// probeEvery bounds how often a probe writes, however often /readyz is requested.
const probeEvery = time.Second

// probe caches whether a database can be written to. Only a write shows that a file or a server became read-only, that a
// disk is full, that another process holds a lock, or that commits wait for a standby that is gone.
type probe struct {
	failed atomic.Bool // the last write failed, and none has succeeded since

	mu      sync.Mutex
	at      time.Time     // when the last write ended
	err     error         // its error
	running chan struct{} // closed when the current write has ended; nil if there is none
}

// ask returns the error of a write that is at most probeEvery old. Concurrent callers share one write, which goes on if they
// leave; it must have a time limit of its own.
func (p *probe) ask(ctx context.Context, write func(context.Context) error) error {
	p.mu.Lock()
	if since := time.Since(p.at); !p.at.IsZero() && since < probeEvery && (p.err == nil || p.failed.Load()) {
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

func (p *probe) run(ctx context.Context, write func(context.Context) error, ended chan struct{}) {
	err := write(ctx)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.at, p.err, p.running = time.Now(), err, nil
	p.failed.Store(err != nil)
	close(ended)
}

// wrote records that a write of the service succeeded, so that an older failure of the probe does not count any more.
func (p *probe) wrote() {
	if p.failed.Load() {
		p.failed.Store(false)
	}
}
