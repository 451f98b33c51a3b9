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

// The process is stopped while it has leased the mail with a password and read the account, and is to hash the password. Until it goes
// on, an operator disables the user and enables them again: the mail was withdrawn, arms nothing and is not sent.
//
// Locks of PostgreSQL hold the worker at that very point. SQLite has none that readers wait for: there, and for the other points
// at which a worker may stop, see TestWithdrawnMailIsNotSent of impl/mail.
func TestWithdrawnWhileStopped(t *testing.T) {
	beside(t)
	s := harness.Start(t, binary, contract, harness.Postgres, "AUTH_MAIL_TIMEOUT=2m")
	email := "p" + strings.ReplaceAll(uuid.NewString(), "-", "") + "@example.com"
	signUp, err := s.API.SignupWithResponse(t.Context(), &client.SignupParams{RequestID: rid()},
		client.SignUpRequest{Email: client.Email(email), InviteCode: s.Invite(t, 1), Language: "en"})
	wantAnswer(t, "sign-up", 204, signUp, err)
	link := s.WaitMails(t, email, 1)[0].Link(t)

	hold := holder{t, s.DB(t)}
	s.Exec(t, "CREATE FUNCTION wait_for_the_test() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_advisory_xact_lock(42); RETURN NEW; END'")
	s.Exec(t, "CREATE TRIGGER wait_for_the_test BEFORE UPDATE OF attempts ON mail FOR EACH ROW WHEN (NEW.attempts > OLD.attempts) EXECUTE FUNCTION wait_for_the_test()")
	letLease := hold.lock("SELECT pg_advisory_xact_lock(42)")
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
	hold.waits("LeaseMail")
	letRead := hold.lock("LOCK TABLE account IN ACCESS EXCLUSIVE MODE")
	letLease()
	hold.waits("GetAccount")
	s.Signal(t, syscall.SIGSTOP)
	letRead()
	hold.waitsNoMore("GetAccount")
	for _, command := range []string{"disable", "enable"} {
		if out, err := s.Command(t.Context(), "user", command, email); err != nil {
			t.Errorf("%v: %s", err, out)
		}
	}
	s.Signal(t, syscall.SIGCONT)

	eventually(t, "the worker is through with the mail", time.Minute, func() bool { return strings.Contains(s.Log(), `"msg":"mail.lease_lost"`) })
	if n := s.Count(t, "SELECT count(*) FROM account WHERE pending_password_hash IS NOT NULL"); n != 0 {
		t.Error("a mail that was withdrawn has armed its password")
	}
	if n := len(s.Mails(t)); n != 1 {
		t.Errorf("%d mails, not the link alone", n)
	}

	// The user goes on by a reset.
	reset, err := s.API.UserPasswordResetWithResponse(t.Context(), &client.UserPasswordResetParams{RequestID: rid()},
		client.RequestUserPasswordResetRequest{Email: client.Email(email)})
	wantAnswer(t, "reset", 204, reset, err)
	click(s.WaitMails(t, email, 2)[0].Link(t).RequestURI())
	login, err := s.API.CreateAccessTokenWithResponse(t.Context(), &client.CreateAccessTokenParams{RequestID: rid()},
		client.CreateAccessTokenRequest{Email: client.Email(email), Password: s.WaitMails(t, email, 3)[0].Password(t), ClientID: "test_v1"})
	wantAnswer(t, "log-in", 200, login, err)
}

func wantAnswer(t *testing.T, what string, want int, answer interface{ StatusCode() int }, err error) {
	t.Helper()
	if status, err := statusOf(answer, err); err != nil || status != want {
		t.Fatalf("%s: %d, %v", what, status, err)
	}
}

// holder holds locks of a database, and sees who waits for them.
type holder struct {
	t  *testing.T
	db *sql.DB
}

// lock takes a lock, in a transaction that the returned function ends.
func (h holder) lock(statement string) (release func()) {
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

func (h holder) waiting(query string) (n int) {
	h.t.Helper()
	const waiting = `SELECT count(*) FROM pg_stat_activity
		WHERE datname = current_database() AND state = 'active' AND wait_event_type = 'Lock' AND query LIKE '-- name: ' || $1 || ' %'`
	if err := h.db.QueryRowContext(h.t.Context(), waiting, query).Scan(&n); err != nil {
		h.t.Fatal(err)
	}
	return n
}

// waits returns when the service waits for a lock in one of its queries.
func (h holder) waits(query string) {
	h.t.Helper()
	eventually(h.t, query+" waits", time.Minute, func() bool { return h.waiting(query) > 0 })
}

func (h holder) waitsNoMore(query string) {
	h.t.Helper()
	eventually(h.t, query+" is done", time.Minute, func() bool { return h.waiting(query) == 0 })
}
