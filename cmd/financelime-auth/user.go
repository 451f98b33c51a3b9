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
	"github.com/financelime/authorization/impl/userdata"
)

type users struct {
	List         userList         `cmd:"" help:"List users, newest first."`
	Show         userShow         `cmd:"" help:"Show a user with their sessions, second factors, links and emails."`
	Disable      userDisable      `cmd:"" help:"Disable a user: end their sessions, and withdraw reset links and unsent emails."`
	Enable       userEnable       `cmd:"" help:"Let a disabled user log in again or continue the sign-up."`
	Email        userEmail        `cmd:"" help:"Change the email address of a user without confirmation: end their sessions, and mail the old address a link to undo it."`
	SecondFactor userSecondFactor `cmd:"" help:"Remove the second factors of a user who has lost them."`
	Restore      userRestore      `cmd:"" help:"Undo a deletion that a user has asked for, until it takes place."`
	Export       userExport       `cmd:"" help:"Print all personal data about a user, as the user's own export contains it, in JSON."`
	Delete       userDelete       `cmd:"" help:"Delete a user and all their data. This cannot be undone."`
}

// userName is the argument of commands that work on one user.
type userName struct {
	User string `arg:"" help:"The ID or the email address of the user."`
}

// userRow is a user in the list.
type userRow struct {
	ID           uuid.UUID  `json:"id"`
	Email        string     `json:"email"`
	State        string     `json:"state"` // active, disabled, closing, pending, expired
	Language     string     `json:"language"`
	Created      time.Time  `json:"created"`
	PendingUntil *time.Time `json:"pendingUntil,omitempty"` // when an unconfirmed sign-up expires
	Disabled     *time.Time `json:"disabled,omitempty"`
	ClosingUntil *time.Time `json:"closingUntil,omitempty"` // how long the user can undo the deletion
	LastLogin    *time.Time `json:"lastLogin,omitempty"`
	InviteID     *uuid.UUID `json:"inviteID,omitempty"`
}

func newUserRow(a db.Account) userRow {
	return userRow{
		ID: a.ID, Email: a.Email, State: admin.State(a, time.Now()), Language: a.Language, Created: a.CreatedAt.UTC(),
		PendingUntil: utc(a.PendingUntil), Disabled: utc(a.DisabledAt), ClosingUntil: utc(a.ClosingUntil), LastLogin: utc(a.LastLoginAt), InviteID: a.InviteID,
	}
}

func (r userRow) key() uuid.UUID { return r.ID }

func (r userRow) cells(time.Time) []any {
	state := r.State
	if state == admin.Closing {
		state += " until " + printable(r.ClosingUntil)
	}
	return []any{r.ID, r.Email, state, r.Language, r.Created, r.LastLogin}
}

type userList struct {
	paging
	JSON bool `name:"json" help:"Print JSON."`
}

