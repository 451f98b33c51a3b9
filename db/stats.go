package db

import "time"

// Stats are statistics of the connections. Counters begin at the start of the process.
type Stats struct {
	// Pool is PostgreSQL's pool, or SQLite's pool of readers.
	Pool PoolStats
	// Writer is the writer of SQLite, or nil on PostgreSQL.
	Writer *WriterStats
}

// PoolStats are statistics of a pool of connections.
type PoolStats struct {
	Max, InUse, Idle int
	WaitCount        int64 // how many acquisitions had to wait
	WaitDuration     time.Duration
}

// WriterStats are statistics of the goroutine that runs all writes of SQLite.
type WriterStats struct {
	Pending      int64 // transactions that are waiting or running
	Commits      int64 // each commits a group of transactions
	Transactions int64 // all that have ended, with or without an error
}

// Stats returns statistics of the connections. It sends no query.
func (s *Store) Stats() Stats {
	return s.engine.stats()
}

func (p *postgres) stats() Stats {
	s := p.pool.Stat()
	return Stats{Pool: PoolStats{
		Max: int(s.MaxConns()), InUse: int(s.AcquiredConns()), Idle: int(s.IdleConns()),
		WaitCount: s.EmptyAcquireCount(), WaitDuration: s.EmptyAcquireWaitTime(),
	}}
}

func (e *sqliteEngine) stats() Stats {
	s, w := e.readers.Stats(), e.writer
	return Stats{
		Pool: PoolStats{
			Max: s.MaxOpenConnections, InUse: s.InUse, Idle: s.Idle, WaitCount: s.WaitCount, WaitDuration: s.WaitDuration,
		},
		Writer: &WriterStats{Pending: w.pending.Load(), Commits: w.commits.Load(), Transactions: w.transactions.Load()},
	}
}
