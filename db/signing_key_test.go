package db_test

import (
	"sync/atomic"
	"testing"

	"github.com/financelime/authorization/db"
)

func TestRaceInsertSigningKey(t *testing.T) {
	onBoth(t, func(t *testing.T, s *db.Store) {
		for number := range int64(raceRounds) {
			var inserted atomic.Int64
			concurrently(8, func(int) {
				write(t, s, func(q *db.Queries) error {
					n, err := q.InsertSigningKey(t.Context(), db.InsertSigningKeyParams{
						ID: newID(t).String(), Number: number, Algorithm: "ES256", Sealed: []byte("s"), CreatedAt: start, ActiveAt: start,
					})
					inserted.Add(n)
					return err
				})
			})
			if inserted.Load() != 1 {
				t.Fatalf("%d keys with number %d", inserted.Load(), number)
			}
		}
		keys, err := s.Read().ListSigningKeys(t.Context())
		must(t, err)
		for i, key := range keys {
			if key.Number != int64(i) {
				t.Fatalf("key %d has number %d", i, key.Number)
			}
		}
		if len(keys) != raceRounds {
			t.Errorf("%d keys", len(keys))
		}
	})
}
