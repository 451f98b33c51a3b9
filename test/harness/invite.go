package harness

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/invite"
	"github.com/financelime/authorization/impl/secret"
)

// Secret returns the service's AUTH_SECRET, from its settings or from the file that it created.
func (s *Service) Secret(t testing.TB) string {
	t.Helper()
	for _, e := range s.Env {
		if value, found := strings.CutPrefix(e, "AUTH_SECRET="); found {
			return value
		}
	}
	path := filepath.Join(filepath.Dir(strings.TrimPrefix(s.DatabaseURL, "sqlite:")), "secret")
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("the mode of %s is %o", path, info.Mode().Perm())
	}
	return strings.TrimSpace(string(content))
}

// Invite creates an invite code, like the command `invite create` but faster: without a process.
func (s *Service) Invite(t testing.TB, uses int) string {
	t.Helper()
	root, err := secret.Parse(s.Secret(t))
	if err != nil {
		t.Fatal(err)
	}
	store, err := db.Open(t.Context(), s.DatabaseURL)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	code, err := invite.Create(t.Context(), store, root, invite.Options{Uses: int64(uses), Lifetime: time.Hour}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return code
}
