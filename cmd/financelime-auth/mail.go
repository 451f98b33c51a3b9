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
	List  mailList  `cmd:"" help:"List the mails that are queued, and those that were sent or died lately."`
	Retry mailRetry `cmd:"" help:"Send mails now that wait for their next attempt, or dead ones anew."`
}

type mailList struct {
	State string `enum:"all,queued,sent,dead" default:"all" help:"Only those that are queued, sent or dead."`
	paging
	JSON bool `name:"json" help:"Print JSON."`
}

// mailRow is a mail as the list shows it. It names the account and not the address: lists go into tickets and chats.
type mailRow struct {
	ID        uuid.UUID  `json:"id"`
	Kind      string     `json:"kind"`
	State     string     `json:"state"`    // queued, sent, dead
	Attempts  int64      `json:"attempts"` // those that the relay being down has spoilt are not counted
	Created   time.Time  `json:"created"`
	Next      *time.Time `json:"next,omitempty"`    // attempt, of a queued one; while it is on its way, another worker's
	Sending   bool       `json:"sending,omitempty"` // it is on its way
	Ended     *time.Time `json:"ended,omitempty"`   // when it was sent or died
	AccountID uuid.UUID  `json:"accountID"`
	RequestID string     `json:"requestID"` // of the request that caused it
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
		if next.Before(m.CreatedAt) { // a mail is queued as if it were due for long
			next = m.CreatedAt
		}
		r.Next, r.Sending = utc(&next), mail.IsLeased(m, now)
	}
	return r
}

// when is the time that matters most of a mail.
func (r mailRow) when(now time.Time) string {
	switch {
	case r.Ended != nil:
		return r.Ended.UTC().Format(time.DateTime)
	case r.Sending:
		return "on its way"
	case !r.due.After(now):
		return "due"
	}
	return r.Next.UTC().Format(time.DateTime)
}

// Run lists mails, the newest first.
func (cmd *mailList) Run(ctx context.Context, s *Settings, c console) error {
	store, page, err := cmd.open(ctx, s)
	if err != nil {
		return err
	}
	defer store.Close() //nolint:errcheck // only read
	cmd.noteAfter(c, "mail", func(id uuid.UUID) error {
		_, err := store.Read().GetMail(ctx, id)
		return err
	})
	before, most := page.Before(), page.Limit
	var found []db.Mail
	switch cmd.State {
	case "all":
		found, err = store.Read().ListMails(ctx, db.ListMailsParams{Before: before, MaxRows: most})
	case "queued":
		found, err = store.Read().ListQueuedMails(ctx, db.ListQueuedMailsParams{Before: before, MaxRows: most})
	case "sent":
		found, err = store.Read().ListSentMails(ctx, db.ListSentMailsParams{Before: before, MaxRows: most})
	case "dead":
		found, err = store.Read().ListDeadMails(ctx, db.ListDeadMailsParams{Before: before, MaxRows: most})
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
	IDs  []string `arg:"" optional:"" name:"id" help:"Of the mails, from the list."`
	Dead bool     `help:"All dead ones that can still help their readers."`
}

// Run makes mails due. A running service notices within a second.
func (cmd *mailRetry) Run(ctx context.Context, s *Settings, c console) error {
	if (len(cmd.IDs) > 0) == cmd.Dead {
		return errors.New("mail retry: name the mails, or say --dead")
	}
	ids, err := parseIDs(cmd.IDs, "a mail")
	if err != nil {
		return fmt.Errorf("mail retry: %w", err)
	}
	root, store, err := openWithSecret(ctx, s)
	if err != nil {
		return err
	}
	defer store.Close() //nolint:errcheck // what was written is committed
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
		_, err := fmt.Fprintln(c.out, "no mail is dead")
		return err
	}
	refused, err := retryMails(ctx, s, store, root, ids, c)
	if err != nil {
		return fmt.Errorf("mail retry: %w", err)
	}
	if refused > 0 && !cmd.Dead { // of all dead ones, most are so for good
		return fmt.Errorf("mail retry: %d of %d can not be sent", refused, len(ids))
	}
	return nil
}

// retryMails says of each mail what became of it, and counts the refused ones.
func retryMails(ctx context.Context, s *Settings, store *db.Store, root secret.Root, ids []uuid.UUID, c console) (refused int, err error) {
	for _, id := range ids {
		s.record(store, recorded{action: "mail.retried", subject: id.String()})
		queued, err := mail.Retry(ctx, store, root, id, time.Now())
		if why, is := errors.AsType[mail.CannotRetryError](err); is {
			refused++
			fmt.Fprintf(c.out, "%s: not retried: %s\n", id, why)
			continue
		}
		switch {
		case err != nil:
			return refused, err
		case queued == id:
			fmt.Fprintf(c.out, "%s: due now\n", id)
		default:
			fmt.Fprintf(c.out, "%s: queued anew as %s\n", id, queued)
		}
	}
	return refused, nil
}
