package userdata

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/financelime/authorization/api"
	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/clock"
	"github.com/financelime/authorization/impl/link"
	"github.com/financelime/authorization/impl/mail"
)

// maxEntries is how many entries a list of an export has at most, as openapi.yaml documents it. Only emails can be more: the other lists are
// limited when their rows are written.
const maxEntries = 10_000

// User returns the account as its owner sees it. pendingEmail is the address that they have asked for and not confirmed; nil if there is none.
func User(account db.Account, pendingEmail *string, factors db.GetSecondFactorRow) api.User {
	return api.User{
		UserID:         account.ID.String(),
		Email:          account.Email,
		Language:       account.Language,
		CreatedAt:      clock.Format(account.CreatedAt),
		PasswordChosen: account.PasswordChosenAt != nil,
		PendingEmail:   pendingEmail,
		SecondFactor: api.SecondFactor{
			On: account.SecondFactorSince != nil, Totp: factors.Totp > 0, Passkeys: factors.Passkeys, RecoveryCodesLeft: factors.RecoveryCodes,
		},
	}
}

// Export returns all personal data about a user. current is the session of the request that asks for it, or uuid.Nil.
//
// A test fails if a table with an account_id, or a column of such a table, is neither exported nor excluded for a reason.
func Export(ctx context.Context, q *db.Queries, account db.Account, current uuid.UUID, now time.Time) (api.UserExport, error) {
	return export(ctx, q, account, current, now, maxEntries)
}

// export is Export with another maximum for the lists.
func export(
	ctx context.Context, q *db.Queries, account db.Account, current uuid.UUID, now time.Time, maxRows int64,
) (api.UserExport, error) {
	factors, err := q.GetSecondFactor(ctx, db.GetSecondFactorParams{AccountID: account.ID})
	if err != nil {
		return api.UserExport{}, fmt.Errorf("export the second factors: %w", err)
	}
	e := api.UserExport{
		ExportedAt:          clock.Format(now),
		User:                User(account, nil, factors),
		LastLoginAt:         optional(account.LastLoginAt),
		PasswordChosenAt:    optional(account.PasswordChosenAt),
		MailedPasswordUntil: optional(account.PendingPasswordExpiresAt),
		SignUpUntil:         optional(account.PendingUntil),
		DisabledAt:          optional(account.DisabledAt),
		ClosingUntil:        optional(account.ClosingUntil),

		SecondFactorSince:      optional(account.SecondFactorSince),
		SecondFactorNotifiedAt: optional(account.SecondFactorNotifiedAt),
	}
	if account.SecondFactorFailures > 0 {
		e.SecondFactorFailures = &account.SecondFactorFailures
	}
	if account.InviteID != nil {
		e.InviteID = new(account.InviteID.String())
	}
	for _, list := range []struct {
		name string
		read func() error
	}{
		{"TOTP secret", func() (err error) { e.Totp, err = totpSetup(ctx, q, account.ID); return err }},
		{"recovery codes", func() (err error) { e.RecoveryCodes, err = recoveryCodes(ctx, q, account.ID); return err }},
		{"passkeys", func() (err error) { e.Passkeys, err = passkeys(ctx, q, account.ID, maxRows); return err }},
		{"sessions", func() (err error) { e.Sessions, err = sessions(ctx, q, account.ID, current, maxRows); return err }},
		{"devices", func() (err error) { e.Devices, err = devices(ctx, q, account.ID, maxRows); return err }},
		{"emails", func() (err error) { e.Emails, err = emails(ctx, q, account.ID, now, maxRows); return err }},
		{"links", func() (err error) { e.Links, e.User.PendingEmail, err = links(ctx, q, account.ID, now); return err }},
		{"failed logins", func() (err error) { e.FailedLogins, err = failedLogins(ctx, q, account.ID, maxRows); return err }},
		{"actions of operators", func() (err error) { e.OperatorActions, err = operatorActions(ctx, q, account.ID, maxRows); return err }},
	} {
		if err := list.read(); err != nil {
			return e, fmt.Errorf("export the %s: %w", list.name, err)
		}
	}
	return e, nil
}

func optional(t *time.Time) *string {
	if t == nil {
		return nil
	}
	return new(clock.Format(*t))
}

func sessions(ctx context.Context, q *db.Queries, id, current uuid.UUID, maxRows int64) ([]api.UserExportSession, error) {
	rows, err := q.ListStoredSessions(ctx, db.ListStoredSessionsParams{AccountID: id, MaxRows: maxRows})
	list := make([]api.UserExportSession, len(rows))
	for i, r := range rows {
		list[i] = api.UserExportSession{
			SessionID: r.ID.String(), ClientID: r.ClientID, Platform: r.Platform, RemoteAddr: r.RemoteAddr,
			CreatedAt: clock.Format(r.CreatedAt), UpdatedAt: clock.Format(r.RefreshedAt),
			AuthenticatedAt: optional(r.AuthenticatedAt), Methods: r.Methods, Current: r.ID == current,
		}
	}
	return list, err
}

