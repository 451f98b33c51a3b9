package db_test

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/financelime/authorization/db"
)

func TestRaceLeaseMail(t *testing.T) {
	onBoth(t, func(t *testing.T, s *db.Store) {
		const mails = 8
		a := insertAccount(t, s)
		for i := range mails {
			insertMail(t, s, db.InsertMailParams{
				ID: newID(t), AccountID: a.ID, Kind: "password_link", Now: start.Add(time.Duration(i) * time.Second),
			})
		}
		now := start.Add(time.Hour)
		leased := make([]atomic.Int64, mails)
		concurrently(6, func(int) {
			due, err := s.Read().ListDueMails(t.Context(), db.ListDueMailsParams{Now: now, MaxRows: mails})
			if err != nil {
				t.Error(err)
			}
			for _, id := range due {
				m, err := lease(t, s, id, now)
				if err == nil {
					leased[m.CreatedAt.Sub(start)/time.Second].Add(1)
				} else if !errors.Is(err, db.ErrNotFound) { // another worker was faster
					t.Error(err)
				}
			}
		})
		for i := range leased {
			if n := leased[i].Load(); n != 1 {
				t.Errorf("mail %d was leased %d times", i, n)
			}
		}
	})
}

// lease leases a mail for a minute.
func lease(t *testing.T, s *db.Store, id uuid.UUID, now time.Time) (m db.Mail, err error) {
	t.Helper()
	err = s.Write(t.Context(), func(q *db.Queries) (err error) {
		m, err = q.LeaseMail(t.Context(), db.LeaseMailParams{ID: id, Now: now, LeaseUntil: now.Add(time.Minute)})
		return err
	})
	return m, err
}

func TestListDueMails(t *testing.T) {
	onBoth(t, func(t *testing.T, s *db.Store) {
		a := insertAccount(t, s)
		newer, older := newID(t), newID(t)
		insertMail(t, s, db.InsertMailParams{ID: newer, AccountID: a.ID, Kind: "password", Now: start.Add(time.Second)})
		insertMail(t, s, db.InsertMailParams{ID: older, AccountID: a.ID, Kind: "password", Now: start})
		expectDue(t, s, start, older)
		expectDue(t, s, start.Add(time.Second), older, newer)
		_, err := lease(t, s, older, start)
		must(t, err)
		expectDue(t, s, start.Add(time.Second), newer)
		expectDue(t, s, start.Add(time.Hour), newer, older) // the lease that expired became due after the newer mail
		dead, err := lease(t, s, newer, start.Add(time.Hour))
		must(t, err)
		if n := writeRows(t, s, func(q *db.Queries) (int64, error) { return leaseOf(dead).markDead(t.Context(), q) }); n != 1 {
			t.Errorf("%d mails marked dead", n)
		}
		expectDue(t, s, start.Add(2*time.Hour), older)
	})
}

func expectDue(t *testing.T, s *db.Store, now time.Time, want ...uuid.UUID) {
	t.Helper()
	due, err := s.Read().ListDueMails(t.Context(), db.ListDueMailsParams{Now: now, MaxRows: 10})
	must(t, err)
	if !slices.Equal(due, want) {
		t.Errorf("due are %v, want %v", due, want)
	}
}

// mailLease is what identifies the holder of a lease.
type mailLease struct {
	id       uuid.UUID
	attempts int64
	until    time.Time
}

func leaseOf(m db.Mail) mailLease { return mailLease{m.ID, m.Attempts, m.DueAt} }

func (l mailLease) markSent(ctx context.Context, q *db.Queries) (int64, error) {
	return q.MarkMailSent(ctx, db.MarkMailSentParams{ID: l.id, Attempts: l.attempts, LeaseUntil: l.until, Now: new(start)})
}

func (l mailLease) markDead(ctx context.Context, q *db.Queries) (int64, error) {
	return q.MarkMailDead(ctx, db.MarkMailDeadParams{
		ID: l.id, Attempts: l.attempts, LeaseUntil: l.until, Now: new(start), LastError: new("550 no"),
	})
}

func (l mailLease) reschedule(ctx context.Context, q *db.Queries) (int64, error) {
	return q.RescheduleMail(ctx, db.RescheduleMailParams{
		ID: l.id, Attempts: l.attempts, LeaseUntil: l.until, DueAt: start, LastError: new("451 later"),
	})
}

func (l mailLease) release(ctx context.Context, q *db.Queries) (int64, error) {
	return q.ReleaseMail(ctx, db.ReleaseMailParams{
		ID: l.id, Attempts: l.attempts, LeaseUntil: l.until, DueAt: start, LastError: new("421 not now"),
	})
}

func (l mailLease) setNumber(ctx context.Context, q *db.Queries) (int64, error) {
	return q.SetMailPasswordNumber(ctx, db.SetMailPasswordNumberParams{ID: l.id, Attempts: l.attempts, Number: 1})
}

