//go:build replicas

package replicas

import (
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/financelime/authorization/test/harness"
)

// TestUpgrade checks that the previous version still works after the migration to this version's schema, also with its open connections,
// and while replicas of this version run: a rolling upgrade.
func TestUpgrade(t *testing.T) {
	dir := t.TempDir()
	previous := filepath.Join(dir, "previous")
	if out, err := exec.CommandContext(t.Context(), "./previous", previous).CombinedOutput(); err != nil {
		t.Fatalf("build the previous version: %v\n%s", err, out)
	}
	mails := "AUTH_MAIL_URL=file:" + filepath.Join(dir, "mail")
	old := harness.Start(t, previous, contract, harness.Postgres, "AUTH_INVITE_CODE_REQUIRED=false", mails)
	newUser(t, old).journey()

	next := harness.New(t, binary, contract, harness.Postgres)
	next.Env, next.DatabaseURL = old.Env, old.DatabaseURL
	if _, err := next.Command(t.Context(), "migrate"); err != nil {
		t.Fatal(err)
	}
	t.Logf("the schema is at version %d", next.Count(t, "SELECT max(version_id) FROM financelime_auth_version"))
	newUser(t, old).journey()
	next.Run(t)
	for range 2 { // alternates the requests between the versions, in both orders
		newUser(t, old, next).journey()
		newUser(t, next, old).journey()
	}
	if _, err := old.Command(t.Context(), "migrate"); err != nil { // as at a restart
		t.Fatal(err)
	}
}
