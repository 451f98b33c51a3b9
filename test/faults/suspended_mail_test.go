package faults

import (
	"context"
	"database/sql"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/financelime/authorization/api/client"
	"github.com/financelime/authorization/test/harness"
)

// TestMailWithdrawnWhileSuspended suspends the process after it has leased the mail with a password and read the account, and before it
// hashes the password. Meanwhile an operator disables the user and enables them again, which withdraws the mail. It sets no pending password and is not sent.
//
// Locks of PostgreSQL stop the worker at that point. In SQLite readers do not wait for locks: for SQLite, and for other points
// at which a worker may be suspended, see TestWithdrawnMailIsNotSent of impl/mail.
func TestMailWithdrawnWhileSuspended(t *testing.T) {
	parallel(t)
	s := harness.Start(t, binary, contract, harness.Postgres, "AUTH_MAIL_TIMEOUT=2m")
	email := "p" + strings.ReplaceAll(uuid.NewString(), "-", "") + "@example.com"
	signUp, err := s.API.SignupWithResponse(t.Context(), &client.SignupParams{RequestID: newRequestID()},
		client.SignUpRequest{Email: email, InviteCode: s.Invite(t, 1), Language: "en"})
	requireStatus(t, "sign-up", 204, signUp, err)
	link := s.WaitMails(t, email, 1)[0].Link(t)

	locks := lockHolder{t, s.DB(t)}
	s.Exec(t, "CREATE FUNCTION wait_for_the_test() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_advisory_xact_lock(42); RETURN NEW; END'")
	s.Exec(t, "CREATE TRIGGER wait_for_the_test BEFORE UPDATE OF attempts ON mail FOR EACH ROW WHEN (NEW.attempts > OLD.attempts) EXECUTE FUNCTION wait_for_the_test()")
	letLease := locks.lock("SELECT pg_advisory_xact_lock(42)")
	click := func(link string) {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+link, nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := s.HTTP.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		if response.StatusCode != http.StatusOK {
			t.Fatalf("click: %s", response.Status)
		}
	}
	click(link.RequestURI())
	locks.waitBlocked("LeaseMail")
	letRead := locks.lock("LOCK TABLE account IN ACCESS EXCLUSIVE MODE")
	letLease()
	locks.waitBlocked("GetAccount")
	s.Signal(t, syscall.SIGSTOP)
	letRead()
	locks.waitUnblocked("GetAccount")
	for _, command := range []string{"disable", "enable"} {
		if out, err := s.Command(t.Context(), "user", command, email); err != nil {
			t.Errorf("%v: %s", err, out)
		}
	}
	s.Signal(t, syscall.SIGCONT)

	eventually(t, "the worker has finished with the mail", time.Minute, func() bool { return strings.Contains(s.Log(), `"msg":"mail.lease_lost"`) })
	if n := s.Count(t, "SELECT count(*) FROM account WHERE pending_password_hash IS NOT NULL"); n != 0 {
		t.Error("a withdrawn mail has set its pending password")
	}
	if n := len(s.Mails(t)); n != 1 {
		t.Errorf("%d mails, want only the link", n)
	}

	// The user continues with a reset.
	reset, err := s.API.UserPasswordResetWithResponse(t.Context(), &client.UserPasswordResetParams{RequestID: newRequestID()},
		client.RequestUserPasswordResetRequest{Email: email})
	requireStatus(t, "reset", 204, reset, err)
	click(s.WaitMails(t, email, 2)[0].Link(t).RequestURI())
	login, err := s.API.CreateAccessTokenWithResponse(t.Context(), &client.CreateAccessTokenParams{RequestID: newRequestID()},
		client.CreateAccessTokenRequest{Email: email, Password: s.WaitMails(t, email, 3)[0].Password(t), ClientID: "test_v1"})
	requireStatus(t, "login", 200, login, err)
}

func requireStatus(t *testing.T, what string, want int, response interface{ StatusCode() int }, err error) {
	t.Helper()
	if status, err := statusOf(response, err); err != nil || status != want {
		t.Fatalf("%s: %d, %v", what, status, err)
	}
}

// lockHolder holds database locks and detects queries that wait for them.
type lockHolder struct {
	t  *testing.T
	db *sql.DB
}

// lock takes a lock in a transaction. The returned function ends the transaction.
func (h lockHolder) lock(statement string) (release func()) {
	h.t.Helper()
	tx, err := h.db.BeginTx(context.WithoutCancel(h.t.Context()), nil)
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { _ = tx.Rollback() })
	if _, err := tx.ExecContext(h.t.Context(), statement); err != nil {
		h.t.Fatalf("%s: %v", statement, err)
	}
	return func() {
		if err := tx.Rollback(); err != nil {
			h.t.Error(err)
		}
	}
}

func (h lockHolder) waiting(query string) (n int) {
	h.t.Helper()
	const waiting = `SELECT count(*) FROM pg_stat_activity
		WHERE datname = current_database() AND state = 'active' AND wait_event_type = 'Lock' AND query LIKE '-- name: ' || $1 || ' %'`
	if err := h.db.QueryRowContext(h.t.Context(), waiting, query).Scan(&n); err != nil {
		h.t.Fatal(err)
	}
	return n
}

// waitBlocked waits until one of the service's queries waits for a lock.
func (h lockHolder) waitBlocked(query string) {
	h.t.Helper()
	eventually(h.t, query+" waits", time.Minute, func() bool { return h.waiting(query) > 0 })
}

func (h lockHolder) waitUnblocked(query string) {
	h.t.Helper()
	eventually(h.t, query+" is done", time.Minute, func() bool { return h.waiting(query) == 0 })
}
