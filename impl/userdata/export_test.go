package userdata_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/financelime/authorization/api"
	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/clock"
	"github.com/financelime/authorization/impl/link"
	"github.com/financelime/authorization/impl/mail"
	"github.com/financelime/authorization/impl/userdata"
	"github.com/financelime/authorization/test/dbtest"
)

const exported = ""

// decided says for each column of the table account, and of each table with an account_id, that it is exported, or why not.
var decided = map[string]map[string]string{
	"account": {
		"id": exported, "email": exported, "language": exported, "invite_id": exported, "created_at": exported, "pending_until": exported,
		"disabled_at": exported, "closing_until": exported, "last_login_at": exported, "password_chosen_at": exported,
		"pending_password_expires_at": exported,
		"password_hash":               "a secret", "pending_password_hash": "a secret",
		"pending_password_mail_id": "the mail is exported", "last_password_number": "an internal order", "pending_password_number": "an internal order",
		"notified_mail_id": "the mail is exported", "decoy_of": "an account with it has no owner",
		"second_factor_since": exported, "second_factor_failures": exported, "second_factor_notified_at": exported,
	},
	"totp": {
		"confirmed_at": exported, "last_step": exported, "pending_at": exported,
		"sealed": "a secret", "pending_sealed": "a secret", "account_id": "the account",
	},
	"recovery_code": {
		"created_at": exported,
		"code_hash":  "a secret; the number of rows is exported", "account_id": "the account",
	},
	"passkey": {
		"id": exported, "rp_id": exported, "transports": exported, "name": exported, "created_at": exported, "used_at": exported,
		"flags":         "the one about a person is exported as synced: TestExportOfFactors",
		"credential_id": "random, of use to nobody without the private key", "public_key": "random, as credential_id",
		"sign_count": "a counter of the authenticator", "account_id": "the account",
	},
	"confirmation": {
		"purpose": exported, "created_at": exported, "expires_at": exported,
		"id": "the key of the link is derived from it", "key_hash": "a secret", "account_id": "the account",
	},
	"link": {
		"purpose": exported, "address": exported, "created_at": exported, "expires_at": exported,
		"id": "the key of the link is derived from it", "key_hash": "a secret", "account_id": "the account",
	},
	"session": {
		"id": exported, "client_id": exported, "platform": exported, "remote_addr": exported, "created_at": exported, "refreshed_at": exported,
		"authenticated_at": exported, "methods": exported,
		"generation": "a part of the refresh token", "account_id": "the account",
	},
	"device": {
		"seen_at": exported,
		"id":      "says nothing about a person", "fingerprint": "a hash", "account_id": "the account",
	},
	"mail": {
		"kind": exported, "request_id": exported, "created_at": exported, "sent_at": exported, "dead_at": exported, "happened_at": exported,
		"platform": exported, "remote_addr": exported,
		"id": "says nothing about a person", "account_id": "the account", "confirmation_id": "the key of the link is derived from it",
		"nonce": "a secret", "password_number": "an internal order", "due_at": "of the queue", "attempts": "of the queue", "last_error": "of the queue",
	},
	"login_failure": {
		"failures": exported, "last_failed_at": exported,
		"key": "a hash", "account_id": "the account", "recent_failures": "a part of failures", "delay": "a function of recent_failures",
	},
	"audit_event": {
		"action": exported, "created_at": exported,
		"id": "says nothing about a person", "account_id": "the account", "operator": "of another person", "subject": "of the command",
		"details": "counts of the command",
	},
}

// columns returns the columns of the table account, and of each table with an account_id.
func columns(t *testing.T, raw *sql.DB, url string) map[string][]string {
	t.Helper()
	tables := "SELECT table_name FROM information_schema.columns WHERE column_name = 'account_id' AND table_schema = current_schema()"
	if strings.HasPrefix(url, "sqlite:") {
		tables = "SELECT s.name FROM sqlite_schema s JOIN pragma_table_info(s.name) c ON c.name = 'account_id' WHERE s.type = 'table'"
	}
	rows, err := raw.QueryContext(t.Context(), tables+" UNION SELECT 'account'")
	must(t, err)
	defer rows.Close()
	var names []string
	for rows.Next() {
		var name string
		must(t, rows.Scan(&name))
		names = append(names, name)
	}
	must(t, rows.Err())
	all := make(map[string][]string)
	for _, name := range names {
		all[name] = columnsOf(t, raw, name)
	}
	return all
}

