package contract

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/financelime/authorization/test/harness"
)

// TestMoveToPostgreSQL expects sessions, links and passwords to work after a move from SQLite to PostgreSQL.
func TestMoveToPostgreSQL(t *testing.T) {
	t.Parallel()
	old := harness.Start(t, binary, contract, harness.SQLite)
	code := old.Invite(t, 5)
	active, pending := newPerson(t, old).join(code), newPerson(t, old)
	active.login()
	access := active.session.AccessToken
	pending.want("sign up", pending.signUp(code).StatusCode(), 204)
	link := pending.mail().Link(t)
	active.want("reset", active.resetPassword().StatusCode(), 204)
	reset := active.mail().Link(t)
	old.Stop(t)

	moved := harness.New(t, binary, contract, harness.Postgres, "AUTH_SECRET="+old.Secret(t))
	refused := func(why string, args ...string) {
		t.Helper()
		if out, err := old.Command(t.Context(), append([]string{"migrate"}, args...)...); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%q was not refused because of %q: %v\n%s", args, why, err, out)
		}
	}
	from, to := "--from="+old.DatabaseURL, "--to="+moved.DatabaseURL
	refused("--from", to)
	refused("--to PostgreSQL", from)
	refused("there is no", "--from=sqlite:nowhere/auth.db", to)
	refused("AUTH_SECRET", from, to, "--secret=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")
	out, err := old.Command(t.Context(), "migrate", from, to)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out, "AUTH_SECRET") || !strings.Contains(out, "session") {
		t.Errorf("output:\n%s", out)
	}
	refused("not empty", from, to)

	moved.Run(t)
	active.s, pending.s = moved, moved
	active.mails, pending.mails = 0, 0 // the new service has its own mailbox
	if status := verifyOn(t, moved, access); status != 204 {
		t.Errorf("the access token of before: %d", status)
	}
	active.refresh()
	active.login()
	pending.want("open the link of before", pending.open(link).StatusCode, 200)
	pending.password = pending.mail().Password(t)
	pending.login()
	active.want("open the reset link of before", active.open(reset).StatusCode, 200)
	active.password = active.mail().Password(t)
	active.login()
	newPerson(t, moved).join(code).login()
}

// TestBackupAndRestore expects the data of the backup, but no token and no link that was used since.
func TestBackupAndRestore(t *testing.T) {
	t.Parallel()
	s := harness.Start(t, binary, contract, harness.SQLite)
	run := func(args ...string) string {
		t.Helper()
		out, err := s.Command(t.Context(), args...)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	p := newPerson(t, s).join(s.Invite(t, 1))
	p.login()
	p.want("reset", p.resetPassword().StatusCode(), 204)
	reset := p.mail().Link(t)
	file := filepath.Join(s.Dir, "backup.db")
	if out := run("backup", file); !strings.Contains(out, "AUTH_SECRET") {
		t.Errorf("backup says:\n%s", out)
	}
	if _, err := s.Command(t.Context(), "backup", file); err == nil || !strings.Contains(err.Error(), "exists already") {
		t.Errorf("a second backup into one file: %v", err)
	}
	atBackup := p.session.RefreshToken
	p.refresh()
	p.want("open the reset link", p.open(reset).StatusCode, 200)
	since := p.session.RefreshToken
	p.mail() // the password, which is never used
	s.Stop(t)

	again := func(args ...string) {
		t.Helper()
		for _, name := range []string{"auth.db", "auth.db-wal", "auth.db-shm"} {
			if err := os.RemoveAll(filepath.Join(s.Dir, "data", name)); err != nil {
				t.Fatal(err)
			}
		}
		run(append([]string{"restore", file}, args...)...)
		s.Run(t)
	}
	if _, err := s.Command(t.Context(), "restore", file); err == nil || !strings.Contains(err.Error(), "in the way") {
		t.Errorf("over a database: %v", err)
	}
	again()
	p.want("refresh with the token of before the backup", p.tryRefresh(atBackup).StatusCode(), 404)
	p.want("refresh with the token of since", p.tryRefresh(since).StatusCode(), 404)
	p.want("the link that was used", p.open(reset).StatusCode, 404)
	p.login()
	s.Stop(t)

	again("--keep-sessions")
	p.want("refresh with the token of before the backup", p.tryRefresh(atBackup).StatusCode(), 200)
	s.Stop(t)

	secret := filepath.Join(s.Dir, "data", "secret")
	for _, name := range []string{"auth.db", "secret"} {
		if err := os.Rename(filepath.Join(s.Dir, "data", name), filepath.Join(s.Dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Command(t.Context(), "restore", file); err == nil || !strings.Contains(err.Error(), secret) {
		t.Errorf("without the secret: %v", err)
	}
	if _, err := s.Command(t.Context(), "restore", file, "--secret=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="); err == nil || !strings.Contains(err.Error(), "AUTH_SECRET") {
		t.Errorf("with another secret: %v", err)
	}
}
