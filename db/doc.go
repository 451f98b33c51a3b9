// Package db stores all state of the service in SQLite or PostgreSQL. Both engines have the same schema, the same queries and the same
// behaviour.
//
// # Queries
//
// sqlc generates [Queries] (*.gen.go) from queries/ and schema/, for PostgreSQL and pgx. On SQLite the same code runs over an adapter from
// [DBTX] to database/sql (sqlite_dbtx.go). All other differences between the engines are behind the interface engine, which [Store] uses.
//
// # Reads and writes
//
//   - [Store.Read] returns queries that run outside a transaction and only read. On SQLite a write fails there.
//   - [Store.Write] runs one statement as a transaction.
//   - [Store.InTx] runs several statements as a transaction.
//
// A transaction that PostgreSQL aborts because of a deadlock or a serialization failure runs again, so the function given to Write or InTx
// may be called more than once: it resets the variables that it captures and has no other side effects. A [Queries] value that is used after
// its transaction returns an error, and so does every statement after one that failed (txGuard). Every statement has a timeout of 10
// seconds, including the wait for a connection or a lock (boundedDBTX). PostgreSQL transactions are READ COMMITTED.
//
// # The single writer of SQLite
//
// SQLite allows one writer at a time, and a durable commit waits for the disk. So one goroutine owns the only connection that writes
// (sqlite_writer.go). It runs the waiting transactions in turn, each in a savepoint, and commits them together. Read uses a pool of
// read-only connections, which never wait for the writer.
//
// # Errors
//
// Drivers' errors do not leave this package unclassified. With [errors.Is] a caller can distinguish:
//
//   - [ErrNotFound]: no row, or the condition of an update was not met.
//   - [ErrConflict]: a unique, foreign key or check constraint was violated.
//   - [ErrUnavailable]: the database cannot respond at the moment; the caller may retry. A write that returns it may have been committed.
//   - [context.Canceled]: the caller cancelled.
//
// Any other error is a defect of the service or of its setup.
//
// # Migrations
//
// The binary embeds the migrations of schema/. [Store.Migrate] applies the missing ones under a lock, so replicas may start at the same
// time. [Open] does not migrate; [OpenMigrated] requires the schema of this program or a newer one. A database that is newer than the
// program stays as it is: the previous version must run on the new schema while replicas are replaced.
//
// # Files
//
// [Store.Backup], [Restore] and [CheckSQLite] copy SQLite files and find damage in them; [LockSQLite] allows one service per file. [Copy]
// moves everything from SQLite to PostgreSQL.
package db
