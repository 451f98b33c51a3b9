package mail

import (
	"context"
	"encoding/binary"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/financelime/authorization/db"
)

// insertDone inserts mails that are sent or permanently failed now.
func (f *fixture) insertDone(t *testing.T, n int, sent bool) {
	t.Helper()
	account := f.account(t, uuid.NewString()+"@example.org", "en")
	for begin := 0; begin < n; begin += 500 {
		f.write(t, func(ctx context.Context, q *db.Queries) error {
			for i := begin; i < min(begin+500, n); i++ {
				now := f.Clock.Now()
				id := db.FirstIDAt(now) // with random bytes that make it unique
				other := uuid.New()
				copy(id[8:], other[8:])
				binary.BigEndian.PutUint16(id[6:], 0x7000|binary.BigEndian.Uint16(other[:])&0xfff)
				if err := q.InsertMail(ctx, db.InsertMailParams{
					ID: id, AccountID: account, Kind: KindPassword, RequestID: "request-0001", Now: now,
				}); err != nil {
					return err
				}
				m, err := q.LeaseMail(ctx, db.LeaseMailParams{ID: id, Now: now, LeaseUntil: now})
				if err != nil {
					return err
				}
				if sent {
					_, err = q.MarkMailSent(ctx, db.MarkMailSentParams{Now: &now, ID: id, Attempts: 1, LeaseUntil: m.DueAt})
				} else {
					_, err = q.MarkMailDead(ctx, db.MarkMailDeadParams{Now: &now, ID: id, Attempts: 1, LeaseUntil: m.DueAt})
				}
				if err != nil {
					return err
				}
			}
			return nil
		})
	}
}

// left counts the remaining rows.
func (f *fixture) left(t *testing.T) (queued, sent, dead int) {
	t.Helper()
	err := f.raw.QueryRowContext(t.Context(), `
		SELECT count(*), count(sent_at), count(dead_at) FROM mail`).Scan(&queued, &sent, &dead)
	if err != nil {
		t.Fatal(err)
	}
	return queued - sent - dead, sent, dead
}

func TestDeleteOld(t *testing.T) {
	onBothEngines(t, func(t *testing.T, f *fixture) {
		f.enqueuePassword(t, f.account(t, "jane@example.org", "en")) // never sent, and never deleted
		f.insertDone(t, 2*db.BatchRows+7, true)
		f.insertDone(t, 5, false)
		f.clock.Advance(time.Hour)
		f.insertDone(t, 3, true)
		f.insertDone(t, 3, false)
		start := f.Clock.Now()
		for _, c := range []struct {
			after      time.Duration
			sent, dead int
		}{
			{0, 2*db.BatchRows + 10, 8},
			{SentRetention - time.Hour, 2*db.BatchRows + 10, 8},
			{SentRetention - time.Hour + time.Millisecond, 3, 8},
			{SentRetention + time.Millisecond, 0, 8},
			{deadRetention - time.Hour, 0, 8},
			{deadRetention - time.Hour + time.Millisecond, 0, 3},
			{deadRetention + time.Millisecond, 0, 0},
		} {
			f.clock.Advance(start.Add(c.after).Sub(f.Clock.Now()))
			_, sentBefore, deadBefore := f.left(t)
			n, err := DeleteOld(t.Context(), f.Store, f.Clock.Now())
			if err != nil {
				t.Fatal(err)
			}
			queued, sent, dead := f.left(t)
			if queued != 1 || sent != c.sent || dead != c.dead || int(n) != sentBefore+deadBefore-sent-dead {
				t.Errorf("after %s: %d queued, %d sent and %d dead are left, %d deleted", c.after, queued, sent, dead, n)
			}
		}
	})
}

// Replicas can delete old mails at the same time.
func TestDeleteOldConcurrently(t *testing.T) {
	onBothEngines(t, func(t *testing.T, f *fixture) {
		const mails = 3*db.BatchRows + 1
		f.insertDone(t, mails, true)
		f.clock.Advance(SentRetention + time.Second)
		var all sync.WaitGroup
		counts := make([]int64, 4)
		failures := make([]error, len(counts))
		for i := range counts {
			all.Go(func() { counts[i], failures[i] = DeleteOld(t.Context(), f.Store, f.Clock.Now()) })
		}
		all.Wait()
		var sum int64
		for _, n := range counts {
			sum += n
		}
		if _, sent, _ := f.left(t); sent != 0 || sum != mails || errors.Join(failures...) != nil {
			t.Errorf("%d are left, %d deleted, %v", sent, sum, errors.Join(failures...))
		}
	})
}

// A run does not read a row twice: a row whose retention ends after the run has read it waits for the next run.
func TestDeleteOldHasCursor(t *testing.T) {
	onBothEngines(t, func(t *testing.T, f *fixture) {
		f.insertDone(t, 1, false) // permanently failed, with the longer retention
		f.clock.Advance(time.Second)
		f.insertDone(t, db.BatchRows+1, true)
		f.clock.Advance(SentRetention + time.Second)
		become := "UPDATE mail SET sent_at = dead_at, dead_at = NULL WHERE dead_at IS NOT NULL"
		trigger := []string{"CREATE TRIGGER later AFTER DELETE ON mail BEGIN " + become + "; END"}
		if f.Store.Engine() == "postgres" {
			trigger = []string{
				"CREATE FUNCTION later() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN " + become + "; RETURN NULL; END'",
				"CREATE TRIGGER later AFTER DELETE ON mail FOR EACH STATEMENT EXECUTE FUNCTION later()",
			}
		}
		for _, statement := range trigger {
			if _, err := f.raw.ExecContext(t.Context(), statement); err != nil {
				t.Fatal(err)
			}
		}
		for run, want := range []int64{db.BatchRows + 1, 1, 0} {
			if n, err := DeleteOld(t.Context(), f.Store, f.Clock.Now()); n != want || err != nil {
				t.Errorf("run %d deleted %d mails, want %d; %v", run, n, want, err)
			}
		}
	})
}
