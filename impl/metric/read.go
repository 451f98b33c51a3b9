package metric

import (
	"github.com/prometheus/client_golang/prometheus"
)

// reader is the collector of what is read when somebody asks.
type reader struct {
	Sources
	queries *queries

	build, ready                                                    *prometheus.Desc
	hashSlots, hashBusy, hashPlaces, hashWaiting, hashed, hashTurns *prometheus.Desc
	relayUp, queueMails, queueAge                                   *prometheus.Desc
	keys, keySince, keyNext, keysRead                               *prometheus.Desc
	up, pool, poolMost, poolWaits, poolWaited                       *prometheus.Desc
	writerWaiting, writerCommits, writerTransactions                *prometheus.Desc
	accounts, sessions, clockSkew                                   *prometheus.Desc
}

func newReader(s Sources) *reader {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(prometheus.BuildFQName(namespace, "", name), help, labels, nil)
	}
	return &reader{
		Sources: s,
		queries: &queries{store: s.Store, now: s.Now},

		build: desc("build_info", "Always 1; the labels tell what is running.", "version", "revision", "engine"),
		ready: desc("ready", "1 while the service wants requests, as /readyz says; 0 while it stops or lacks its database."),

		hashSlots:   desc("password_hash_slots", "Password hashes that are computed at a time at the most."),
		hashBusy:    desc("password_hash_slots_busy", "Password hashes that are being computed."),
		hashPlaces:  desc("password_hash_queue_places", "Requests that may wait for a slot."),
		hashWaiting: desc("password_hash_queue_depth", "Requests that wait for a slot."),
		hashed:      desc("password_hashes_total", "Password hashes that were computed."),
		hashTurns:   desc("password_hash_refusals_total", "Requests that were refused because the queue was full."),

		relayUp:    desc("mail_relay_up", "0 while the mail relay, or the directory of mails, is in trouble."),
		queueMails: desc("mail_queue_mails", "Mails that are owed, counted up to 10000: due, being sent, or waiting to be tried again.", "state"),
		queueAge:   desc("mail_queue_oldest_age_seconds", "How long ago the oldest of them was caused.", "state"),

		keys:     desc("signing_keys", "Signing keys that are published."),
		keySince: desc("signing_key_active_timestamp_seconds", "Since when the signing key of access tokens signs."),
		keyNext:  desc("signing_key_rotation_timestamp_seconds", "When the next key is to sign."),
		keysRead: desc("signing_keys_read_timestamp_seconds", "When this process has read the keys from the database last."),

		up:         desc("database_up", "1 if the database answers, is migrated and can be written to."),
		pool:       desc("database_pool_connections", "Connections of PostgreSQL's pool, or of SQLite's pool of readers.", "state"),
		poolMost:   desc("database_pool_connections_limit", "Connections that the pool may have."),
		poolWaits:  desc("database_pool_waits_total", "Times that somebody had to wait for a connection."),
		poolWaited: desc("database_pool_wait_seconds_total", "How long they waited in all."),

		writerWaiting:      desc("database_writer_depth", "SQLite only: transactions that wait for the writer or are being written."),
		writerCommits:      desc("database_writer_commits_total", "SQLite only: commits, of a group of transactions each."),
		writerTransactions: desc("database_writer_transactions_total", "SQLite only: transactions in those groups."),

		clockSkew: desc("database_clock_skew_seconds",
			"PostgreSQL only: by how much this replica's clock is ahead of the database's; less than 0 if it is behind."),

		accounts: desc("accounts", "Accounts, confirmed or not. Above 10000 counted every 10 minutes, on PostgreSQL by its statistics."),
		sessions: desc("sessions", "Sessions, those included that have expired and are not removed yet. Counted like accounts."),
	}
}

// Describe is part of [prometheus.Collector].
func (r *reader) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		r.build, r.ready, r.hashSlots, r.hashBusy, r.hashPlaces, r.hashWaiting, r.hashed, r.hashTurns, r.relayUp, r.queueMails, r.queueAge,
		r.keys, r.keySince, r.keyNext, r.keysRead, r.up, r.pool, r.poolMost, r.poolWaits, r.poolWaited,
		r.writerWaiting, r.writerCommits, r.writerTransactions, r.accounts, r.sessions, r.clockSkew,
	} {
		out <- d
	}
}

// Collect is part of [prometheus.Collector].
func (r *reader) Collect(out chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	counter := func(d *prometheus.Desc, value float64) {
		out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, value)
	}
	r.collectQueries(gauge)
	gauge(r.build, 1, r.Version, r.Revision, r.Store.Engine())
	gauge(r.ready, number(r.Ready()))

	hashing := r.Hasher.Load()
	gauge(r.hashSlots, float64(hashing.Slots))
	gauge(r.hashBusy, float64(hashing.Busy))
	gauge(r.hashPlaces, float64(hashing.Queue))
	gauge(r.hashWaiting, float64(hashing.Waiting))
	counter(r.hashed, float64(hashing.Computed))
	counter(r.hashTurns, float64(hashing.Refused))

	gauge(r.relayUp, number(!r.Mail.RelayDown()))

	keys := r.Keys.Status()
	gauge(r.keys, float64(keys.Keys))
	gauge(r.keySince, float64(keys.ActiveSince.Unix()))
	gauge(r.keyNext, float64(keys.NextAt.Unix()))
	gauge(r.keysRead, float64(keys.ReadAt.UnixMilli())/1000)

	database := r.Store.Stats()
	gauge(r.pool, float64(database.Pool.Used), "used")
	gauge(r.pool, float64(database.Pool.Idle), "idle")
	gauge(r.poolMost, float64(database.Pool.Most))
	counter(r.poolWaits, float64(database.Pool.Waits))
	counter(r.poolWaited, database.Pool.Waited.Seconds())
	if writer := database.Writer; writer != nil {
		gauge(r.writerWaiting, float64(writer.Waiting))
		counter(r.writerCommits, float64(writer.Groups))
		counter(r.writerTransactions, float64(writer.Transactions))
	}
}

// collectQueries leaves out what the database does not tell in time.
func (r *reader) collectQueries(gauge func(*prometheus.Desc, float64, ...string)) {
	f := r.queries.figures()
	gauge(r.up, number(f.up))
	for state, s := range f.queue {
		gauge(r.queueMails, float64(s.mails), state)
		gauge(r.queueAge, s.age.Seconds(), state)
	}
	if f.skew.known {
		gauge(r.clockSkew, f.skew.value.Seconds())
	}
	if f.accounts.known {
		gauge(r.accounts, float64(f.accounts.rows))
	}
	if f.sessions.known {
		gauge(r.sessions, float64(f.sessions.rows))
	}
}

func number(is bool) float64 {
	if is {
		return 1
	}
	return 0
}
