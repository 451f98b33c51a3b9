package db_test

import (
	"errors"
	"testing"

	"github.com/google/uuid"

	"github.com/financelime/authorization/db"
)

// A change and its audit event are committed together or not at all.
func TestWithAudit(t *testing.T) {
	onBoth(t, func(t *testing.T, s *db.Store) {
		a := insertAccount(t, s)
		var errEvent error
		audited := s.WithAudit(func() (db.InsertAuditEventParams, error) {
			return db.InsertAuditEventParams{ID: newID(t), Now: start, Operator: "root", Action: "session.inserted", Details: "{}"}, errEvent
		})
		change := func(store *db.Store, fnErr error) (id uuid.UUID, err error) {
			id = newID(t)
			return id, store.Write(t.Context(), func(q *db.Queries) error {
				return errors.Join(q.InsertSession(t.Context(), db.InsertSessionParams{ID: id, AccountID: a.ID, Now: start}), fnErr)
			})
		}
		expect := func(name string, id uuid.UUID, committed bool, events int64) {
			t.Helper()
			if got := exists(t, s, id); got != committed {
				t.Errorf("%s: committed: %v", name, got)
			}
			if n := countRows(t, s, "audit_event"); n != events {
				t.Errorf("%s: %d audit events, want %d", name, n, events)
			}
		}

		id, err := change(audited, nil)
		must(t, err)
		expect("a change", id, true, 1)
		errOwn := errors.New("own error")
		id, err = change(audited, errOwn)
		if !errors.Is(err, errOwn) {
			t.Errorf("a failed change: %v", err)
		}
		expect("a failed change", id, false, 1)
		errEvent = errOwn
		id, err = change(audited, nil)
		if !errors.Is(err, errOwn) {
			t.Errorf("a failed event: %v", err)
		}
		expect("a failed event", id, false, 1)
		id, err = change(s, nil)
		must(t, err)
		expect("a change without an audit", id, true, 1)
	})
}
