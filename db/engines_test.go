package db_test

import (
	"os"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/test/dbtest"
)

// onBoth runs a storage test on both engines, each with a migrated database of its own.
func onBoth(t *testing.T, test func(t *testing.T, s *db.Store)) {
	t.Helper()
	onBothURLs(t, func(t *testing.T, url string) { test(t, dbtest.Open(t, url)) })
}

// onBothURLs runs a test on both engines with the URL of an empty database, which the test opens.
func onBothURLs(t *testing.T, test func(t *testing.T, url string)) {
	t.Helper()
	t.Parallel()
	dbtest.EachEngine(t, test)
}

func open(t testing.TB, url string) *db.Store {
	t.Helper()
	s, err := db.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

// start is the time of the tests' rows. It has microseconds, so that tests notice lost precision.
var start = time.Date(2031, time.March, 4, 5, 6, 7, 891234000, time.UTC)

func newID(t testing.TB) uuid.UUID {
	t.Helper()
	id, err := uuid.NewV7()
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// write runs a statement. It may be called from any goroutine.
func write(t testing.TB, s *db.Store, fn func(*db.Queries) error) {
	t.Helper()
	if err := s.Write(t.Context(), fn); err != nil {
		t.Error(err)
	}
}

// insertInvite inserts an invite with a number of uses that expires an hour after start.
func insertInvite(t testing.TB, s *db.Store, uses int64) (id uuid.UUID, codeHash []byte) {
	t.Helper()
	id = newID(t)
	codeHash = append([]byte("code"), id[:]...)
	write(t, s, func(q *db.Queries) error {
		_, err := q.InsertInvite(t.Context(), db.InsertInviteParams{
			ID: id, CodeHash: codeHash, MaxUses: uses, CreatedAt: start, ExpiresAt: start.Add(time.Hour),
		})
		return err
	})
	return id, codeHash
}

// insertPending inserts an unconfirmed account.
func insertPending(t testing.TB, s *db.Store, invite *uuid.UUID) db.Account {
	t.Helper()
	id, until := newID(t), start.Add(24*time.Hour)
	write(t, s, func(q *db.Queries) error {
		_, err := q.InsertAccount(t.Context(), db.InsertAccountParams{
			ID: id, Email: id.String() + "@example.com", Language: "en", InviteID: invite,
			CreatedAt: start, PendingUntil: &until,
		})
		return err
	})
	return account(t, s, id)
}

// insertAccount inserts a confirmed account.
func insertAccount(t testing.TB, s *db.Store) db.Account {
	t.Helper()
	id := insertPending(t, s, nil).ID
	write(t, s, func(q *db.Queries) error {
		_, err := q.ConfirmAccount(t.Context(), id)
		return err
	})
	return account(t, s, id)
}

// account reads an account.
func account(t testing.TB, s *db.Store, id uuid.UUID) db.Account {
	t.Helper()
	a, err := s.Read().GetAccount(t.Context(), id)
	must(t, err)
	return a
}

func insertSession(t testing.TB, s *db.Store, account uuid.UUID) db.Session {
	t.Helper()
	id := newID(t)
	write(t, s, func(q *db.Queries) error {
		return q.InsertSession(t.Context(), db.InsertSessionParams{
			ID: id, AccountID: account, ClientID: "web", Platform: "Firefox", RemoteAddr: "192.0.2.1", Now: start,
		})
	})
	session, err := s.Read().GetSession(t.Context(), id)
	must(t, err)
	return session
}

func insertMail(t testing.TB, s *db.Store, arg db.InsertMailParams) {
	t.Helper()
	if arg.DueAt.IsZero() {
		arg.DueAt = arg.Now
	}
	write(t, s, func(q *db.Queries) error { return q.InsertMail(t.Context(), arg) })
}

// concurrently starts n calls of fn at the same time and waits for them.
func concurrently(n int, fn func(i int)) {
	var ready, done sync.WaitGroup
	begin := make(chan struct{})
	ready.Add(n)
	for i := range n {
		done.Go(func() {
			ready.Done()
			<-begin
			fn(i)
		})
	}
	ready.Wait()
	close(begin)
	done.Wait()
}

// requirePrivate checks that a file has mode 0600.
func requirePrivate(t testing.TB, path string) {
	t.Helper()
	info, err := os.Stat(path)
	must(t, err)
	if info.Mode().Perm() != 0o600 {
		t.Errorf("%s has mode %v", path, info.Mode())
	}
}

func writeFile(t testing.TB, path, text string) {
	t.Helper()
	must(t, os.WriteFile(path, []byte(text), 0o600))
}