func columnsOf(t *testing.T, raw *sql.DB, table string) []string {
	t.Helper()
	rows, err := raw.QueryContext(t.Context(), "SELECT * FROM "+table+" LIMIT 0")
	must(t, err)
	defer rows.Close()
	names, err := rows.Columns()
	must(t, errors.Join(err, rows.Err()))
	return names
}

// Every column that is about a user is in the export, or excluded for a reason. It fails if a new table or column is not decided here.
func TestExportIsComplete(t *testing.T) {
	t.Parallel()
	dbtest.EachEngine(t, func(t *testing.T, url string) {
		store, raw := dbtest.Open(t, url), dbtest.Raw(t, url)
		for table, names := range columns(t, raw, url) {
			for _, name := range names {
				if _, known := decided[table][name]; !known {
					t.Errorf("decide whether %s.%s is exported", table, name)
				}
			}
			for name := range decided[table] {
				if !slices.Contains(names, name) {
					t.Errorf("there is no column %s.%s", table, name)
				}
			}
		}
		account := insertPerson(t, store)
		want := fill(t, raw, strings.HasPrefix(url, "sqlite:"))
		account, err := store.Read().GetAccount(t.Context(), account.ID)
		must(t, err)
		export, err := userdata.Export(t.Context(), store.Read(), account, uuid.Nil, time.Now())
		must(t, err)
		text, err := json.Marshal(export)
		must(t, err)
		want["account.id"], want["account.invite_id"] = account.ID.String(), account.InviteID.String()
		for column, value := range want {
			if !strings.Contains(string(text), value) {
				t.Errorf("%s is not exported: %s is not in %s", column, value, text)
			}
		}
		for _, secret := range []string{"hash of the password", "hash of the mailed one", "nonce", "olga", "sealed", "hash of a code", "credential", "public key"} {
			if strings.Contains(string(text), secret) {
				t.Errorf("the export contains %q: %s", secret, text)
			}
		}
	})
}

// insertPerson inserts an account and one row of each table about it.
func insertPerson(t *testing.T, store *db.Store) (account db.Account) {
	t.Helper()
	now := time.Now().UTC().Truncate(time.Microsecond)
	id, invite := uuid.Must(uuid.NewV7()), uuid.Must(uuid.NewV7())
	hash, mailed := "hash of the password", "hash of the mailed one"
	address := "x"
	must(t, store.InTx(t.Context(), func(q *db.Queries) error {
		ctx := t.Context()
		_, inviteErr := q.InsertInvite(ctx, db.InsertInviteParams{ID: invite, CodeHash: []byte("code"), MaxUses: 1, ExpiresAt: now})
		_, accountErr := q.InsertAccount(ctx, db.InsertAccountParams{ID: id, Email: "jane@example.org", Language: "en", InviteID: &invite, CreatedAt: now})
		mailID := uuid.Must(uuid.NewV7())
		_, pendingErr := q.SetPendingPassword(ctx, db.SetPendingPasswordParams{ID: id, PasswordHash: &mailed, MailID: &mailID, Number: 1, ExpiresAt: new(now.Add(time.Hour))})
		return errors.Join(inviteErr, accountErr, pendingErr,
			q.UpsertConfirmation(ctx, db.UpsertConfirmationParams{ID: uuid.New(), AccountID: id, Purpose: string(link.PasswordReset), KeyHash: []byte("a")}),
			q.UpsertLink(ctx, db.UpsertLinkParams{ID: uuid.New(), AccountID: id, Purpose: string(link.Email), KeyHash: []byte("b"), Address: &address}),
			q.InsertSession(ctx, db.InsertSessionParams{ID: uuid.Must(uuid.NewV7()), AccountID: id, Now: now}),
			q.InsertDevice(ctx, db.InsertDeviceParams{ID: uuid.Must(uuid.NewV7()), AccountID: id, Fingerprint: []byte("f"), Now: now}),
			q.InsertMail(ctx, db.InsertMailParams{ID: mailID, AccountID: id, Kind: mail.KindPassword, Nonce: []byte("nonce"), Now: now}),
			q.InsertAuditEvent(ctx, db.InsertAuditEventParams{ID: uuid.Must(uuid.NewV7()), Now: now, Operator: "olga", AccountID: &id, Details: "{}"}),
			insertFailure(ctx, q, id),
			insertFactors(ctx, q, id, now),
		)
	}))
	must(t, store.Write(t.Context(), func(q *db.Queries) error {
		_, err := q.ChangePassword(t.Context(), db.ChangePasswordParams{PasswordHash: &hash, Now: &now, ID: id, VerifiedHash: &mailed})
		return err
	}))
	account, err := store.Read().GetAccount(t.Context(), id)
	must(t, err)
	return account
}

