package contract

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/financelime/authorization/test/harness"
)

// TestOneServicePerFile expects a second service, a restore and a move to be refused while a service uses an SQLite file. Other commands work.
func TestOneServicePerFile(t *testing.T) {
	t.Parallel()
	s := harness.Start(t, binary, contract, harness.SQLite)
	moved := harness.New(t, binary, contract, harness.Postgres)
	backup := filepath.Join(s.Dir, "backup.db")
	for _, command := range [][]string{{"user", "list"}, {"backup", backup}, {"migrate"}} {
		if out, err := s.Command(t.Context(), command...); err != nil {
			t.Errorf("%s beside the service: %v %s", command, err, out)
		}
	}
	const says = "another process uses the database"
	if out := serveFails(t, s); !strings.Contains(out, says) {
		t.Errorf("a second service: %s", out)
	}
	if _, err := s.Command(t.Context(), "migrate", "--from="+s.DatabaseURL, "--to="+moved.DatabaseURL); err == nil || !strings.Contains(err.Error(), says) {
		t.Errorf("migrate --from: %v", err)
	}
	files, err := filepath.Glob(filepath.Join(s.Dir, "data", "auth.db*"))
	if err != nil {
		t.Fatal(err)
	}
	away := t.TempDir()
	for _, file := range files { // as after a stop of the service
		if err := os.Rename(file, filepath.Join(away, filepath.Base(file))); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Command(t.Context(), "restore", backup); err == nil || !strings.Contains(err.Error(), says) {
		t.Errorf("restore: %v", err)
	}
	s.Kill(t)
	if out, err := s.Command(t.Context(), "restore", backup); err != nil {
		t.Errorf("restore after the end of the service: %v %s", err, out)
	}
	s.Run(t)
}

// TestADamagedDatabaseIsRefused removes the cells of a page: the service does not start, and backup and move refuse the file.
func TestADamagedDatabaseIsRefused(t *testing.T) {
	t.Parallel()
	s := harness.Start(t, binary, contract, harness.SQLite)
	p := newPerson(t, s).join(s.Invite(t, 1))
	p.login()
	page := s.Count(t, "SELECT rootpage FROM sqlite_schema WHERE name = 'account'")
	moved := harness.New(t, binary, contract, harness.Postgres)
	s.Stop(t)
	path := filepath.Join(s.Dir, "data", "auth.db")
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	damaged := append([]byte(nil), whole...)
	at := (page - 1) * 4096
	damaged[at+3], damaged[at+4] = 0, 0 // the number of cells
	if err := os.WriteFile(path, damaged, 0o600); err != nil {
		t.Fatal(err)
	}
	const says = "the database is damaged"
	if out := serveFails(t, s); !strings.Contains(out, says) {
		t.Errorf("serve: %s", out)
	}
	for _, command := range [][]string{
		{"backup", "copy.db"}, {"migrate"}, {"migrate", "--from=" + s.DatabaseURL, "--to=" + moved.DatabaseURL},
		{"user", "list"}, {"user", "show", p.email}, {"user", "disable", p.email}, {"session", "revoke", "--all"}, {"mail", "list"},
		{"invite", "create"}, {"keys", "list"}, {"keys", "rotate"}, {"audit", "list"},
	} {
		if out, err := s.Command(t.Context(), command...); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v %s", command, err, out)
		}
	}
	if err := os.WriteFile(path, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	s.Run(t)
	p.login()
}
