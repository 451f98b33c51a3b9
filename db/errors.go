package db

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// What a caller can tell apart. Every error of a [Store] and of its [Queries] that has one of these meanings
// is one of these under [errors.Is], whatever the engine; drivers' errors stop in this package.
var (
	// ErrNotFound means that the row does not exist, or that the guard of an update did not let it through.
	ErrNotFound = errors.New("not found")
	// ErrConflict means that the change would break a unique, foreign key or check constraint.
	ErrConflict = errors.New("conflict")
	// ErrUnavailable means that the database cannot answer at the moment. Such an error is an [*UnavailableError].
	// After a write it says nothing about what was written: the connection may have been lost during the commit.
	ErrUnavailable = errors.New("database unavailable")

	errClosed = &UnavailableError{Cause: errors.New("the store is closed")}
	errLate   = &UnavailableError{Cause: errors.New("the deadline passed before the database was asked")}
)

// UnavailableError is every [ErrUnavailable].
type UnavailableError struct {
	Cause error // for the log; it names no password and no URL
}

func (e *UnavailableError) Error() string { return "database unavailable: " + e.Cause.Error() }

// Unwrap gives the cause.
func (e *UnavailableError) Unwrap() error { return e.Cause }

// Is makes every UnavailableError an [ErrUnavailable].
func (e *UnavailableError) Is(target error) bool { return target == ErrUnavailable }

// RetryAfter tells how long a caller should wait before it tries again.
func (e *UnavailableError) RetryAfter() time.Duration { return time.Second }

// inTime tells whether there is still somebody to ask the database for.
func inTime(ctx context.Context) error {
	err := ctx.Err()
	if errors.Is(err, context.DeadlineExceeded) {
		return errLate
	}
	return err
}

// verdict is what a driver's error means.
type verdict int

const (
	other verdict = iota
	conflict
	unavailable
)

// translate turns a driver's error into one of this package's. judge knows the driver's codes.
func translate(err error, judge func(error) verdict) error {
	switch {
	case err == nil,
		errors.Is(err, ErrNotFound), errors.Is(err, ErrConflict), errors.Is(err, ErrUnavailable):
		return err
	case errors.Is(err, sql.ErrNoRows): // pgx.ErrNoRows is one too
		return ErrNotFound
	case errors.Is(err, context.Canceled): // the caller went away, which says nothing about the database
		return err
	case errors.Is(err, context.DeadlineExceeded): // the database did not answer while the caller had time
		return &UnavailableError{Cause: err}
	}
	switch judge(err) {
	case conflict:
		// Only the text: the driver's value also holds the offending row's values, which belong in no log.
		return fmt.Errorf("%w: %s", ErrConflict, err.Error())
	case unavailable:
		return &UnavailableError{Cause: err}
	default:
		return err
	}
}
