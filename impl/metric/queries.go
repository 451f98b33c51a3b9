package metric

import (
	"context"
	"sync"
	"time"

	"github.com/financelime/authorization/db"
)

const (
	queriesTimeout = time.Second
	// fresh is how long an answer of the database is good, so that any number of Prometheus servers cost it no more than one.
	fresh = time.Second
	// rarely is how often many rows are counted, and few is how many are not many.
	rarely = 10 * time.Minute
	few    = 10_000
	// mostMails is how many of the mails that are owed are looked at.
	mostMails = 10_000
)

// queries are the metrics that the database is asked for.
type queries struct {
	store *db.Store
	now   func() time.Time

	mu    sync.Mutex
	last  figures
	asked time.Time
}

type figures struct {
	up                 bool
	queue              map[string]queued // by state; nil if it is not known
	accounts, sessions counted
	skew               measured
}

type measured struct {
	known bool
	value time.Duration
}

type queued struct {
	mails int64
	age   time.Duration
}

type counted struct {
	known bool
	rows  int64
	at    time.Time
}

// figures asks the database for what has become old.
func (q *queries) figures() figures {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := q.now()
	if now.Sub(q.asked) < fresh {
		return q.last
	}
	q.asked = now
	if q.last.up = q.ping(); !q.last.up { // nothing else would be told in time
		q.last = figures{}
		return q.last
	}
	q.last.queue = q.queue(now)
	q.last.skew = q.skew()
	q.last.accounts = count(now, q.last.accounts, q.store.CountAccounts)
	q.last.sessions = count(now, q.last.sessions, q.store.CountSessions)
	return q.last
}

func (q *queries) ping() bool {
	ctx, cancel := context.WithTimeout(context.Background(), queriesTimeout)
	defer cancel()
	return q.store.Ping(ctx) == nil
}

// skew is known to half a second or better: an answer that takes longer than a second is none.
func (q *queries) skew() measured {
	ctx, cancel := context.WithTimeout(context.Background(), queriesTimeout)
	defer cancel()
	skew, known, err := q.store.ClockSkew(ctx, q.now)
	return measured{known: known && err == nil, value: skew}
}

func (q *queries) queue(now time.Time) map[string]queued {
	ctx, cancel := context.WithTimeout(context.Background(), queriesTimeout)
	defer cancel()
	rows, err := q.store.Read().MailQueueStats(ctx, db.MailQueueStatsParams{Now: now, MaxRows: mostMails})
	if err != nil {
		return nil
	}
	states := map[string]queued{"due": {}, "sending": {}, "retrying": {}}
	for _, r := range rows {
		states[r.State] = queued{mails: r.Mails, age: max(0, now.Sub(r.Oldest))}
	}
	return states
}

func count(now time.Time, last counted, rows func(context.Context) (int64, error)) counted {
	if last.known && last.rows >= few && now.Sub(last.at) < rarely {
		return last
	}
	ctx, cancel := context.WithTimeout(context.Background(), queriesTimeout)
	defer cancel()
	n, err := rows(ctx)
	return counted{known: err == nil, rows: n, at: now}
}
