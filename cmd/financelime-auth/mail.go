package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/mail"
	"github.com/financelime/authorization/impl/secret"
)

type mails struct {
	List  mailList  `cmd:"" help:"List queued emails, and emails that were recently sent or failed permanently (dead)."`
	Retry mailRetry `cmd:"" help:"Retry waiting emails now, or re-queue failed ones."`
}

type mailList struct {
	State string `enum:"all,queued,sent,dead" default:"all" help:"Only emails in this state: queued, sent or dead."`
	paging
	JSON bool `name:"json" help:"Print JSON."`
}

// mailRow is a mail in the list. It has the account ID instead of the address, because lists are copied into tickets and chats.
type mailRow struct {
	ID        uuid.UUID  `json:"id"`
	Kind      string     `json:"kind"`
	State     string     `json:"state"`    // queued, sent, dead
	Attempts  int64      `json:"attempts"` // without attempts that failed because the relay was down
	Created   time.Time  `json:"created"`
	Next      *time.Time `json:"next,omitempty"`    // the next attempt; while Sending, when another worker may take over
	Sending   bool       `json:"sending,omitempty"` // a worker is sending it
	Ended     *time.Time `json:"ended,omitempty"`   // when it was sent or failed permanently
	AccountID uuid.UUID  `json:"accountID"`
	RequestID string     `json:"requestID"` // the request that caused the mail
	LastError string     `json:"lastError,omitempty"`

	due time.Time
}

func newMailRow(m db.Mail, now time.Time) mailRow {
	r := mailRow{
		ID: m.ID, Kind: m.Kind, State: "queued", Attempts: m.Attempts, Created: m.CreatedAt.UTC(),
		AccountID: m.AccountID, RequestID: m.RequestID, due: m.DueAt,
	}
	if m.LastError != nil {
		r.LastError = *m.LastError
	}
	switch {
	case m.SentAt != nil:
		r.State, r.Ended = "sent", utc(m.SentAt)
	case m.DeadAt != nil:
		r.State, r.Ended = "dead", utc(m.DeadAt)
	default:
		next := m.DueAt
		if next.Before(m.CreatedAt) { // new mails are queued with a due time in the past
			next = m.CreatedAt
		}
		r.Next, r.Sending = utc(&next), mail.IsLeased(m, now)
	}
	return r
}

// when returns the time of the mail's end or of its next attempt, or its progress.
func (r mailRow) when(now time.Time) string {
	switch {
	case r.Ended != nil:
		return r.Ended.UTC().Format(time.DateTime)
	case r.Sending:
		return "sending"
	case !r.due.After(now):
		return "due"
	}
	return r.Next.UTC().Format(time.DateTime)
}

// Run lists mails, newest first.
func (cmd *mailList) Run(ctx context.Context, s *Settings, c console) error {
	store, page, err := cmd.open(ctx, s)
	if err != nil {
		return err
	}
	defer store.Close() //nolint:errcheck // nothing was written
	cmd.warnUnknownAfter(c, "mail", func(id uuid.UUID) error {
		_, err := store.Read().GetMail(ctx, id)
		return err
	})
	before, limit := page.Before(), page.Limit
	var found []db.Mail
	switch cmd.State {
	case "all":
		found, err = store.Read().ListMails(ctx, db.ListMailsParams{Before: before, MaxRows: limit})
	case "queued":
		found, err = store.Read().ListQueuedMails(ctx, db.ListQueuedMailsParams{Before: before, MaxRows: limit})
	case "sent":
		found, err = store.Read().ListSentMails(ctx, db.ListSentMailsParams{Before: before, MaxRows: limit})
	case "dead":
		found, err = store.Read().ListDeadMails(ctx, db.ListDeadMailsParams{Before: before, MaxRows: limit})
	}
	if err != nil {
		return fmt.Errorf("mail list: %w", err)
	}
	return printList(c, cmd.JSON, cmd.paging, mailHeader, mailRows(found))
}

const mailHeader = "ID|KIND|STATE|ATTEMPTS|CREATED|NEXT OR ENDED|ACCOUNT|LAST ERROR"

func mailRows(found []db.Mail) []mailRow {
	now := time.Now()
	rows := make([]mailRow, len(found))
	for i, m := range found {
		rows[i] = newMailRow(m, now)
	}
	return rows
}

func (r mailRow) key() uuid.UUID { return r.ID }

func (r mailRow) cells(now time.Time) []any {
	return []any{r.ID, r.Kind, r.State, r.Attempts, r.Created, r.when(now), r.AccountID, r.LastError}
}

type mailRetry struct {
	IDs  []string `arg:"" optional:"" name:"id" help:"IDs from mail list."`
	Dead bool     `help:"All permanently failed emails that are still of use to their recipients."`
}

// Run makes mails due now. A running service sends them within a second.
func (cmd *mailRetry) Run(ctx context.Context, s *Settings, c console) error {
	if (len(cmd.IDs) > 0) == cmd.Dead {
		return errors.New("mail retry: pass either email IDs or --dead")
	}
	ids, err := parseIDs(cmd.IDs, "an email")
	if err != nil {
		return fmt.Errorf("mail retry: %w", err)
	}
	root, store, err := openWithSecret(ctx, s)
	if err != nil {
		return err
	}
	defer store.Close() //nolint:errcheck // all writes are committed
	if cmd.Dead {
		const all = 1 << 40
		dead, err := store.Read().ListDeadMails(ctx, db.ListDeadMailsParams{Before: uuid.Max, MaxRows: all})
		if err != nil {
			return fmt.Errorf("mail retry: %w", err)
		}
		for _, m := range slices.Backward(dead) { // the oldest first
			ids = append(ids, m.ID)
		}
	}
	if len(ids) == 0 {
		_, err := fmt.Fprintln(c.out, "there are no dead emails")
		return err
	}
	refused, err := retryMails(ctx, s, store, root, ids, c)
	if err != nil {
		return fmt.Errorf("mail retry: %w", err)
	}
	if refused > 0 && !cmd.Dead { // with --dead, refusals are normal: many links and passwords are no longer of use
		return fmt.Errorf("mail retry: %d of %d emails cannot be retried", refused, len(ids))
	}
	return nil
}

// retryMails retries each mail and prints its result. It returns how many were refused.
func retryMails(ctx context.Context, s *Settings, store *db.Store, root secret.Root, ids []uuid.UUID, c console) (refused int, err error) {
	for _, id := range ids {
		queued, err := mail.Retry(ctx, s.withAudit(store, auditEvent{action: "mail.retried", subject: id.String()}), root, id, time.Now())
		if reason, is := errors.AsType[mail.CannotRetryError](err); is {
			refused++
			fmt.Fprintf(c.out, "%s: not retried: %s\n", id, reason)
			continue
		}
		switch {
		case err != nil:
			return refused, err
		case queued == id:
			fmt.Fprintf(c.out, "%s: due now\n", id)
		default:
			fmt.Fprintf(c.out, "%s: re-queued as %s\n", id, queued)
		}
	}
	return refused, nil
}
