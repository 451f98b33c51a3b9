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
	List auditList `cmd:"" help:"List what operators have changed, the newest first."`
}

type auditList struct {
	paging
	JSON bool `name:"json" help:"Print JSON."`
}

// auditRow is an audit event as the list shows it.
type auditRow struct {
	ID        uuid.UUID       `json:"id"`
	At        time.Time       `json:"at"`
	Operator  string          `json:"operator"`
	Action    string          `json:"action"`
	AccountID *uuid.UUID      `json:"accountID,omitempty"`
	Subject   *string         `json:"subject,omitempty"` // the id of a session, an invite, a mail or a key
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
	defer store.Close() //nolint:errcheck // only read
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

// recorded is what a command is about to change.
type recorded struct {
	action  string
	account *uuid.UUID
	subject string
	details map[string]any
}

// record lets each transaction of a command write the audit event of what it changes.
func (s *Settings) record(store *db.Store, what recorded) {
	operator := s.operator()
	store.Also(func(ctx context.Context, q *db.Queries) error {
		if what.details == nil {
			what.details = map[string]any{}
		}
		details, err := json.Marshal(what.details)
		if err != nil {
			return fmt.Errorf("audit event: %w", err)
		}
		id, err := uuid.NewV7()
		if err != nil {
			return fmt.Errorf("audit event: %w", err)
		}
		event := db.InsertAuditEventParams{
			ID: id, Now: clock.Clock(nil).Now(), Operator: operator, Action: what.action,
			AccountID: what.account, Details: string(details),
		}
		if what.subject != "" {
			event.Subject = &what.subject
		}
		if err := q.InsertAuditEvent(ctx, event); err != nil {
			return fmt.Errorf("audit event: %w", err)
		}
		return nil
	})
}

// newAudit is the log of what operators do: one line for each change, to standard error, in the format of the service's log
// (AUTH_LOG_FORMAT) at any AUTH_LOG_LEVEL. It names accounts by id, and who did it as far as the system tells.
func newAudit(s *Settings, c console) *slog.Logger {
	always := *s
	always.LogLevel = "info"
	return newLogger(&always, c.err).With(slog.String("operator", s.operator()))
}

// operator is who runs the command: whom AUTH_OPERATOR names, or the user of the operating system; under sudo, who asked for it.
func (s *Settings) operator() string {
	if s.Operator != "" {
		return s.Operator
	}
	for _, name := range []string{"SUDO_USER", "USER", "USERNAME"} {
		if named := os.Getenv(name); named != "" {
			return named
		}
	}
	if current, err := user.Current(); err == nil && current.Username != "" {
		return current.Username
	}
	return "uid " + strconv.Itoa(os.Getuid())
}