// results are the queries that record the result of a lease, by name.
func (l mailLease) results() map[string]func(context.Context, *db.Queries) (int64, error) {
	return map[string]func(context.Context, *db.Queries) (int64, error){
		"MarkMailSent": l.markSent, "MarkMailDead": l.markDead, "RescheduleMail": l.reschedule, "ReleaseMail": l.release,
	}
}

// writeRows runs a query and returns how many rows it changed.
func writeRows(t *testing.T, s *db.Store, fn func(*db.Queries) (int64, error)) (n int64) {
	t.Helper()
	write(t, s, func(q *db.Queries) (err error) {
		n, err = fn(q)
		return err
	})
	return n
}

// expectLost checks that a worker whose lease was lost cannot record a result.
func expectLost(t *testing.T, s *db.Store, m db.Mail) {
	t.Helper()
	for name, query := range leaseOf(m).results() {
		if n := writeRows(t, s, func(q *db.Queries) (int64, error) { return query(t.Context(), q) }); n != 0 {
			t.Errorf("%s of a worker without the lease changed the mail", name)
		}
	}
}

// record runs a query that requires the lease of a mail and checks that it changed the mail.
func record(t *testing.T, s *db.Store, query func(context.Context, *db.Queries) (int64, error)) {
	t.Helper()
	if n := writeRows(t, s, func(q *db.Queries) (int64, error) { return query(t.Context(), q) }); n != 1 {
		t.Errorf("the holder of the lease changed %d mails", n)
	}
}

// onMail runs a test with a mail that is due at start.
func onMail(t *testing.T, test func(t *testing.T, s *db.Store, id uuid.UUID)) {
	t.Helper()
	onBoth(t, func(t *testing.T, s *db.Store) {
		id := newID(t)
		insertMail(t, s, db.InsertMailParams{ID: id, AccountID: insertAccount(t, s).ID, Kind: "password", Nonce: []byte("nonce"), Now: start})
		test(t, s, id)
	})
}

func TestLeaseMailConditions(t *testing.T) {
	onMail(t, func(t *testing.T, s *db.Store, id uuid.UUID) {
		if _, err := lease(t, s, id, start.Add(-time.Microsecond)); !errors.Is(err, db.ErrNotFound) {
			t.Errorf("a mail that is not due: %v", err)
		}
		_, err := lease(t, s, id, start)
		must(t, err)
		if _, err := lease(t, s, id, start); !errors.Is(err, db.ErrNotFound) {
			t.Errorf("a mail that is leased: %v", err)
		}
	})
}

// After a lease expired and another worker took the mail over, the first worker can change nothing.
func TestExpiredMailLease(t *testing.T) {
	onMail(t, func(t *testing.T, s *db.Store, id uuid.UUID) {
		first, err := lease(t, s, id, start)
		must(t, err)
		second, err := lease(t, s, id, start.Add(time.Hour))
		must(t, err)
		if second.Attempts != 2 || !second.DueAt.Equal(start.Add(time.Hour+time.Minute)) {
			t.Fatalf("the expired lease was not taken over: %+v", second)
		}
		expectLost(t, s, first)
		if n := writeRows(t, s, func(q *db.Queries) (int64, error) { return leaseOf(first).setNumber(t.Context(), q) }); n != 0 {
			t.Error("a worker without the lease set the number of the mail")
		}
		record(t, s, leaseOf(second).setNumber)
	})
}

// A released mail has as many attempts as before the lease, and the worker that released it has no lease any more.
func TestReleaseMail(t *testing.T) {
	onMail(t, func(t *testing.T, s *db.Store, id uuid.UUID) {
		first, err := lease(t, s, id, start)
		must(t, err)
		second, err := lease(t, s, id, start.Add(time.Hour))
		must(t, err)
		record(t, s, leaseOf(second).release)
		for _, m := range []db.Mail{first, second} {
			if n := writeRows(t, s, func(q *db.Queries) (int64, error) { return leaseOf(m).setNumber(t.Context(), q) }); n != 0 {
				t.Error("a mail without a lease got a number")
			}
		}
		third, err := lease(t, s, id, start.Add(90*time.Minute))
		must(t, err)
		if third.Attempts != 2 || third.LastError != nil {
			t.Errorf("leased again: %+v", third)
		}
		expectLost(t, s, second)
	})
}

func TestRescheduleAndSendMail(t *testing.T) {
	onMail(t, func(t *testing.T, s *db.Store, id uuid.UUID) {
		first, err := lease(t, s, id, start)
		must(t, err)
		record(t, s, leaseOf(first).reschedule)
		second, err := lease(t, s, id, start.Add(2*time.Hour))
		must(t, err)
		if second.Attempts != 2 {
			t.Errorf("second attempt: %+v", second)
		}
		record(t, s, leaseOf(second).markSent)
		expectLost(t, s, second) // the result is recorded once
		expectDue(t, s, start.Add(3*time.Hour))
		var nonces int64
		must(t, db.QueryRaw(t.Context(), s.Read(), "SELECT count(nonce) FROM mail WHERE id = $1", id).Scan(&nonces))
		if nonces != 0 {
			t.Error("the sent mail still has its nonce")
		}
	})
}
