package metric

import (
	"github.com/prometheus/client_golang/prometheus"
)

// reader is the collector of the metrics that are read at each scrape.
type reader struct {
	Sources
	queries *queries

	build, ready                                                          *prometheus.Desc
	hashSlots, hashBusy, hashQueueSize, hashWaiting, hashes, hashRefusals *prometheus.Desc
	relayUp, queueMails, queueAge                                         *prometheus.Desc
	keys, keySince, keyNext, keysRead, totpSecrets                        *prometheus.Desc
	up, pool, poolLimit, poolWaits, poolWaitSeconds                       *prometheus.Desc
	writerWaiting, writerCommits, writerTransactions                      *prometheus.Desc
	accounts, sessions, clockSkew                                         *prometheus.Desc
}

func newReader(s Sources) *reader {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(prometheus.BuildFQName(namespace, "", name), help, labels, nil)
	}
	return &reader{
		Sources: s,
		queries: &queries{store: s.Store, now: s.Now},

		build: desc("build_info", "Always 1. The labels have the version, the revision and the database engine.", "version", "revision", "engine"),
		ready: desc("ready", "1 while the service can handle requests, like /readyz; 0 while it stops or its database is unavailable."),

		hashSlots:     desc("password_hash_slots", "Maximum number of password hashes computed at the same time."),
		hashBusy:      desc("password_hash_slots_busy", "Password hashes being computed."),
		hashQueueSize: desc("password_hash_queue_places", "Maximum number of requests that wait for a hashing slot."),
		hashWaiting:   desc("password_hash_queue_depth", "Requests waiting for a hashing slot."),
		hashes:        desc("password_hashes_total", "Password hashes computed."),
		hashRefusals:  desc("password_hash_refusals_total", "Requests refused because the hashing queue was full."),

		relayUp:    desc("mail_relay_up", "1 while the mail relay (or the mail directory) accepts emails, otherwise 0."),
		queueMails: desc("mail_queue_mails", "Queued emails by state: due, sending (being sent) or retrying (waiting for the next attempt). Counted up to 10000.", "state"),
		queueAge:   desc("mail_queue_oldest_age_seconds", "Age of the oldest queued email in this state.", "state"),

		keys:     desc("signing_keys", "Published signing keys."),
		keySince: desc("signing_key_active_timestamp_seconds", "Time at which the current signing key began to sign."),
		keyNext:  desc("signing_key_rotation_timestamp_seconds", "Time at which the next signing key begins to sign."),
		keysRead: desc("signing_keys_read_timestamp_seconds", "Time at which this process last read the signing keys from the database."),

		totpSecrets: desc("totp_secrets_outdated", "TOTP secrets of users that AUTH_SECRET does not decrypt: previous (AUTH_SECRET_PREVIOUS does) or unreadable (neither does).", "state"),

		up:              desc("database_up", "1 if the database responds, is migrated and accepts writes, otherwise 0."),
		pool:            desc("database_pool_connections", "Connections of the PostgreSQL pool, or of the SQLite reader pool, by state.", "state"),
		poolLimit:       desc("database_pool_connections_limit", "Maximum number of connections in the pool."),
		poolWaits:       desc("database_pool_waits_total", "Number of waits for a connection."),
		poolWaitSeconds: desc("database_pool_wait_seconds_total", "Total time of the waits for a connection."),

		writerWaiting:      desc("database_writer_depth", "SQLite only: transactions that wait for the writer or are being written."),
		writerCommits:      desc("database_writer_commits_total", "SQLite only: commits. Each commits a group of transactions."),
		writerTransactions: desc("database_writer_transactions_total", "SQLite only: committed transactions."),

		clockSkew: desc("database_clock_skew_seconds",
			"PostgreSQL only: how far the clock of this replica is ahead of the database's clock; negative if it is behind."),

		accounts: desc("accounts", "Accounts, confirmed or not. Above 10000 counted every 10 minutes, on PostgreSQL from table statistics."),
		sessions: desc("sessions", "Sessions, including expired ones that are not deleted yet. Counted like accounts."),
	}
}

// Describe implements [prometheus.Collector].
func (r *reader) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		r.build, r.ready, r.hashSlots, r.hashBusy, r.hashQueueSize, r.hashWaiting, r.hashes, r.hashRefusals, r.relayUp, r.queueMails, r.queueAge,
		r.keys, r.keySince, r.keyNext, r.keysRead, r.totpSecrets, r.up, r.pool, r.poolLimit, r.poolWaits, r.poolWaitSeconds,
		r.writerWaiting, r.writerCommits, r.writerTransactions, r.accounts, r.sessions, r.clockSkew,
	} {
		out <- d
	}
}

// Collect implements [prometheus.Collector].
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
	gauge(r.hashQueueSize, float64(hashing.Queue))
	gauge(r.hashWaiting, float64(hashing.Waiting))
	counter(r.hashes, float64(hashing.Computed))
	counter(r.hashRefusals, float64(hashing.Refused))

	gauge(r.relayUp, number(!r.Mail.RelayDown()))

	keys := r.Keys.Status()
	gauge(r.keys, float64(keys.Keys))
	gauge(r.keySince, float64(keys.ActiveSince.Unix()))
	gauge(r.keyNext, float64(keys.NextAt.Unix()))
	gauge(r.keysRead, float64(keys.ReadAt.UnixMilli())/1000)

	if secrets, known := r.TOTP.Status(); known {
		gauge(r.totpSecrets, float64(secrets.Previous), "previous")
		gauge(r.totpSecrets, float64(secrets.Unreadable), "unreadable")
	}

	database := r.Store.Stats()
	gauge(r.pool, float64(database.Pool.InUse), "used")
	gauge(r.pool, float64(database.Pool.Idle), "idle")
	gauge(r.poolLimit, float64(database.Pool.Max))
	counter(r.poolWaits, float64(database.Pool.WaitCount))
	counter(r.poolWaitSeconds, database.Pool.WaitDuration.Seconds())
	if writer := database.Writer; writer != nil {
		gauge(r.writerWaiting, float64(writer.Pending))
		counter(r.writerCommits, float64(writer.Commits))
		counter(r.writerTransactions, float64(writer.Transactions))
	}
}

// collectQueries collects the results of the database queries. It omits those that are unknown.
func (r *reader) collectQueries(gauge func(*prometheus.Desc, float64, ...string)) {
	values := r.queries.results()
	gauge(r.up, number(values.up))
	for state, s := range values.queue {
		gauge(r.queueMails, float64(s.mails), state)
		gauge(r.queueAge, s.age.Seconds(), state)
	}
	if values.skew.known {
		gauge(r.clockSkew, values.skew.value.Seconds())
	}
	if values.accounts.known {
		gauge(r.accounts, float64(values.accounts.rows))
	}
	if values.sessions.known {
		gauge(r.sessions, float64(values.sessions.rows))
	}
}

func number(is bool) float64 {
	if is {
		return 1
	}
	return 0
}
