package dev_test

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/dev"
	"github.com/financelime/authorization/test/dbtest"
)

// TestClaim claims an empty database from several replicas at the same time, and expects it to be marked once and for good.
func TestClaim(t *testing.T) {
	t.Parallel()
	dbtest.EachEngine(t, func(t *testing.T, url string) {
		store := dbtest.Open(t, url)
		if err := dev.Refuse(t.Context(), store); err != nil {
			t.Errorf("an empty database: %v", err)
		}
		var replicas sync.WaitGroup
		for range 8 {
			replicas.Go(func() {
				if err := dev.Claim(t.Context(), store); err != nil {
					t.Error(err)
				}
			})
		}
		replicas.Wait()
		addInvite(t, store)
		if err := dev.Claim(t.Context(), store); err != nil {
			t.Errorf("a database that is claimed and used: %v", err)
		}
		if err := dev.Refuse(t.Context(), store); !errors.Is(err, dev.ErrClaimed) {
			t.Errorf("a claimed database: %v", err)
		}
		events, err := store.Read().ListAuditEvents(t.Context(), db.ListAuditEventsParams{Before: uuid.Max, MaxRows: 10})
		if err != nil || len(events) != 1 {
			t.Errorf("%d audit events: %v", len(events), err)
		}
	})
}

func addInvite(t *testing.T, store *db.Store) {
	t.Helper()
	now := time.Now().UTC().Truncate(time.Microsecond)
	err := store.Write(t.Context(), func(q *db.Queries) error {
		_, err := q.InsertInvite(t.Context(), db.InsertInviteParams{
			ID: uuid.Must(uuid.NewV7()), CodeHash: []byte("hash"), MaxUses: 1, CreatedAt: now, ExpiresAt: now,
		})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestClaimForeign expects Claim to refuse a database with any row that another service, or an operator, has written.
func TestClaimForeign(t *testing.T) {
	t.Parallel()
	now := time.Now().UTC().Truncate(time.Microsecond)
	id := uuid.Must(uuid.NewV7())
	for name, write := range map[string]func(t *testing.T, store *db.Store) error{
		"an expired invite": func(t *testing.T, store *db.Store) error {
			t.Helper()
			addInvite(t, store)
			return nil
		},
		"an account": func(t *testing.T, store *db.Store) error {
			t.Helper()
			return store.Write(t.Context(), func(q *db.Queries) error {
				_, err := q.InsertAccount(t.Context(), db.InsertAccountParams{ID: id, Email: "me@example.com", Language: "en", CreatedAt: now})
				return err
			})
		},
		"a signing key": func(t *testing.T, store *db.Store) error {
			t.Helper()
			return store.Write(t.Context(), func(q *db.Queries) error {
				_, err := q.InsertSigningKey(t.Context(), db.InsertSigningKeyParams{
					ID: "kid", Number: 1, Algorithm: "ES256", Sealed: []byte("sealed"), CreatedAt: now, ActiveAt: now,
				})
				return err
			})
		},
		"an audit event": func(t *testing.T, store *db.Store) error {
			t.Helper()
			return store.Write(t.Context(), func(q *db.Queries) error {
				return q.InsertAuditEvent(t.Context(), db.InsertAuditEventParams{ID: id, Now: now, Operator: "me", Action: "keys.abandoned", Details: "{}"})
			})
		},
	} {
		store := dbtest.Open(t, dbtest.SQLiteURL(t))
		if err := write(t, store); err != nil {
			t.Fatal(err)
		}
		if err := dev.Claim(t.Context(), store); !errors.Is(err, dev.ErrForeign) {
			t.Errorf("a database with %s: %v", name, err)
		}
		if err := dev.Refuse(t.Context(), store); err != nil {
			t.Errorf("a database with %s: %v", name, err)
		}
	}
}
