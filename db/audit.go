package db

import (
	"context"
	"fmt"
)

// WithAudit returns a Store on the same connections that also inserts an audit event in each of its transactions, after the statements of
// the caller: the change and its event are committed together or not at all. newEvent makes the event of one transaction. A Write becomes
// an InTx, so an error of its function rolls back. It is for commands. Close either of the two stores.
func (s *Store) WithAudit(newEvent func() (InsertAuditEventParams, error)) *Store {
	audited := *s
	audited.auditEvent = newEvent
	return &audited
}

// audited returns a function that calls fn and then inserts the audit event.
func (s *Store) audited(ctx context.Context, fn func(*Queries) error) func(*Queries) error {
	return func(q *Queries) error {
		if err := fn(q); err != nil {
			return err
		}
		event, err := s.auditEvent()
		if err == nil {
			err = q.InsertAuditEvent(ctx, event)
		}
		if err != nil {
			return fmt.Errorf("audit event: %w", err)
		}
		return nil
	}
}
