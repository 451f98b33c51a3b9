package recovery_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/financelime/authorization/impl/recovery"
)

// run calls f as the users of the package do.
func run(f func() error) (err error) {
	defer recovery.ToError(&err)
	return f()
}

func TestToError(t *testing.T) {
	t.Parallel()
	defect := errors.New("a defect")
	if err := run(func() error { return nil }); err != nil {
		t.Errorf("no panic and no error: %v", err)
	}
	if err := run(func() error { return defect }); !errors.Is(err, defect) || recovery.IsPanic(err) {
		t.Errorf("an error without a panic: %v", err)
	}
	err := run(func() error { panic("a bug") })
	if !recovery.IsPanic(err) || !recovery.IsPanic(fmt.Errorf("job: %w", err)) {
		t.Errorf("a panic: %v", err)
	}
	if text := err.Error(); !strings.HasPrefix(text, "panic: a bug\n") || !strings.Contains(text, "recovery_test.go") {
		t.Errorf("the error must have the value and the stack: %s", text)
	}
	if err := run(func() error { panic(context.Canceled) }); errors.Is(err, context.Canceled) {
		t.Error("a panic with an error must not wrap it")
	}
}
