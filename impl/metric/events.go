package metric

import (
	"context"
	"log/slog"
	"strings"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// mostEvents bounds the names that are counted on their own. The service has a few dozen.
const mostEvents = 200

// Log returns a handler that counts the events that are logged, whatever the level of the log, and hands them on. An
// event's name is its message: two words or more with a dot between them. All else is counted as other; the line that each
// request has is not counted, because requests are.
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
		if !strings.Contains(event, ".") || strings.Contains(event, " ") || len(c.seen) == mostEvents {
			event = "other"
		} else {
			c.seen[event] = true
		}
	}
	c.mu.Unlock()
	c.events.WithLabelValues(event).Inc()
}
