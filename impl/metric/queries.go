package metric

import (
	"context"
	"sync"
	"time"

	"github.com/financelime/authorization/db"
)

const (
	// queryTimeout limits each query. A metric whose query takes longer is omitted from that scrape.
	queryTimeout = time.Second
	// cacheTTL is how long query results are reused, so that several Prometheus servers cost the database no more than one.
	cacheTTL = time.Second
	// exactCountMax is the greatest number of rows that is counted again after cacheTTL. Larger tables are counted every recountInterval.
	exactCountMax   = 10_000
	recountInterval = 10 * time.Minute
	// maxQueuedMails limits how many queued mails are counted.
	maxQueuedMails = 10_000
)

// queries reads metrics from the database.
type queries struct {
	store *db.Store
	now   func() time.Time

	mu     sync.Mutex // guards the fields below, and allows one scrape at a time to query the database
	last   results
	readAt time.Time
}

// results are the results of all queries.
type results struct {
	up                 bool
	queue              map[string]queueStats // by state; nil if unknown
	accounts, sessions rowCount
	skew               clockSkew
}

type clockSkew struct {
	known bool
	value time.Duration
}

type queueStats struct {
	mails int64
	age   time.Duration // of the oldest mail
}

type rowCount struct {
	known bool
	rows  int64
	at    time.Time
}

// results returns the results of all queries, at most cacheTTL old.
func (q *queries) results() results {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := q.now()
	if now.Sub(q.readAt) < cacheTTL {
		return q.last
	}
	q.readAt = now
	if q.last.up = q.ping(); !q.last.up { // the other queries would time out too
		q.last = results{}
		return q.last
	}
	q.last.queue = q.queue(now)
	q.last.skew = q.skew()
	q.last.accounts = count(now, q.last.accounts, q.store.CountAccounts)
	q.last.sessions = count(now, q.last.sessions, q.store.CountSessions)
	return q.last
}

func (q *queries) ping() bool {
	ctx, cancel := context.WithTimeout(context.Background(), queryTimeout)
	defer cancel()
	return q.store.Ping(ctx) == nil
}

// skew returns the clock skew. Its error is at most half of the query's duration, so at most half a second.
func (q *queries) skew() clockSkew {
	ctx, cancel := context.WithTimeout(context.Background(), queryTimeout)
	defer cancel()
	skew, known, err := q.store.ClockSkew(ctx, q.now)
	return clockSkew{known: known && err == nil, value: skew}
}

// queue returns the numbers of queued mails by state, or nil if they are unknown.
func (q *queries) queue(now time.Time) map[string]queueStats {
	ctx, cancel := context.WithTimeout(context.Background(), queryTimeout)
	defer cancel()
	rows, err := q.store.Read().MailQueueStats(ctx, db.MailQueueStatsParams{Now: now, MaxRows: maxQueuedMails})
	if err != nil {
		return nil
	}
	states := map[string]queueStats{"due": {}, "sending": {}, "retrying": {}}
	for _, r := range rows {
		states[r.State] = queueStats{mails: r.Mails, age: max(0, now.Sub(r.Oldest))}
	}
	return states
}

// count returns last if it is large and recent, and otherwise counts the rows again.
func count(now time.Time, last rowCount, rows func(context.Context) (int64, error)) rowCount {
	if last.known && last.rows >= exactCountMax && now.Sub(last.at) < recountInterval {
		return last
	}
	ctx, cancel := context.WithTimeout(context.Background(), queryTimeout)
	defer cancel()
	n, err := rows(ctx)
	return rowCount{known: err == nil, rows: n, at: now}
}
