package db

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgconn/ctxwatch"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"
)

const (
	// postgresMaxConns is small, so that several replicas fit into PostgreSQL's default of 100 connections.
	postgresMaxConns       = 16
	postgresConnectTimeout = 5 * time.Second

	// When a caller's context ends, its statement is cancelled after cancelDelay and its connection closed after cancelTimeout.
	cancelDelay, cancelTimeout = 100 * time.Millisecond, 500 * time.Millisecond
)

// errPostgresURL contains no part of the URL: in a malformed URL any part may be the password.
var errPostgresURL = errors.New("not a valid PostgreSQL URL: " +
	"check host, port and parameters, and percent-encode the special characters of user name and password")

// postgresConfig parses a URL and sets defaults for the parameters that it does not contain.
func postgresConfig(url string) (*pgxpool.Config, error) {
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, postgresURLError(err)
	}
	conn := config.ConnConfig
	// A password with an unescaped '/' becomes part of the path, and errors would show a part of it as the host.
	if strings.Contains(conn.Database, "@") {
		return nil, errPostgresURL
	}
	setDefault := func(parameter string, set func()) {
		if !strings.Contains(url, parameter+"=") {
			set()
		}
	}
	setDefault("pool_max_conns", func() { config.MaxConns = postgresMaxConns })
	// Connections are replaced regularly, so that they reach the new server after a failover.
	setDefault("pool_max_conn_lifetime", func() { config.MaxConnLifetime = 30 * time.Minute })
	setDefault("pool_max_conn_lifetime_jitter", func() { config.MaxConnLifetimeJitter = 5 * time.Minute })
	setDefault("pool_max_conn_idle_time", func() { config.MaxConnIdleTime = 5 * time.Minute })
	setDefault("pool_ping_timeout", func() { config.PingTimeout = 2 * time.Second })
	setDefault("connect_timeout", func() { conn.ConnectTimeout = postgresConnectTimeout })
	// With several hosts, connect to the one that accepts writes. With one host, refuse it after it has become a standby.
	setDefault("target_session_attrs", func() { conn.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsReadWrite })
	if conn.RuntimeParams["application_name"] == "" {
		conn.RuntimeParams["application_name"] = "financelime-auth"
	}
	// With default_query_exec_mode=exec or simple_protocol values are sent as text, and these parameters determine the format of times. The
	// server, the database or the role can have other values. PgBouncer sets these two on each of its connections. It does not support
	// IntervalStyle, which is not needed.
	for parameter, value := range map[string]string{"DateStyle": "ISO, MDY", "TimeZone": "UTC"} {
		maps.DeleteFunc(conn.RuntimeParams, func(name, _ string) bool { return strings.EqualFold(name, parameter) })
		conn.RuntimeParams[parameter] = value
	}
	// pgx's default closes the connection when the caller's context ends. Here most statements end by themselves within cancelDelay, and
	// the others are cancelled.
	conn.BuildContextWatcherHandler = func(c *pgconn.PgConn) ctxwatch.Handler {
		return &pgconn.CancelRequestContextWatcherHandler{Conn: c, CancelRequestDelay: cancelDelay, DeadlineDelay: cancelTimeout}
	}
	config.AfterConnect = func(_ context.Context, c *pgx.Conn) error {
		// By default pgx returns times in the local time zone.
		c.TypeMap().RegisterType(&pgtype.Type{
			Name: "timestamptz", OID: pgtype.TimestamptzOID, Codec: &pgtype.TimestamptzCodec{ScanLocation: time.UTC},
		})
		return nil
	}
	return config, nil
}

// postgresURLError replaces pgx's error, which contains the URL. It describes an error only if it concerns a file that the URL names.
func postgresURLError(err error) error {
	if fileErr, ok := errors.AsType[*fs.PathError](err); ok {
		return fmt.Errorf("a file that it names cannot be used: %w", fileErr)
	}
	for _, text := range []string{"unable to add CA to cert pool", "failed to decode sslkey", "unable to load cert", "unable to decrypt"} {
		if strings.Contains(err.Error(), text) {
			return errors.New("a certificate or key that it names (sslrootcert, sslcert, sslkey) is not valid")
		}
	}
	return errPostgresURL
}
