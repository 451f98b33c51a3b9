package metric

import (
	"context"
	"log/slog"
	"strings"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// maxEventNames limits how many event names have their own counter. The service has a few dozen.
const maxEventNames = 200

// Log returns a handler that counts log events of level info and above, even those below the level of next, and passes records to next.
// The name of an event is its message, in which words are separated by dots. Other messages are counted as "other". The message
// "request" is not counted, because requests have their own metrics.
func (m *Metrics) Log(next slog.Handler) slog.Handler {
	return &eventCounter{next: next, counts: &eventCounts{events: m.events, seen: make(map[string]bool)}}
}

type eventCounter struct {
	next   slog.Handler
	counts *eventCounts
}

func (c *eventCounter) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelInfo || c.next.Enabled(ctx, level)
}

func (c *eventCounter) Handle(ctx context.Context, r slog.Record) error {
	if r.Level >= slog.LevelInfo && r.Message != "request" {
		c.counts.count(r.Message)
	}
	if !c.next.Enabled(ctx, r.Level) {
		return nil
	}
	return c.next.Handle(ctx, r)
}

func (c *eventCounter) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &eventCounter{next: c.next.WithAttrs(attrs), counts: c.counts}
}

func (c *eventCounter) WithGroup(name string) slog.Handler {
	return &eventCounter{next: c.next.WithGroup(name), counts: c.counts}
}

type eventCounts struct {
	events *prometheus.CounterVec
	mu     sync.Mutex
	seen   map[string]bool
}

func (c *eventCounts) count(event string) {
	c.mu.Lock()
	if !c.seen[event] {
		if !strings.Contains(event, ".") || strings.Contains(event, " ") || len(c.seen) == maxEventNames {
			event = "other"
		} else {
			c.seen[event] = true
		}
	}
	c.mu.Unlock()
	c.events.WithLabelValues(event).Inc()
}
