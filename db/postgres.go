package db

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"net"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgconn/ctxwatch"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/jackc/puddle/v2"
)

const (
	// postgresMaxConns is small, so that several replicas fit into PostgreSQL's default of 100 connections.
	postgresMaxConns       = 16
	postgresConnectTimeout = 5 * time.Second

	// cancelDelay is how long a statement may go on whose caller has left, before it is cancelled, and cancelTimeout before its
	// connection is closed.
	cancelDelay, cancelTimeout = 100 * time.Millisecond, 500 * time.Millisecond

	// postgresTries bounds how often a transaction runs that PostgreSQL chose as the victim of a deadlock.
	postgresTries = 3

	// The isolation level is said, because a server can have another default. A replica that vanishes from the
	// network must not hold its row locks until the server's TCP keep-alive notices.
	postgresBegin = "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL idle_in_transaction_session_timeout = '15s'"

	// postgresOurs asks for the version table where it would be made, not in all of the search_path.
	postgresOurs = "SELECT to_regclass(quote_ident(current_schema()) || '." + versionTable + "') IS NOT NULL"
	// postgresTables is what has the name of a table where ours would be made.
	postgresTables = `SELECT CAST(c.relname AS text) FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
		WHERE n.nspname = current_schema() AND c.relkind NOT IN ('i', 'I', 't')`
)

// errPostgresURL says nothing of the URL: where a URL is malformed, any part of it may be the password.
var errPostgresURL = errors.New("not a valid PostgreSQL URL: " +
	"check host, port and parameters, and percent-encode the special characters of user name and password")

// postgresConfig reads a URL, with bounds for what it leaves open.
func postgresConfig(url string) (*pgxpool.Config, error) {
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, postgresURLError(err)
	}
	conn := config.ConnConfig
	// An unescaped '/' in the password makes it part of the path, and errors would show the host that is left of it.
	if strings.Contains(conn.Database, "@") {
		return nil, errPostgresURL
	}
	bound := func(parameter string, set func()) {
		if !strings.Contains(url, parameter+"=") {
			set()
		}
	}
	bound("pool_max_conns", func() { config.MaxConns = postgresMaxConns })
	// Connections are replaced now and then, so that after a failover they find the new server.
	bound("pool_max_conn_lifetime", func() { config.MaxConnLifetime = 30 * time.Minute })
	bound("pool_max_conn_lifetime_jitter", func() { config.MaxConnLifetimeJitter = 5 * time.Minute })
	bound("pool_max_conn_idle_time", func() { config.MaxConnIdleTime = 5 * time.Minute })
	bound("pool_ping_timeout", func() { config.PingTimeout = 2 * time.Second })
	bound("connect_timeout", func() { conn.ConnectTimeout = postgresConnectTimeout })
	// Of several hosts the one that can be written to is wanted; of one, not the standby that it has become.
	bound("target_session_attrs", func() { conn.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsReadWrite })
	if conn.RuntimeParams["application_name"] == "" {
		conn.RuntimeParams["application_name"] = "financelime-auth"
	}
	// Where values go as text (default_query_exec_mode=exec, simple_protocol), the server reads and writes times as it is told to, and a
	// server, a database or a role can have been told something else. PgBouncer passes these on to each connection; IntervalStyle,
	// which it does not know, is not needed.
	for parameter, value := range map[string]string{"DateStyle": "ISO, MDY", "TimeZone": "UTC"} {
		maps.DeleteFunc(conn.RuntimeParams, func(name, _ string) bool { return strings.EqualFold(name, parameter) })
		conn.RuntimeParams[parameter] = value
	}
	// A caller who leaves does not cost a connection, as it does by pgx's default: most statements end by themselves in a moment, and
	// others are cancelled.
	conn.BuildContextWatcherHandler = func(c *pgconn.PgConn) ctxwatch.Handler {
		return &pgconn.CancelRequestContextWatcherHandler{Conn: c, CancelRequestDelay: cancelDelay, DeadlineDelay: cancelTimeout}
	}
	config.AfterConnect = func(_ context.Context, c *pgx.Conn) error {
		// pgx would give times in the zone of the machine.
		c.TypeMap().RegisterType(&pgtype.Type{
			Name: "timestamptz", OID: pgtype.TimestamptzOID, Codec: &pgtype.TimestamptzCodec{ScanLocation: time.UTC},
		})
		return nil
	}
	return config, nil
}