func insertFailure(ctx context.Context, q *db.Queries, id uuid.UUID) error {
	if _, err := q.LockLoginFailure(ctx, db.LockLoginFailureParams{Key: id[:], AccountID: &id}); err != nil {
		return err
	}
	return q.UpdateLoginFailure(ctx, db.UpdateLoginFailureParams{Key: id[:], Failures: 1})
}

// fill gives each exported column a value of its own, and returns these values as the export has them, by column.
func fill(t *testing.T, raw *sql.DB, isSQLite bool) map[string]string {
	t.Helper()
	want := make(map[string]string)
	at := time.Date(2031, 2, 3, 4, 5, 6, 7000, time.UTC)
	for table, names := range decided {
		for name, reason := range names {
			column := table + "." + name
			if reason != exported || strings.HasSuffix(name, "id") && name != "client_id" && name != "request_id" && name != "rp_id" || column == "confirmation.purpose" {
				continue
			}
			var value any
			switch {
			case name == "last_failed_at":
				at = at.Add(time.Hour)
				value, want[column] = at.UnixMicro(), clock.Format(at)
			case strings.HasSuffix(name, "_at"), strings.HasSuffix(name, "_until"), strings.HasSuffix(name, "_since"):
				at = at.Add(time.Hour)
				value, want[column] = at, clock.Format(at)
				if isSQLite {
					value = at.UnixMicro()
				}
			case name == "failures", name == "second_factor_failures":
				value, want[column] = 7654320+len(name), strconv.Itoa(7654320+len(name))
			case name == "last_step":
				at = at.Add(time.Hour)
				value, want[column] = at.Unix()/30, clock.Format(at.Truncate(30*time.Second))
			default:
				value, want[column] = "of "+column, "of "+column
			}
			_, err := raw.ExecContext(t.Context(), fmt.Sprintf("UPDATE %s SET %s = $1", table, name), value)
			must(t, err)
		}
	}
	if len(want) < 30 {
		t.Errorf("only %d columns are checked", len(want))
	}
	return want
}

// A list has a maximum number of entries, the newest ones.
func TestExportIsBounded(t *testing.T) {
	t.Parallel()
	dbtest.EachEngine(t, func(t *testing.T, url string) {
		store := dbtest.Open(t, url)
		account := insertPerson(t, store)
		now := time.Now().UTC().Truncate(time.Microsecond)
		must(t, store.InTx(t.Context(), func(q *db.Queries) error {
			for i := range 9 {
				at := now.Add(time.Duration(i+1) * time.Minute)
				id := uuid.Must(uuid.NewV7())
				early := db.FirstIDAt(at)
				copy(id[:6], early[:6])
				if err := q.InsertMail(t.Context(), db.InsertMailParams{ID: id, AccountID: account.ID, Kind: mail.KindLoginNotice, Now: at}); err != nil {
					return err
				}
				err := q.InsertSession(t.Context(), db.InsertSessionParams{ID: id, AccountID: account.ID, Now: at})
				if err != nil {
					return err
				}
			}
			return nil
		}))
		export, err := userdata.ExportAtMost(t.Context(), store.Read(), account, uuid.Nil, now, 9)
		must(t, err)
		first, last := clock.Format(now.Add(9*time.Minute)), clock.Format(now.Add(time.Minute))
		if n := len(export.Emails); n != 9 || export.Emails[0].CreatedAt != first || export.Emails[n-1].CreatedAt != last {
			t.Errorf("%d emails: %v", n, export.Emails)
		}
		if n := len(export.Sessions); n != 9 || export.Sessions[0].UpdatedAt != first || export.Sessions[n-1].UpdatedAt != last {
			t.Errorf("%d sessions: %v", n, export.Sessions)
		}
	})
}

