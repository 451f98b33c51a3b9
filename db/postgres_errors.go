package db

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/puddle/v2"
)

func (p *postgres) translate(err error) error {
	if isPreparedElsewhere(err) {
		return fmt.Errorf("%w (behind PgBouncer in transaction mode, add default_query_exec_mode=exec to AUTH_DATABASE_URL: docs/database.md)", err)
	}
	if isReadOnly(err) {
		// The server has become a standby, but its connections, or those of a pooler, stay open. All idle ones are useless now.
		p.pool.Reset()
	}
	return translate(err, classifyPostgres)
}

// isPreparedElsewhere reports whether a pooler has sent the statements of one session to several connections of the server.
func isPreparedElsewhere(err error) bool {
	var server *pgconn.PgError
	return errors.As(err, &server) && (server.Code == "42P05" || server.Code == "26000") // duplicate, or unknown, prepared statement
}

// contextError returns the error of ctx if the server cancelled the statement because ctx has ended, and otherwise err.
func contextError(ctx context.Context, err error) error {
	var server *pgconn.PgError
	if ctx.Err() != nil && errors.As(err, &server) && server.Code == "57014" {
		return ctx.Err()
	}
	return err
}

// isReadOnly reports whether the server refused a write because it is a standby.
func isReadOnly(err error) bool {
	var server *pgconn.PgError
	return errors.As(err, &server) && server.Code == "25006"
}

// isDeadlock reports whether the server aborted a transaction because of a deadlock or a serialization failure.
func isDeadlock(err error) bool {
	var server *pgconn.PgError
	return errors.As(err, &server) && (server.Code == "40001" || server.Code == "40P01")
}

// classifyPostgres classifies an error by its SQLSTATE (PostgreSQL documentation, appendix A).
func classifyPostgres(err error) errorClass {
	var (
		server  *pgconn.PgError
		connect *pgconn.ConnectError
		network net.Error
	)
	switch {
	case errors.As(err, &connect): // whatever the SQLSTATE
		return classUnavailable
	case errors.As(err, &server):
		return classifySQLState(server.Code)
	case errors.As(err, &network), // the connection was lost
		errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed),
		errors.Is(err, pgconn.ErrConnClosed), errors.Is(err, puddle.ErrClosedPool),
		pgconn.SafeToRetry(err): // the statement was not sent
		return classUnavailable
	}
	return classOther
}

func classifySQLState(code string) errorClass {
	switch code {
	case "23505", "23503", "23514": // unique, foreign key, check
		return classConflict
	case "25006", // the server is a standby
		"25P03",          // idle in a transaction for too long
		"40001", "40P01", // serialization failure, deadlock: after the last attempt
		"55P03", "57014", // lock or statement timeout of the server
		"57P01", "57P02", "57P03", "57P04", "57P05": // shut down, crashed, starting, dropped, idle too long
		return classUnavailable
	}
	switch code[:min(2, len(code))] {
	case "08", "53", "58": // connection, out of resources (disk, memory, connections), input or output
		return classUnavailable
	}
	return classOther
}
