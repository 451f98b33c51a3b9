package db_test

import (
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/financelime/authorization/db"
)

func TestRaceConsumeConfirmation(t *testing.T) {
	onBoth(t, func(t *testing.T, s *db.Store) {
		for range raceRounds {
			a := insertPending(t, s, nil)
			write(t, s, func(q *db.Queries) error {
				return q.UpsertConfirmation(t.Context(), db.UpsertConfirmationParams{
					ID: uuid.New(), AccountID: a.ID, Purpose: "signup", KeyHash: a.ID[:], CreatedAt: start, ExpiresAt: start.Add(time.Hour),
				})
			})
			var succeeded atomic.Int64
			concurrently(16, func(int) {
				err := s.InTx(t.Context(), func(q *db.Queries) error {
					used, err := q.ConsumeConfirmation(t.Context(), db.ConsumeConfirmationParams{KeyHash: a.ID[:], Now: start})
					if err != nil {
						return err
					}
					_, err = q.ConfirmAccount(t.Context(), used.AccountID)
					return err
				})
				if err == nil {
					succeeded.Add(1)
				} else if !errors.Is(err, db.ErrNotFound) {
					t.Error(err)
				}
			})
			if succeeded.Load() != 1 {
				t.Fatalf("%d clicks on one link succeeded", succeeded.Load())
			}
		}
	})
}

func TestConsumeConfirmationConditions(t *testing.T) {
	onBoth(t, func(t *testing.T, s *db.Store) {
		a := insertPending(t, s, nil)
		put := func(purpose, key string, expires time.Time) {
			write(t, s, func(q *db.Queries) error {
				return q.UpsertConfirmation(t.Context(), db.UpsertConfirmationParams{
					ID: uuid.New(), AccountID: a.ID, Purpose: purpose, KeyHash: []byte(key), CreatedAt: start, ExpiresAt: expires,
				})
			})
		}
		use := func(key string, now time.Time) error {
			return s.Write(t.Context(), func(q *db.Queries) error {
				_, err := q.ConsumeConfirmation(t.Context(), db.ConsumeConfirmationParams{KeyHash: []byte(key), Now: now})
				return err
			})
		}
		put("password", "older", start.Add(time.Hour))
		put("signup", "other", start.Add(time.Hour))
		put("password", "newer", start.Add(time.Hour))
		if err := use("older", start); !errors.Is(err, db.ErrNotFound) {
			t.Errorf("a replaced link: %v", err)
		}
		if err := use("newer", start.Add(time.Hour)); !errors.Is(err, db.ErrNotFound) {
			t.Errorf("an expired link: %v", err)
		}
		must(t, use("newer", start.Add(time.Hour-time.Microsecond)))
		must(t, use("other", start))
	})
}
