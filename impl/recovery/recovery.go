// Package recovery turns a panic into an error, so that a defect ends one request or one job and not the process (ASVS 16.5.4).
package recovery

import (
	"errors"
	"fmt"
	"runtime/debug"
)

// PanicError is the error that a panic became. It does not wrap the value: a panic with a cancelled context is a defect all the same.
type PanicError struct {
	Value any    // the argument of panic
	Stack []byte // the stack of the goroutine that panicked
}

// Error returns the value and the stack.
func (e *PanicError) Error() string { return fmt.Sprintf("panic: %v\n%s", e.Value, e.Stack) }

// ToError replaces *err with a PanicError if the function that deferred ToError panics. Defer it directly, because recover has no
// effect in a function that a deferred function calls:
//
//	defer recovery.ToError(&err)
func ToError(err *error) { //nolint:gocritic // a deferred function sets the result through its pointer
	if value := recover(); value != nil { //nolint:revive // ToError is the deferred function
		*err = &PanicError{Value: value, Stack: debug.Stack()}
	}
}

// IsPanic reports whether err was a panic.
func IsPanic(err error) bool {
	_, is := errors.AsType[*PanicError](err)
	return is
}
