package db

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// The errors that callers can distinguish with [errors.Is], on both engines. Every error of a [Store] and of its [Queries] with one of
// these meanings matches one of them.
var (
	// ErrNotFound means that the row does not exist, or that the condition of an update was not met.
	ErrNotFound = errors.New("not found")
	// ErrConflict means that the change would violate a unique, foreign key or check constraint.
	ErrConflict = errors.New("conflict")
	// ErrUnavailable means that the database cannot respond at the moment. Such an error is an [*UnavailableError].
	// After a write it does not say whether the write was committed: the connection may have been lost during the commit.
	ErrUnavailable = errors.New("database unavailable")

	errClosed         = &UnavailableError{Cause: errors.New("the store is closed")}
	errDeadlinePassed = &UnavailableError{Cause: errors.New("the deadline passed before the statement was sent")}
)

// UnavailableError has the cause of an [ErrUnavailable]. Every error that matches ErrUnavailable is an *UnavailableError.
type UnavailableError struct {
	Cause error // for the log; it contains no password and no URL
}

func (e *UnavailableError) Error() string { return "database unavailable: " + e.Cause.Error() }

// Unwrap returns the cause.
func (e *UnavailableError) Unwrap() error { return e.Cause }

// Is reports whether target is [ErrUnavailable].
func (e *UnavailableError) Is(target error) bool { return target == ErrUnavailable }

// RetryAfter returns how long a caller should wait before it tries again.
func (e *UnavailableError) RetryAfter() time.Duration { return time.Second }

// checkDeadline fails if ctx has ended. A deadline that has passed is an [ErrUnavailable].
func checkDeadline(ctx context.Context) error {
	err := ctx.Err()
	if errors.Is(err, context.DeadlineExceeded) {
		return errDeadlinePassed
	}
	return err
}

// errorClass is the meaning of a driver's error.
type errorClass int

const (
	classOther errorClass = iota
	classConflict
	classUnavailable
)

// translate converts a driver's error to an error of this package. classify is the function for the driver's error codes.
func translate(err error, classify func(error) errorClass) error {
	switch {
	case err == nil,
		errors.Is(err, ErrNotFound), errors.Is(err, ErrConflict), errors.Is(err, ErrUnavailable):
		return err
	case errors.Is(err, sql.ErrNoRows): // pgx.ErrNoRows matches it too
		return ErrNotFound
	case errors.Is(err, context.Canceled): // the caller cancelled: not an error of the database
		return err
	case errors.Is(err, context.DeadlineExceeded): // the database did not respond before the deadline
		return &UnavailableError{Cause: err}
	}
	switch classify(err) {
	case classConflict:
		// Only the text: the driver's error value also contains the values of the row, which must not be logged.
		return fmt.Errorf("%w: %s", ErrConflict, err.Error())
	case classUnavailable:
		return &UnavailableError{Cause: err}
	default:
		return err
	}
}
