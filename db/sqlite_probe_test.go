package db_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/test/dbtest"
)

// Ping writes to SQLite. Concurrent calls share one write.
func TestPingWrites(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "auth.db")
	s := dbtest.Open(t, "sqlite:"+path)
	before := s.Stats().Writer.Transactions
	concurrently(50, func(int) {
		if err := s.Ping(t.Context()); err != nil {
			t.Error(err)
		}
	})
	if wrote := s.Stats().Writer.Transactions - before; wrote < 1 || wrote > 3 {
		t.Errorf("50 probes wrote %d times", wrote)
	}
	must(t, os.Rename(path, path+".away"))
	db.ExpireProbe(s)
	if err := s.Ping(context.Background()); !errors.Is(err, db.ErrUnavailable) {
		t.Errorf("the file was moved away: %v", err)
	}
	must(t, os.WriteFile(path, nil, 0o600))
	db.ExpireProbe(s)
	if err := s.Ping(context.Background()); !errors.Is(err, db.ErrUnavailable) {
		t.Errorf("the file was replaced: %v", err)
	}
	must(t, os.Rename(path+".away", path))
	db.ExpireProbe(s)
	must(t, s.Ping(context.Background()))
}
