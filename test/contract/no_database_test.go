package contract

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/financelime/authorization/test/harness"
)

// workingCommands lists the commands that need an existing database.
func workingCommands() []string {
	id := uuid.Max.String()
	return []string{
		"user list", "user show a@example.org", "user disable a@example.org", "user enable a@example.org", "user delete a@example.org", "user email a@example.org b@example.org", "user second-factor remove a@example.org",
		"session list", "session list --user=a@example.org", "session revoke --all", "session revoke " + id,
		"mail list", "mail retry --dead", "invite list", "invite create", "invite revoke " + id,
		"keys list", "keys rotate", "keys rotate --now", "keys abandon", "audit list", "backup copy.db",
	}
}

// TestCommandsCreateNoDatabase expects commands to create no database, and the service to start afterwards.
func TestCommandsCreateNoDatabase(t *testing.T) {
	t.Parallel()
	for _, engine := range []string{harness.SQLite, harness.Postgres} {
		s := harness.New(t, binary, contract, engine)
		for _, command := range workingCommands() {
			if engine == harness.Postgres && strings.HasPrefix(command, "backup") {
				continue
			}
			if out, err := s.Command(t.Context(), strings.Fields(command)...); err == nil ||
				!strings.Contains(err.Error(), "there is no") || strings.Contains(err.Error(), "secret") {
				t.Errorf("%s: %s: %v %s", engine, command, err, out)
			}
			if files, err := os.ReadDir(s.Dir); err != nil || len(files) > 0 {
				t.Fatalf("%s: %s made %v, %v", engine, command, files, err)
			}
		}
		if engine == harness.Postgres {
			if n := s.Count(t, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"); n != 0 {
				t.Errorf("%d tables were made", n)
			}
		}
		s.Run(t)
		newPerson(t, s).join(s.Invite(t, 1)).login()
	}
}

// TestMigrateCreatesADatabase expects migrate to create a database, and its secret, on which the service starts.
func TestMigrateCreatesADatabase(t *testing.T) {
	t.Parallel()
	harness.EachEngine(t, func(t *testing.T, engine string) {
		s := harness.New(t, binary, contract, engine)
		for _, command := range []string{"migrate", "user list", "migrate", "keys list", "session list"} {
			if out, err := s.Command(t.Context(), strings.Fields(command)...); err != nil {
				t.Errorf("%s: %v %s", command, err, out)
			}
		}
		s.Run(t)
		newPerson(t, s).join(s.Invite(t, 1)).login()
	})
}

// TestCommandsLeaveForeignFilesAlone expects all commands except serve and migrate to leave an empty or foreign database unchanged.
func TestCommandsLeaveForeignFilesAlone(t *testing.T) {
	t.Parallel()
	s := harness.New(t, binary, contract, harness.SQLite)
	path := filepath.Join(s.Dir, "data", "auth.db")
	if err := os.Mkdir(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	other := harness.New(t, binary, contract, harness.SQLite)
	other.DatabaseURL = "sqlite:" + filepath.Join(other.Dir, "other.db")
	other.Exec(t, "CREATE TABLE account (name text)")
	foreign, err := os.ReadFile(strings.TrimPrefix(other.DatabaseURL, "sqlite:"))
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{"empty": "", "text": strings.Repeat("dear diary ", 1000), "foreign": string(foreign)} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, command := range append(workingCommands(), "migrate", "serve") {
			if name == "empty" && (command == "migrate" || command == "serve") {
				continue
			}
			if out, err := s.Command(t.Context(), append(strings.Fields(command), "--secret=q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA=")...); err == nil {
				t.Errorf("%s: %s went well: %s", name, command, out)
			} else if strings.HasPrefix(command, "user") && name != "text" && !strings.Contains(err.Error(), "there is no database of this service") {
				t.Errorf("%s: %s: %v", name, command, err)
			}
			if now, err := os.ReadFile(path); err != nil || string(now) != content {
				t.Fatalf("%s: %s changed the file: %v", name, command, err)
			}
		}
	}
}

// TestCommandsDoNotMigrate expects commands to report a database that is older than the program, and not to change its schema.
func TestCommandsDoNotMigrate(t *testing.T) {
	t.Parallel()
	harness.EachEngine(t, func(t *testing.T, engine string) {
		s := harness.Start(t, binary, contract, engine)
		s.Stop(t)
		s.Exec(t, "UPDATE financelime_auth_version SET version_id = -version_id WHERE version_id = (SELECT max(version_id) FROM financelime_auth_version)")
		before := s.Snapshot(t)
		for _, command := range workingCommands() {
			if strings.HasPrefix(command, "backup") {
				continue // it copies any version
			}
			if out, err := s.Command(t.Context(), strings.Fields(command)...); err == nil || !strings.Contains(err.Error(), "`financelime-auth migrate`") {
				t.Errorf("%s: %v %s", command, err, out)
			}
		}
		if s.Snapshot(t) != before {
			t.Error("the database was changed")
		}
		s.Exec(t, "UPDATE financelime_auth_version SET version_id = -version_id WHERE version_id < 0")
		// A newer schema is used as it is: replicas and their commands are replaced one after another.
		s.Exec(t, "INSERT INTO financelime_auth_version (version_id, is_applied) VALUES (99999, true)")
		if out, err := s.Command(t.Context(), "user", "list"); err != nil {
			t.Errorf("beside a newer version: %v %s", err, out)
		}
	})
}

// serveFails runs the service, which must end by itself, and returns its output.
func serveFails(t *testing.T, s *harness.Service, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, s.Binary, append([]string{"serve"}, args...)...)
	cmd.Dir, cmd.Env = s.Dir, s.Env
	out, err := cmd.CombinedOutput()
	if err == nil || ctx.Err() != nil {
		t.Errorf("serve did not fail: %v\n%s", err, out)
	}
	return string(out)
}
