package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/google/uuid"

	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/admin"
)

type users struct {
	List    userList    `cmd:"" help:"List the users."`
	Show    userShow    `cmd:"" help:"Show a user, with sessions, links and mails."`
	Disable userDisable `cmd:"" help:"Lock a user out: sessions end, reset links and unsent mails are withdrawn."`
	Enable  userEnable  `cmd:"" help:"Let a disabled user log in again, or go on with the sign-up."`
	Delete  userDelete  `cmd:"" help:"Delete a user and every trace of him. There is no way back."`
}

// userName is how a command is told whom it is about.
type userName struct {
	User string `arg:"" help:"The id of the user, or the address."`
}

// userRow is a user as the list shows him.
type userRow struct {
	ID           uuid.UUID  `json:"id"`
	Email        string     `json:"email"`
	State        string     `json:"state"` // active, disabled, pending, expired
	Language     string     `json:"language"`
	Created      time.Time  `json:"created"`
	PendingUntil *time.Time `json:"pendingUntil,omitempty"` // the end of a sign-up that nobody has confirmed
	Disabled     *time.Time `json:"disabled,omitempty"`
	LastLogin    *time.Time `json:"lastLogin,omitempty"`
	InviteID     *uuid.UUID `json:"inviteID,omitempty"`
}

func newUserRow(a db.Account) userRow {
	return userRow{
		ID: a.ID, Email: a.Email, State: admin.State(a, time.Now()), Language: a.Language, Created: a.CreatedAt.UTC(),
		PendingUntil: utc(a.PendingUntil), Disabled: utc(a.DisabledAt), LastLogin: utc(a.LastLoginAt), InviteID: a.InviteID,
	}
}

func (r userRow) key() uuid.UUID { return r.ID }

func (r userRow) cells(time.Time) []any {
	return []any{r.ID, r.Email, r.State, r.Language, r.Created, r.LastLogin}
}

type userList struct {
	paging
	JSON bool `name:"json" help:"Print JSON."`
}

// Run lists the users, the newest first.
func (cmd *userList) Run(ctx context.Context, s *Settings, c console) error {
	store, page, err := cmd.open(ctx, s)
	if err != nil {
		return err
	}
	defer store.Close() //nolint:errcheck // only read
	cmd.noteAfter(c, "user", func(id uuid.UUID) error {
		_, err := store.Read().GetAccount(ctx, id)
		return err
	})
	found, err := admin.Users(ctx, store, page)
	if err != nil {
		return fmt.Errorf("user list: %w", err)
	}
	rows := make([]userRow, len(found))
	for i, a := range found {
		rows[i] = newUserRow(a)
	}
	return printList(c, cmd.JSON, cmd.paging, "ID|EMAIL|STATE|LANGUAGE|CREATED|LAST LOG-IN", rows)
}

type userShow struct {
	userName
	JSON bool `name:"json" help:"Print JSON."`
}

// userDetails is all that is known of a user.
type userDetails struct {
	userRow
	Password    bool         `json:"password"`              // has one
	MailedUntil *time.Time   `json:"mailedUntil,omitempty"` // the end of a password that was mailed and not used yet
	Sessions    []sessionRow `json:"sessions"`              // that can be refreshed
	Links       []linkRow    `json:"links"`                 // that were mailed and not used
	Mails       []mailRow    `json:"mails"`                 // the newest ones
}

// linkRow is a mailed link. The link itself is nowhere.
type linkRow struct {
	Purpose string    `json:"purpose"`
	Created time.Time `json:"created"`
	Expires time.Time `json:"expires"`
}

func (r linkRow) cells(time.Time) []any { return []any{r.Purpose, r.Created, r.Expires} }

// mailsShown is how many mails of a user are shown.
const mailsShown = 20

// Run shows a user.
func (cmd *userShow) Run(ctx context.Context, s *Settings, c console) error {
	return onUser(ctx, s, cmd.User, "user show", func(store *db.Store, account db.Account) error {
		person, err := admin.Show(ctx, store, account, s.alive(time.Now()), mailsShown)
		if err != nil {
			return err
		}
		details := userDetails{
			userRow: newUserRow(account), Password: account.PasswordHash != nil, MailedUntil: utc(account.PendingPasswordExpiresAt),
			Sessions: sessionRows(person.Sessions), Links: []linkRow{}, Mails: mailRows(person.Mails),
		}
		for _, l := range person.Links {
			details.Links = append(details.Links, linkRow{Purpose: l.Purpose, Created: l.CreatedAt.UTC(), Expires: l.ExpiresAt.UTC()})
		}
		if cmd.JSON {
			return printJSON(c, details)
		}
		return details.print(c)
	})
}