// postgresURLError says what is wrong with a URL, where that can be said without the URL: a file that it names cannot be read.
func postgresURLError(err error) error {
	if file, is := errors.AsType[*fs.PathError](err); is {
		return fmt.Errorf("a file that it names cannot be used: %w", file)
	}
	for _, about := range []string{"unable to add CA to cert pool", "failed to decode sslkey", "unable to load cert", "unable to decrypt"} {
		if strings.Contains(err.Error(), about) {
			return errors.New("a certificate or key that it names (sslrootcert, sslcert, sslkey) is not valid")
		}
	}
	return errPostgresURL
}

type postgres struct {
	pool   *pgxpool.Pool
	probed probe
}

func openPostgres(ctx context.Context, config *pgxpool.Config) (*postgres, error) {
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	return &postgres{pool: pool}, nil
}

func (p *postgres) name() string { return "postgres" }

func (p *postgres) reader() DBTX { return p.pool }

func (p *postgres) close() error {
	p.pool.Close()
	return nil
}

func (p *postgres) run(ctx context.Context, single bool, fn func(*Queries) error) error {
	attempt := p.transaction
	if single {
		attempt = p.statement
	}
	for try := 1; ; try++ {
		retry, err := attempt(ctx, fn)
		if err == nil {
			p.probed.wrote()
		}
		if !retry || try == postgresTries {
			return err
		}
		// A pause of unequal length, so that the parties of a deadlock do not meet again.
		jitter := rand.N(8 * time.Millisecond) //nolint:gosec // not a secret
		pause := time.NewTimer(time.Duration(try) * (2*time.Millisecond + jitter))
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return err
		}
	}
}

// statement runs a single statement straight on the pool: it is a transaction by itself, in one round trip.
func (p *postgres) statement(_ context.Context, fn func(*Queries) error) (retry bool, err error) {
	s := newScope(p.pool, p.translate, true)
	err = s.run(fn)
	return isDeadlock(s.failed), err
}

func (p *postgres) transaction(ctx context.Context, fn func(*Queries) error) (retry bool, err error) {
	begin, cancel := context.WithTimeout(ctx, statementTimeout)
	defer cancel()
	tx, err := p.pool.BeginTx(begin, pgx.TxOptions{BeginQuery: postgresBegin})
	if err != nil {
		return false, p.translate(fmt.Errorf("begin transaction: %w", cancelled(begin, err)))
	}
	committed := false
	defer func() { // also when fn panics
		if !committed {
			p.rollback(ctx, tx)
		}
	}()
	s := newScope(tx, p.translate, false)
	if err := s.run(fn); err != nil {
		return isDeadlock(s.failed), err
	}
	if err := inTime(ctx); err != nil {
		return false, err
	}
	// A commit is not given up half-way because the caller leaves: then nobody would know what became of it.
	detached, cancel := context.WithTimeout(context.WithoutCancel(ctx), statementTimeout)
	defer cancel()
	err = p.translate(tx.Commit(detached))
	committed = err == nil
	return isDeadlock(err), err
}

// rollback ends a transaction also when its context is over. An error means that the connection is lost, and the
// transaction with it.
func (p *postgres) rollback(ctx context.Context, tx pgx.Tx) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	_ = tx.Rollback(ctx)
}

