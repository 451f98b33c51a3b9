package db_test

import (
	"errors"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/test/dbtest"
)

// raceRounds is how often each race test repeats its race.
const raceRounds = 10

func TestRaceRotateSession(t *testing.T) {
	onBoth(t, func(t *testing.T, s *db.Store) {
		session := insertSession(t, s, insertAccount(t, s).ID)
		for round := range int64(raceRounds) {
			generation := round + 1
			var succeeded atomic.Int64
			concurrently(50, func(int) {
				var got db.Session
				err := s.Write(t.Context(), func(q *db.Queries) (err error) {
					got, err = q.RotateSession(t.Context(), db.RotateSessionParams{
						ID: session.ID, Generation: generation, Now: start.Add(time.Hour), CreatedAfter: start.Add(-time.Second),
					})
					return err
				})
				switch {
				case err == nil && got.Generation == generation+1:
					succeeded.Add(1)
				case !errors.Is(err, db.ErrNotFound):
					t.Errorf("generation %d, error %v", got.Generation, err)
				}
			})
			if succeeded.Load() != 1 {
				t.Fatalf("%d refreshes with one token succeeded", succeeded.Load())
			}
		}
	})
}

func TestRotateSessionConditions(t *testing.T) {
	onBoth(t, func(t *testing.T, s *db.Store) {
		session := insertSession(t, s, insertAccount(t, s).ID)
		rotate := func(generation int64, createdAfter time.Time) error {
			return s.Write(t.Context(), func(q *db.Queries) error {
				_, err := q.RotateSession(t.Context(), db.RotateSessionParams{
					ID: session.ID, Generation: generation, Now: start, CreatedAfter: createdAfter,
				})
				return err
			})
		}
		if err := rotate(1, start); !errors.Is(err, db.ErrNotFound) {
			t.Errorf("past its maximum age: %v", err)
		}
		if err := rotate(2, start.Add(-time.Second)); !errors.Is(err, db.ErrNotFound) {
			t.Errorf("a future generation: %v", err)
		}
		must(t, rotate(1, start.Add(-time.Microsecond)))
		if err := rotate(1, start.Add(-time.Second)); !errors.Is(err, db.ErrNotFound) {
			t.Errorf("a past generation: %v", err)
		}
	})
}

// A replica whose clock is behind does not set refreshed_at back. A time that is far ahead is overwritten by any time.
func TestRotateSessionWithClockSkew(t *testing.T) {
	onBoth(t, func(t *testing.T, s *db.Store) {
		session := insertSession(t, s, insertAccount(t, s).ID)
		now := session.RefreshedAt
		for _, step := range []struct{ clock, want time.Duration }{
			{time.Hour, time.Hour},
			{time.Hour - 10*time.Minute, time.Hour},
			{0, time.Hour}, // the maximum that is not too far ahead
			{-time.Microsecond, -time.Microsecond},
			{time.Second, time.Second},
		} {
			write(t, s, func(q *db.Queries) (err error) {
				clock := now.Add(step.clock)
				session, err = q.RotateSession(t.Context(), db.RotateSessionParams{
					ID: session.ID, Generation: session.Generation, Now: clock, FarAhead: clock.Add(time.Hour), CreatedAfter: now.AddDate(-1, 0, 0),
				})
				return err
			})
			if want := now.Add(step.want); !session.RefreshedAt.Equal(want) {
				t.Errorf("want refreshed_at %s with the clock at %s, got %s", want, now.Add(step.clock), session.RefreshedAt)
			}
		}
	})
}

// An account never has more than the maximum number of sessions after a login (ASVS 7.1.2).
func TestDeleteExcessSessions(t *testing.T) {
	const maxSessions = 100
	logins := 1000
	if os.Getenv("FINANCELIME_FULL") != "" {
		logins = 10_000
	}
	onBothURLs(t, func(t *testing.T, url string) {
		s := dbtest.Open(t, url)
		a, other := insertAccount(t, s), insertAccount(t, s)
		begin := func(q *db.Queries, account db.Account, i int) error {
			id := newID(t)
			err := q.InsertSession(t.Context(), db.InsertSessionParams{
				ID: id, AccountID: account.ID, Now: start.Add(time.Duration(i) * time.Second)})
			if err != nil {
				return err
			}
			_, err = q.DeleteExcessSessions(t.Context(), db.DeleteExcessSessionsParams{AccountID: account.ID, Keep: id, MaxOthers: maxSessions - 1})
			return err
		}
		must(t, s.InTx(t.Context(), func(q *db.Queries) error { return begin(q, other, 0) }))
		for done := 0; done < logins; done += 100 {
			must(t, s.InTx(t.Context(), func(q *db.Queries) error {
				for i := range 100 {
					if err := begin(q, a, done+i); err != nil {
						return err
					}
				}
				return nil
			}))
			if n := countRows(t, s, "session"); n != min(int64(done)+100, maxSessions)+1 {
				t.Fatalf("%d sessions after %d logins", n, done+100)
			}
		}
		left, err := s.Read().ListSessions(t.Context(), db.ListSessionsParams{AccountID: a.ID})
		must(t, err)
		if oldest := left[len(left)-1].RefreshedAt; !oldest.Equal(start.Add(time.Duration(logins-maxSessions) * time.Second)) {
			t.Errorf("the oldest remaining session began at %s", oldest)
		}
	})
}