func (d userDetails) print(c console) error {
	w := tabwriter.NewWriter(c.out, 0, 0, 2, ' ', 0)
	for _, field := range []struct {
		name  string
		value any
	}{
		{"ID", d.ID}, {"Email", d.Email}, {"State", d.State}, {"Language", d.Language}, {"Created", d.Created},
		{"Sign-up ends", d.PendingUntil}, {"Disabled", d.Disabled}, {"Last log-in", d.LastLogin}, {"Password", yesNo(d.Password)},
		{"Mailed password until", d.MailedUntil}, {"Invite", d.InviteID},
	} {
		fmt.Fprintf(w, "%s\t%s\n", field.name, printable(field.value))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return errors.Join(
		printSection(c, "Sessions", sessionHeader, d.Sessions),
		printSection(c, "Links", "PURPOSE|CREATED|EXPIRES", d.Links),
		printSection(c, fmt.Sprintf("Mails (the newest %d)", mailsShown), mailHeader, d.Mails),
	)
}

func printSection[E line](c console, title, header string, entries []E) error {
	if len(entries) == 0 {
		_, err := fmt.Fprintf(c.out, "\n%s: none\n", strings.SplitN(title, " (", 2)[0])
		return err
	}
	fmt.Fprintf(c.out, "\n%s\n", title)
	return printTable(c, header, entries)
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// onUser opens the database, finds the user whom a command names, and does something with both.
func onUser(ctx context.Context, s *Settings, name, command string, do func(*db.Store, db.Account) error) error {
	store, err := openStore(ctx, s)
	if err != nil {
		return err
	}
	defer store.Close() //nolint:errcheck // what was written is committed
	account, err := admin.Find(ctx, store, name)
	if err == nil {
		err = do(store, account)
	}
	if err != nil {
		return fmt.Errorf("%s: %q: %w", command, name, err)
	}
	return nil
}

// deed is what a command did to a user.
type deed struct {
	ID    uuid.UUID `json:"id"`
	Email string    `json:"email"`
	Did   string    `json:"did"`
	*admin.Ended
	Queued int64 `json:"queued,omitempty"` // mails
}

func (d deed) tell(c console, asJSON bool) error {
	if asJSON {
		return printJSON(c, d)
	}
	text := fmt.Sprintf("%s %s (%s)", d.Did, d.Email, d.ID)
	if d.Ended != nil {
		text += fmt.Sprintf(": %s ended, %s and %s withdrawn", count(d.Sessions, "session"), count(d.Links, "link"), count(d.Mails, "mail"))
	}
	if d.Queued > 0 {
		text += fmt.Sprintf(": %s queued", count(d.Queued, "mail"))
	}
	_, err := fmt.Fprintln(c.out, text)
	return err
}

func endedAttrs(id uuid.UUID, e admin.Ended) []slog.Attr {
	return []slog.Attr{
		slog.String("account_id", id.String()),
		slog.Int64("sessions", e.Sessions), slog.Int64("links", e.Links), slog.Int64("mails", e.Mails),
	}
}

type userDisable struct {
	userName
	JSON bool `name:"json" help:"Print JSON."`
}

// Run locks a user out.
func (cmd *userDisable) Run(ctx context.Context, s *Settings, c console) error {
	return onUser(ctx, s, cmd.User, "user disable", func(store *db.Store, account db.Account) error {
		s.record(store, recorded{action: "user.disabled", account: &account.ID})
		ended, err := admin.Disable(ctx, store, account.ID, time.Now())
		if err != nil {
			return err
		}
		newAudit(s, c).LogAttrs(ctx, slog.LevelInfo, "user.disabled", endedAttrs(account.ID, ended)...)
		return deed{ID: account.ID, Email: account.Email, Did: "disabled", Ended: &ended}.tell(c, cmd.JSON)
	})
}

type userEnable struct {
	userName
	JSON bool `name:"json" help:"Print JSON."`
}

// Run lets a disabled user log in again, or go on with the sign-up.
func (cmd *userEnable) Run(ctx context.Context, s *Settings, c console) error {
	return onUser(ctx, s, cmd.User, "user enable", func(store *db.Store, account db.Account) error {
		s.record(store, recorded{action: "user.enabled", account: &account.ID})
		queued, err := admin.Enable(ctx, store, account.ID, time.Now())
		if err != nil {
			return err
		}
		newAudit(s, c).LogAttrs(ctx, slog.LevelInfo, "user.enabled",
			slog.String("account_id", account.ID.String()), slog.Int64("queued", queued))
		return deed{ID: account.ID, Email: account.Email, Did: "enabled", Queued: queued}.tell(c, cmd.JSON)
	})
}

type userDelete struct {
	userName
	JSON bool `name:"json" help:"Print JSON."`
}

// Run deletes a user.
func (cmd *userDelete) Run(ctx context.Context, s *Settings, c console) error {
	return onUser(ctx, s, cmd.User, "user delete", func(store *db.Store, account db.Account) error {
		s.record(store, recorded{action: "user.deleted", account: &account.ID})
		ended, err := admin.Delete(ctx, store, account.ID)
		if err != nil {
			return err
		}
		newAudit(s, c).LogAttrs(ctx, slog.LevelInfo, "user.deleted", endedAttrs(account.ID, ended)...)
		if err := (deed{ID: account.ID, Email: account.Email, Did: "deleted", Ended: &ended}).tell(c, cmd.JSON); err != nil {
			return err
		}
		notDeleted(c.err, s.MailURL)
		return nil
	})
}

// notDeleted says what a deletion leaves, because it is not in the database.
func notDeleted(w io.Writer, mailURL string) {
	if dir, local := strings.CutPrefix(mailURL, "file:"); local {
		fmt.Fprintf(w, "The mails in %s are files of yours: delete those to the address. Backups and logs keep what they have.\n", dir)
	}
}