// A mail about a sign-up of somebody else with the address belongs to a decoy, and goes to the owner.
func TestExportOfDecoys(t *testing.T) {
	t.Parallel()
	dbtest.EachEngine(t, func(t *testing.T, url string) {
		store := dbtest.Open(t, url)
		account := insertPerson(t, store)
		now := time.Now()
		must(t, store.InTx(t.Context(), func(q *db.Queries) error {
			decoy := uuid.Must(uuid.NewV7())
			_, err := q.InsertAccount(t.Context(), db.InsertAccountParams{ID: decoy, Email: decoy.String(), PendingUntil: &now, DecoyOf: &account.ID})
			return errors.Join(err, q.InsertMail(t.Context(), db.InsertMailParams{ID: uuid.New(), AccountID: decoy, Kind: mail.KindSignUpNotice, Now: now}))
		}))
		export, err := userdata.Export(t.Context(), store.Read(), account, uuid.Nil, time.Now())
		must(t, err)
		if !slices.ContainsFunc(export.Emails, func(e api.UserExportEmail) bool { return e.Kind == mail.KindSignUpNotice }) {
			t.Errorf("the notice is not exported: %v", export.Emails)
		}
	})
}

// While accounts are hidden, an export never reveals whether a mail to a new address was sent: neither by its times, nor by how long it is
// stored.
func TestExportHidesWhetherAnAddressIsTaken(t *testing.T) {
	t.Parallel()
	dbtest.EachEngine(t, func(t *testing.T, url string) {
		store := dbtest.Open(t, url)
		asked := time.Now().UTC().Truncate(time.Microsecond)
		done := asked.Add(time.Second)
		var exports [2][]string // of a free address, and of a taken one whose owner was notified before
		for i := range exports {
			id, mailID := uuid.Must(uuid.NewV7()), uuid.Must(uuid.NewV7())
			must(t, store.InTx(t.Context(), func(q *db.Queries) error {
				_, err := q.InsertAccount(t.Context(), db.InsertAccountParams{ID: id, Email: id.String(), CreatedAt: asked})
				must(t, errors.Join(err, q.InsertMail(t.Context(), db.InsertMailParams{ID: mailID, AccountID: id, Kind: mail.KindEmailLink, Now: asked})))
				m, err := q.LeaseMail(t.Context(), db.LeaseMailParams{ID: mailID, Now: asked, LeaseUntil: done})
				if err != nil {
					return err
				}
				if i == 0 {
					_, err = q.MarkMailSent(t.Context(), db.MarkMailSentParams{Now: &done, ID: mailID, Attempts: 1, LeaseUntil: m.DueAt})
				} else {
					_, err = q.MarkMailDead(t.Context(), db.MarkMailDeadParams{Now: &done, ID: mailID, Attempts: 1, LeaseUntil: m.DueAt})
				}
				return err
			}))
		}
		accounts, err := store.Read().ListAccounts(t.Context(), db.ListAccountsParams{Before: uuid.Max, MaxRows: 9})
		must(t, err)
		for _, age := range []time.Duration{time.Minute, 7*24*time.Hour - time.Hour, 8 * 24 * time.Hour, 29 * 24 * time.Hour} {
			_, err := mail.DeleteOld(t.Context(), store, asked.Add(age))
			must(t, err)
			for i, account := range accounts {
				export, err := userdata.Export(t.Context(), store.Read(), account, uuid.Nil, asked.Add(age))
				must(t, err)
				text, err := json.Marshal(export.Emails)
				must(t, err)
				exports[i] = append(exports[i], string(text))
			}
		}
		if len(accounts) != 2 || !slices.Equal(exports[0], exports[1]) || exports[0][0] == "[]" {
			t.Errorf("one address:\n%s\nthe other:\n%s", strings.Join(exports[0], "\n"), strings.Join(exports[1], "\n"))
		}
	})
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