func devices(ctx context.Context, q *db.Queries, id uuid.UUID, maxRows int64) ([]api.UserExportDevice, error) {
	rows, err := q.ListDevices(ctx, db.ListDevicesParams{AccountID: id, MaxRows: maxRows})
	list := make([]api.UserExportDevice, len(rows))
	for i, r := range rows {
		list[i] = api.UserExportDevice{SeenAt: clock.Format(r.SeenAt)}
	}
	return list, err
}

// emails returns the mails of the account, and those about sign-ups of others with its address.
//
// While accounts are hidden, whether a mail to a new address was sent would reveal whether the address has an account. So an export does not say
// it, and leaves such a mail out as soon as only one that was not sent is still stored.
//
// Clocks: a clock that is 5 s off leaves a mail out as much earlier or later. The cleaner deletes it up to an hour later.
func emails(ctx context.Context, q *db.Queries, id uuid.UUID, now time.Time, maxRows int64) ([]api.UserExportEmail, error) {
	own, err := q.ListAccountMails(ctx, db.ListAccountMailsParams{AccountID: id, MaxRows: maxRows})
	if err != nil {
		return nil, err
	}
	ofDecoys, err := q.ListDecoyMails(ctx, db.ListDecoyMailsParams{OwnerID: &id, MaxRows: maxRows})
	if err != nil {
		return nil, err
	}
	rows := slices.Concat(own, ofDecoys)
	slices.SortFunc(rows, func(a, b db.Mail) int { return bytes.Compare(b.ID[:], a.ID[:]) })
	rows = slices.DeleteFunc(rows, func(r db.Mail) bool {
		return r.Kind == mail.KindEmailLink && !r.CreatedAt.After(now.Add(-mail.SentRetention))
	})
	rows = rows[:min(len(rows), int(maxRows))]
	list := make([]api.UserExportEmail, len(rows))
	for i, r := range rows {
		list[i] = api.UserExportEmail{
			Kind: r.Kind, CreatedAt: clock.Format(r.CreatedAt), RequestID: r.RequestID,
			HappenedAt: optional(r.HappenedAt), Platform: r.Platform, RemoteAddr: r.RemoteAddr,
		}
		if r.Kind != mail.KindEmailLink {
			list[i].SentAt, list[i].FailedAt = optional(r.SentAt), optional(r.DeadAt)
		}
	}
	return list, nil
}

// links returns the links of the account, and the address that one of them can still confirm.
func links(ctx context.Context, q *db.Queries, id uuid.UUID, now time.Time) (list []api.UserExportLink, pendingEmail *string, err error) {
	confirmations, err := q.ListConfirmations(ctx, id)
	if err != nil {
		return nil, nil, err
	}
	pages, err := q.ListLinks(ctx, id)
	list = make([]api.UserExportLink, 0, len(confirmations)+len(pages)) // at most one of each purpose
	for _, r := range confirmations {
		list = append(list, api.UserExportLink{Purpose: r.Purpose, CreatedAt: clock.Format(r.CreatedAt), ExpiresAt: clock.Format(r.ExpiresAt)})
	}
	for _, r := range pages {
		list = append(list, api.UserExportLink{
			Purpose: r.Purpose, Address: r.Address, CreatedAt: clock.Format(r.CreatedAt), ExpiresAt: clock.Format(r.ExpiresAt),
		})
		if r.Purpose == string(link.Email) && r.ExpiresAt.After(now) {
			pendingEmail = r.Address
		}
	}
	return list, pendingEmail, err
}

func failedLogins(ctx context.Context, q *db.Queries, id uuid.UUID, maxRows int64) ([]api.UserExportFailures, error) {
	rows, err := q.ListLoginFailures(ctx, db.ListLoginFailuresParams{AccountID: &id, MaxRows: maxRows})
	list := make([]api.UserExportFailures, 0, len(rows))
	for _, r := range rows {
		if r.Failures > 0 { // otherwise the row only serializes logins
			list = append(list, api.UserExportFailures{Failures: r.Failures, LastFailedAt: clock.Format(time.UnixMicro(r.LastFailedAt))})
		}
	}
	return list, err
}

func operatorActions(ctx context.Context, q *db.Queries, id uuid.UUID, maxRows int64) ([]api.UserExportAction, error) {
	rows, err := q.ListAccountAuditEvents(ctx, db.ListAccountAuditEventsParams{AccountID: &id, MaxRows: maxRows})
	list := make([]api.UserExportAction, len(rows))
	for i, r := range rows {
		list[i] = api.UserExportAction{Action: r.Action, At: clock.Format(r.CreatedAt)}
	}
	return list, err
}
