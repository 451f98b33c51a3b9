package db_test

import (
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/financelime/authorization/db"
)

func TestFirstIDAt(t *testing.T) {
	t.Parallel()
	before := time.Now()
	id := uuid.Must(uuid.NewV7())
	after := time.Now().Add(time.Millisecond)
	if a, b := db.FirstIDAt(before).String(), db.FirstIDAt(after).String(); a > id.String() || b <= id.String() {
		t.Errorf("%s is not between %s and %s", id, a, b)
	}
}
