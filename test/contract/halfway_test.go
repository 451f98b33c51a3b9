package contract

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/financelime/authorization/impl/password"
	"github.com/financelime/authorization/test/harness"
)

// broken makes a kind of change of a table fail in the database where a condition holds, until the returned function is
// called.
func broken(t *testing.T, s *harness.Service, change, table, when string) (repair func()) {
	t.Helper()
	if strings.HasPrefix(s.DatabaseURL, "sqlite:") {
		s.Exec(t, fmt.Sprintf("CREATE TRIGGER broken BEFORE %s ON %s WHEN (%s) BEGIN SELECT RAISE(ABORT, 'broken'); END", change, table, when))
		return func() { s.Exec(t, "DROP TRIGGER broken") }
	}
	s.Exec(t, "CREATE FUNCTION broken() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''broken''; END'")
	s.Exec(t, fmt.Sprintf("CREATE TRIGGER broken BEFORE %s ON %s FOR EACH ROW WHEN (%s) EXECUTE FUNCTION broken()", change, table, when))
	return func() { s.Exec(t, "DROP FUNCTION broken CASCADE") }
}

// TestFailedOperationsChangeNothing lets each step of each operation fail: nothing remains of it, and the next attempt succeeds
// (SECURITY.md S-H6).
func TestFailedOperationsChangeNothing(t *testing.T) {
	t.Parallel()
	harness.EachEngine(t, func(t *testing.T, engine string) {
		s := harness.Start(t, binary, contract, engine)
		p := newPerson(t, s)
		code := s.Invite(t, 1)
		try := func(what string, status int, request func() int, steps ...string) {
			t.Helper()
			eventually(t, "no mail is queued", func() bool {
				return s.Count(t, "SELECT count(*) FROM mail WHERE sent_at IS NULL") == 0
			})
			before := s.Snapshot(t)
			for _, step := range steps {
				change, table, _ := strings.Cut(step, " of ")
				repair := broken(t, s, change, table, "true")
				if got := request(); got != http.StatusInternalServerError {
					t.Errorf("%s without an %s: %d", what, step, got)
				}
				repair()
				if after := s.Snapshot(t); after != before {
					t.Errorf("%s without an %s left something:\n%s\nwas\n%s", what, step, after, before)
				}
			}
			p.want(what, request(), status)
		}

		try("sign-up", 204, func() int { return p.signUp(code).StatusCode() },
			"INSERT of account", "UPDATE of invite", "INSERT of confirmation", "INSERT of mail")
		link := p.mail().Link(t)
		try("confirmation", 200, func() int { return p.open(link).StatusCode },
			"UPDATE of account", "DELETE of confirmation", "INSERT of mail")
		p.password = p.mail().Password(t)
		login := func() int { return p.tryLogin(p.password).StatusCode() }
		try("first login", 200, login, "UPDATE of account", "INSERT of session")
		try("reset", 204, func() int { return p.resetPassword().StatusCode() }, "INSERT of confirmation", "INSERT of mail")
		link = p.mail().Link(t)
		try("click of the reset", 200, func() int { return p.open(link).StatusCode }, "DELETE of confirmation", "INSERT of mail")
		p.password = p.mail().Password(t)
		try("login with the new password", 200, login, "UPDATE of account", "DELETE of session", "INSERT of session", "INSERT of mail")
	})
}

// TestHashIsRenewed expects a hash with older parameters to be renewed at the next login. If that fails, the login still succeeds and the
// next one tries again (SECURITY.md S-A7).
func TestHashIsRenewed(t *testing.T) {
	t.Parallel()
	harness.EachEngine(t, func(t *testing.T, engine string) {
		s := harness.Start(t, binary, contract, engine)
		p := newPerson(t, s).join(s.Invite(t, 1))
		p.login()
		older := password.NewHasher(password.Options{Params: password.Params{Memory: 8 * 1024, Time: 1, Threads: 1}})
		hash, err := older.Hash(t.Context(), p.password, "")
		p.must(err)
		s.Exec(t, "UPDATE account SET password_hash = $1 WHERE email = $2", hash, p.email)
		renewed := func() bool {
			return s.Count(t, "SELECT count(*) FROM account WHERE password_hash LIKE '$argon2id$v=19$m=47104,t=1,p=1$%' AND email = $1", p.email) == 1
		}

		repair := broken(t, s, "UPDATE", "account", "NEW.password_hash <> OLD.password_hash")
		p.login()
		if renewed() {
			t.Error("renewed although the database refuses it")
		}
		eventually(t, "password.rehash_failed is in the log", func() bool { return strings.Contains(s.Log(), `"msg":"password.rehash_failed"`) })
		repair()
		p.login()
		if !renewed() {
			t.Error("not renewed")
		}
		p.login()
	})
}