// Run lists users, newest first.
func (cmd *userList) Run(ctx context.Context, s *Settings, c console) error {
	store, page, err := cmd.open(ctx, s)
	if err != nil {
		return err
	}
	defer store.Close() //nolint:errcheck // nothing was written
	cmd.warnUnknownAfter(c, "user", func(id uuid.UUID) error {
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
	return printList(c, cmd.JSON, cmd.paging, "ID|EMAIL|STATE|LANGUAGE|CREATED|LAST LOGIN", rows)
}

type userShow struct {
	userName
	JSON bool `name:"json" help:"Print JSON."`
}

// userDetails is everything that the service stores about a user.
type userDetails struct {
	userRow
	Password     bool         `json:"password"`              // whether the user has a password
	MailedUntil  *time.Time   `json:"mailedUntil,omitempty"` // when the pending password expires
	SecondFactor factorsShown `json:"secondFactor"`
	Passkeys     []passkeyRow `json:"passkeys"`
	Sessions     []sessionRow `json:"sessions"` // those that can be refreshed
	Links        []linkRow    `json:"links"`    // mailed and not used
	Mails        []mailRow    `json:"mails"`    // the newest mailsShown
}

// linkRow is a mailed link. The link itself is not stored.
type linkRow struct {
	Purpose string    `json:"purpose"`
	Address *string   `json:"address,omitempty"` // to which it was mailed, if not to that of the user
	Created time.Time `json:"created"`
	Expires time.Time `json:"expires"`
}

func (r linkRow) cells(time.Time) []any {
	address := "-"
	if r.Address != nil {
		address = *r.Address
	}
	return []any{r.Purpose, address, r.Created, r.Expires}
}

// mailsShown limits how many mails of a user are shown.
const mailsShown = 20

// Run shows a user.
func (cmd *userShow) Run(ctx context.Context, s *Settings, c console) error {
	return withUser(ctx, s, cmd.User, "user show", func(store *db.Store, account db.Account) error {
		user, err := admin.Show(ctx, store, account, s.alive(time.Now()), mailsShown)
		if err != nil {
			return err
		}
		details := userDetails{
			userRow: newUserRow(account), Password: account.PasswordHash != nil, MailedUntil: utc(account.PendingPasswordExpiresAt),
			SecondFactor: newFactorsShown(user), Passkeys: passkeyRows(user.Passkeys), Sessions: sessionRows(user.Sessions), Links: []linkRow{}, Mails: mailRows(user.Mails),
		}
		for _, l := range user.Links {
			details.Links = append(details.Links, linkRow{Purpose: l.Purpose, Created: l.CreatedAt.UTC(), Expires: l.ExpiresAt.UTC()})
		}
		for _, l := range user.Pages {
			details.Links = append(details.Links, linkRow{Purpose: l.Purpose, Address: l.Address, Created: l.CreatedAt.UTC(), Expires: l.ExpiresAt.UTC()})
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
		{"Sign-up expires", d.PendingUntil}, {"Disabled", d.Disabled}, {"Closing until", d.ClosingUntil}, {"Last login", d.LastLogin}, {"Password", yesNo(d.Password)},
		{"Mailed password until", d.MailedUntil}, {"Invite", d.InviteID},
		{"Second factor since", d.SecondFactor.Since}, {"TOTP since", d.SecondFactor.TOTP}, {"TOTP begun", d.SecondFactor.TOTPBegun},
		{"Recovery codes", d.SecondFactor.RecoveryCodes}, {"Wrong second factors", d.SecondFactor.Failures},
	} {
		fmt.Fprintf(w, "%s\t%s\n", field.name, printable(field.value))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return errors.Join(
		printSection(c, "Passkeys", "ID|NAME|DOMAIN|SYNCED|CREATED|USED", d.Passkeys),
		printSection(c, "Sessions", sessionHeader, d.Sessions),
		printSection(c, "Links", "PURPOSE|ADDRESS|CREATED|EXPIRES", d.Links),
		printSection(c, fmt.Sprintf("Mails (the newest %d)", mailsShown), mailHeader, d.Mails),
	)
}

// result is what a command did to a user, for the output.
type result struct {
	ID     uuid.UUID `json:"id"`
	Email  string    `json:"email"`
	Action string    `json:"did"` // disabled, enabled, restored, deleted or email changed
	*admin.Ended
	Queued int64 `json:"queued,omitempty"` // mails that were queued
}

func (r result) printTo(c console, asJSON bool) error {
	if asJSON {
		return printJSON(c, r)
	}
	text := fmt.Sprintf("%s %s (%s)", r.Action, r.Email, r.ID)
	if r.Ended != nil {
		text += fmt.Sprintf(": %s ended, %s and %s withdrawn", count(r.Sessions, "session"), count(r.Links, "link"), count(r.Mails, "mail"))
	}
	if r.Queued > 0 {
		text += fmt.Sprintf(": %s queued", count(r.Queued, "mail"))
	}
	_, err := fmt.Fprintln(c.out, text)
	return err
}

// endedAttrs returns the attributes of the log line of disable and delete.
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

// Run disables a user.
func (cmd *userDisable) Run(ctx context.Context, s *Settings, c console) error {
	return withUser(ctx, s, cmd.User, "user disable", func(store *db.Store, account db.Account) error {
		store = s.withAudit(store, auditEvent{action: "user.disabled", account: &account.ID})
		ended, err := admin.Disable(ctx, store, account.ID, time.Now())
		if err != nil {
			return err
		}
		newAudit(s, c).LogAttrs(ctx, slog.LevelInfo, "user.disabled", endedAttrs(account.ID, ended)...)
		return result{ID: account.ID, Email: account.Email, Action: "disabled", Ended: &ended}.printTo(c, cmd.JSON)
	})
}

type userEnable struct {
	userName
	JSON bool `name:"json" help:"Print JSON."`
}

// Run lets a disabled user log in again or continue the sign-up.
func (cmd *userEnable) Run(ctx context.Context, s *Settings, c console) error {
	return withUser(ctx, s, cmd.User, "user enable", func(store *db.Store, account db.Account) error {
		store = s.withAudit(store, auditEvent{action: "user.enabled", account: &account.ID})
		queued, err := admin.Enable(ctx, store, account.ID, time.Now())
		if err != nil {
			return err
		}
		newAudit(s, c).LogAttrs(ctx, slog.LevelInfo, "user.enabled",
			slog.String("account_id", account.ID.String()), slog.Int64("queued", queued))
		return result{ID: account.ID, Email: account.Email, Action: "enabled", Queued: queued}.printTo(c, cmd.JSON)
	})
}

type userRestore struct {
	userName
	JSON bool `name:"json" help:"Print JSON."`
}

// Run undoes a deletion that a user has asked for.
func (cmd *userRestore) Run(ctx context.Context, s *Settings, c console) error {
	return withUser(ctx, s, cmd.User, "user restore", func(store *db.Store, account db.Account) error {
		store = s.withAudit(store, auditEvent{action: "user.restored", account: &account.ID})
		if err := admin.Restore(ctx, store, account.ID); err != nil {
			return err
		}
		newAudit(s, c).LogAttrs(ctx, slog.LevelInfo, "user.restored", slog.String("account_id", account.ID.String()))
		return result{ID: account.ID, Email: account.Email, Action: "restored"}.printTo(c, cmd.JSON)
	})
}

type userExport struct {
	userName
}

// Run prints all personal data about a user. The export is an audit event: an operator has read it.
func (cmd *userExport) Run(ctx context.Context, s *Settings, c console) error {
	return withUser(ctx, s, cmd.User, "user export", func(store *db.Store, account db.Account) error {
		export, err := userdata.Export(ctx, store.Read(), account, uuid.Nil, time.Now())
		if err != nil {
			return err
		}
		if err := s.writeAudit(ctx, store, auditEvent{action: "user.exported", account: &account.ID}); err != nil {
			return err
		}
		newAudit(s, c).LogAttrs(ctx, slog.LevelInfo, "user.exported", slog.String("account_id", account.ID.String()))
		return printJSON(c, export)
	})
}

type userDelete struct {
	userName
	JSON bool `name:"json" help:"Print JSON."`
}

// Run deletes a user.
func (cmd *userDelete) Run(ctx context.Context, s *Settings, c console) error {
	return withUser(ctx, s, cmd.User, "user delete", func(store *db.Store, account db.Account) error {
		store = s.withAudit(store, auditEvent{action: "user.deleted", account: &account.ID})
		ended, err := admin.Delete(ctx, store, account.ID)
		if err != nil {
			return err
		}
		newAudit(s, c).LogAttrs(ctx, slog.LevelInfo, "user.deleted", endedAttrs(account.ID, ended)...)
		if err := (result{ID: account.ID, Email: account.Email, Action: "deleted", Ended: &ended}).printTo(c, cmd.JSON); err != nil {
			return err
		}
		printRemainingData(c.err, s.MailURL)
		return nil
	})
}

// printRemainingData prints which data of a deleted user the operator must delete, because it is outside the database.
func printRemainingData(w io.Writer, mailURL string) {
	if dir, local := strings.CutPrefix(mailURL, "file:"); local {
		fmt.Fprintf(w, "Emails to the user remain in %s, and older data in backups and logs. Delete them manually.\n", dir)
	}
}
