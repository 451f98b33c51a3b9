package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"os/user"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/clock"
)

type audits struct {
	List auditList `cmd:"" help:"List changes made by operators, newest first."`
}

type auditList struct {
	paging
	JSON bool `name:"json" help:"Print JSON."`
}

// auditRow is an audit event in the list.
type auditRow struct {
	ID        uuid.UUID       `json:"id"`
	At        time.Time       `json:"at"`
	Operator  string          `json:"operator"`
	Action    string          `json:"action"`
	AccountID *uuid.UUID      `json:"accountID,omitempty"`
	Subject   *string         `json:"subject,omitempty"` // the ID of a session, an invite, an email or a key
	Details   json.RawMessage `json:"details"`
}

func (r auditRow) key() uuid.UUID { return r.ID }

func (r auditRow) cells(time.Time) []any {
	subject := "-"
	if r.Subject != nil {
		subject = *r.Subject
	}
	return []any{r.At, r.Operator, r.Action, r.AccountID, subject, string(r.Details), r.ID}
}

// Run lists audit events.
func (cmd *auditList) Run(ctx context.Context, s *Settings, c console) error {
	store, page, err := cmd.open(ctx, s)
	if err != nil {
		return err
	}
	defer store.Close() //nolint:errcheck // nothing was written
	found, err := store.Read().ListAuditEvents(ctx, db.ListAuditEventsParams{Before: page.Before(), MaxRows: page.Limit})
	if err != nil {
		return fmt.Errorf("audit list: %w", err)
	}
	rows := make([]auditRow, len(found))
	for i, f := range found {
		rows[i] = auditRow{
			ID: f.ID, At: f.CreatedAt.UTC(), Operator: f.Operator, Action: f.Action, AccountID: f.AccountID, Subject: f.Subject,
			Details: json.RawMessage(f.Details),
		}
	}
	return printList(c, cmd.JSON, cmd.paging, "AT|OPERATOR|ACTION|ACCOUNT|SUBJECT|DETAILS|ID", rows)
}

// auditEvent describes a change that a command is about to make.
type auditEvent struct {
	action  string
	account *uuid.UUID
	subject string
	details map[string]any
}

// withAudit returns the store for a change by a command: each of its transactions also inserts the audit event.
func (s *Settings) withAudit(store *db.Store, event auditEvent) *db.Store {
	return store.WithAudit(func() (db.InsertAuditEventParams, error) { return s.newAuditRow(event) })
}

// writeAudit inserts the audit event of a change that has been committed already.
func (s *Settings) writeAudit(ctx context.Context, store *db.Store, event auditEvent) error {
	row, err := s.newAuditRow(event)
	if err != nil {
		return err
	}
	err = store.Write(ctx, func(q *db.Queries) error { return q.InsertAuditEvent(ctx, row) })
	if err != nil {
		return fmt.Errorf("audit event: %w", err)
	}
	return nil
}

// newAuditRow returns the row of a new audit event.
func (s *Settings) newAuditRow(event auditEvent) (row db.InsertAuditEventParams, err error) {
	details := []byte("{}")
	if event.details != nil {
		if details, err = json.Marshal(event.details); err != nil {
			return row, fmt.Errorf("encode the details: %w", err)
		}
	}
	id, err := uuid.NewV7()
	if err != nil {
		return row, fmt.Errorf("make an ID: %w", err)
	}
	row = db.InsertAuditEventParams{
		ID: id, Now: clock.Clock(nil).Now(), Operator: s.operator(), Action: event.action,
		AccountID: event.account, Details: string(details),
	}
	if event.subject != "" {
		row.Subject = &event.subject
	}
	return row, nil
}

// newAudit returns a logger for changes by operators: one line for each change on standard error, in the format AUTH_LOG_FORMAT,
// whatever AUTH_LOG_LEVEL is. Each line contains the operator. Accounts are logged by ID.
func newAudit(s *Settings, c console) *slog.Logger {
	info := *s
	info.LogLevel = "info"
	return newLogger(&info, c.err).With(slog.String("operator", s.operator()))
}

// operator returns AUTH_OPERATOR, or else the user of the operating system; under sudo, the user who ran sudo.
func (s *Settings) operator() string {
	if s.Operator != "" {
		return s.Operator
	}
	for _, name := range []string{"SUDO_USER", "USER", "USERNAME"} {
		if value := os.Getenv(name); value != "" {
			return value
		}
	}
	if current, err := user.Current(); err == nil && current.Username != "" {
		return current.Username
	}
	return "uid " + strconv.Itoa(os.Getuid())
}
