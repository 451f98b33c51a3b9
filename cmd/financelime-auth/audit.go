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

// record adds an audit event to each transaction that the store runs from now on, so a change and its event are committed together.
func (s *Settings) record(store *db.Store, e auditEvent) {
	operator := s.operator()
	store.Also(func(ctx context.Context, q *db.Queries) error {
		if e.details == nil {
			e.details = map[string]any{}
		}
		details, err := json.Marshal(e.details)
		if err != nil {
			return fmt.Errorf("audit event: %w", err)
		}
		id, err := uuid.NewV7()
		if err != nil {
			return fmt.Errorf("audit event: %w", err)
		}
		row := db.InsertAuditEventParams{
			ID: id, Now: clock.Clock(nil).Now(), Operator: operator, Action: e.action,
			AccountID: e.account, Details: string(details),
		}
		if e.subject != "" {
			row.Subject = &e.subject
		}
		if err := q.InsertAuditEvent(ctx, row); err != nil {
			return fmt.Errorf("audit event: %w", err)
		}
		return nil
	})
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