func (p *postgres) version(ctx context.Context) (version int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, statementTimeout)
	defer cancel()
	var ours bool
	if err := p.pool.QueryRow(ctx, postgresOurs).Scan(&ours); err != nil {
		return 0, p.translate(err)
	}
	if ours {
		err = p.pool.QueryRow(ctx, latestVersion).Scan(&version)
		return version, p.translate(err)
	}
	db := stdlib.OpenDBFromPool(p.pool)
	defer db.Close() //nolint:errcheck // the pool lives on
	version, err = adopted(ctx, db, postgresTables)
	if _, foreign := errors.AsType[foreignTablesError](err); foreign {
		return 0, nil // whoever migrates is told
	}
	return version, p.translate(err)
}

// probe fails if the server does not commit. It updates a row, so it finds a server that became read-only, rights that were
// revoked and commits that wait for a standby that is gone. It does not find a full disk of the server while the server has
// room in the pages and log segments that exist: then new rows fail with 503, but refreshes and reads succeed. If replicas were
// not ready, those would fail too.
func (p *postgres) probe(ctx context.Context) error {
	return p.translate(p.probed.ask(ctx, p.writeRow))
}

// writeRow updates a row to its own values. Its time limit is short, so that a connection that was lost does not hide for long
// that the server is back.
func (p *postgres) writeRow(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, probeEvery)
	defer cancel()
	_, err := p.pool.Exec(ctx, "UPDATE "+versionTable+" SET is_applied = is_applied WHERE version_id = ("+latestVersion+")")
	return p.translate(err)
}

func (p *postgres) translate(err error) error {
	if isPooled(err) {
		return fmt.Errorf("%w (behind PgBouncer in transaction mode AUTH_DATABASE_URL needs default_query_exec_mode=exec: docs/database.md)", err)
	}
	if isReadOnly(err) {
		// The server became a standby and kept its connections, or something between kept them: no idle one of them
		// is of any use any more.
		p.pool.Reset()
	}
	return translate(err, judgePostgres)
}

// isPooled reports whether statements of one session have reached several connections of the server.
func isPooled(err error) bool {
	var server *pgconn.PgError
	return errors.As(err, &server) && (server.Code == "42P05" || server.Code == "26000") // duplicate, or unknown, prepared statement
}

// cancelled is the error of a context that ended, where the server only says that the statement was cancelled.
func cancelled(ctx context.Context, err error) error {
	var server *pgconn.PgError
	if ctx.Err() != nil && errors.As(err, &server) && server.Code == "57014" {
		return ctx.Err()
	}
	return err
}

func isReadOnly(err error) bool {
	var server *pgconn.PgError
	return errors.As(err, &server) && server.Code == "25006"
}

func isDeadlock(err error) bool {
	var server *pgconn.PgError
	return errors.As(err, &server) && (server.Code == "40001" || server.Code == "40P01")
}

// judgePostgres sorts errors by SQLSTATE (PostgreSQL documentation, appendix A).
func judgePostgres(err error) verdict {
	var (
		server  *pgconn.PgError
		connect *pgconn.ConnectError
		network net.Error
	)
	switch {
	case errors.As(err, &connect): // whatever the server said
		return unavailable
	case errors.As(err, &server):
		return judgeSQLState(server.Code)
	case errors.As(err, &network), // lost the connection
		errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed),
		errors.Is(err, pgconn.ErrConnClosed), errors.Is(err, puddle.ErrClosedPool),
		pgconn.SafeToRetry(err): // nothing was sent
		return unavailable
	}
	return other
}

func judgeSQLState(code string) verdict {
	switch code {
	case "23505", "23503", "23514": // unique, foreign key, check
		return conflict
	case "25006", // the server became a standby
		"25P03",          // idle in a transaction for too long
		"40001", "40P01", // serialization failure, deadlock: after the last try
		"55P03", "57014", // lock or statement time-out of the server
		"57P01", "57P02", "57P03", "57P04", "57P05": // shut down, crashed, starting, dropped, idle too long
		return unavailable
	}
	switch code[:min(2, len(code))] {
	case "08", "53", "58": // connection, out of resources (disk, memory, connections), input or output
		return unavailable
	}
	return other
}
