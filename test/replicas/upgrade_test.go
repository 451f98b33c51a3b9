//go:build replicas

package replicas

import (
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/financelime/authorization/test/harness"
)

// The version before goes on working on this version's schema, from the same connections, and beside this version: that is how
// replicas are replaced one after another.
func TestUpgradeBesideThePreviousVersion(t *testing.T) {
	dir := t.TempDir()
	previous := filepath.Join(dir, "previous")
	if out, err := exec.CommandContext(t.Context(), "./previous", previous).CombinedOutput(); err != nil {
		t.Fatalf("build the previous version: %v\n%s", err, out)
	}
	mails := "AUTH_MAIL_URL=file:" + filepath.Join(dir, "mail")
	old := harness.Start(t, previous, contract, harness.Postgres, "AUTH_INVITE_CODE_REQUIRED=false", mails)
	newTraveller(t, old).walk()

	next := harness.New(t, binary, contract, harness.Postgres)
	next.Env, next.DatabaseURL = old.Env, old.DatabaseURL
	if _, err := next.Command(t.Context(), "migrate"); err != nil {
		t.Fatal(err)
	}
	t.Logf("the schema is at version %d", next.Count(t, "SELECT max(version_id) FROM financelime_auth_version"))
	newTraveller(t, old).walk()
	next.Run(t)
	for range 2 { // each step on the one and on the other
		newTraveller(t, old, next).walk()
		newTraveller(t, next, old).walk()
	}
	if _, err := old.Command(t.Context(), "migrate"); err != nil { // as one that starts again does
		t.Fatal(err)
	}
}
