package contract

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/financelime/authorization/test/harness"
)

// TestInviteCommands runs the commands while the service runs.
func TestInviteCommands(t *testing.T) {
	t.Parallel()
	harness.EachEngine(t, func(t *testing.T, engine string) {
		s := harness.Start(t, binary, contract, engine)
		run := func(args ...string) string {
			t.Helper()
			out, err := s.Command(t.Context(), args...)
			if err != nil {
				t.Fatal(err)
			}
			return out
		}
		code := strings.TrimSpace(run("invite", "create", "--uses=2", "--expires=1h"))
		newPerson(t, s).join(code)
		newPerson(t, s).signUp(code)
		if own := run("invite", "create", "--code=welcome2026"); own != "welcome2026\n" {
			t.Errorf("a code of one's own: %q", own)
		}
		if _, err := s.Command(t.Context(), "invite", "create", "--code=welcome2026"); err == nil || !strings.Contains(err.Error(), "already exists") {
			t.Errorf("a code twice: %v", err)
		}
		for _, bad := range []string{"--uses=0", "--expires=-1h", "--code=with space"} {
			if _, err := s.Command(t.Context(), "invite", "create", bad); err == nil || !strings.Contains(err.Error(), "exit status 1") {
				t.Errorf("%s: %v", bad, err)
			}
		}

		var rows []struct {
			ID      string `json:"id"`
			Uses    int    `json:"uses"`
			Pending int    `json:"pending"`
			MaxUses int    `json:"maxUses"`
			Revoked string `json:"revoked"`
		}
		if err := json.Unmarshal([]byte(run("invite", "list", "--json")), &rows); err != nil {
			t.Fatal(err)
		}
		var id string
		for _, r := range rows {
			if r.MaxUses == 2 {
				id = r.ID
				if r.Uses != 1 || r.Pending != 1 || r.Revoked != "" {
					t.Errorf("one confirmed and one pending: %+v", r)
				}
			}
		}
		if list := run("invite", "list"); !strings.Contains(list, id) || !strings.Contains(list, "ended") || strings.Contains(list, code) {
			t.Errorf("the list:\n%s", list)
		}
		run("invite", "revoke", id)
		run("invite", "revoke", "welcome2026")
		if list := run("invite", "list"); strings.Count(list, "revoked") != 2 {
			t.Errorf("the list after two revocations:\n%s", list)
		}
		for _, gone := range []string{id, "welcome2026", "never-was"} {
			if _, err := s.Command(t.Context(), "invite", "revoke", gone); err == nil {
				t.Errorf("revoke of %s succeeded", gone)
			}
		}
		if status := newPerson(t, s).signUp("welcome2026").StatusCode(); status != 404 {
			t.Errorf("sign-up with a revoked code: %d", status)
		}
		run("migrate")
	})
}

// TestStartTogether starts replicas at the same time on an empty database: one schema, one signing key.
func TestStartTogether(t *testing.T) {
	t.Parallel()
	first := harness.New(t, binary, contract, harness.Postgres)
	replicas := []*harness.Service{first}
	for range 3 {
		r := harness.New(t, binary, contract, harness.SQLite)
		r.Env, r.DatabaseURL = first.Env, first.DatabaseURL
		replicas = append(replicas, r)
	}
	harness.RunTogether(t, replicas...)
	if n := first.Count(t, "SELECT count(*) FROM signing_key"); n != 1 {
		t.Errorf("%d signing keys", n)
	}
	p := newPerson(t, first).join(first.Invite(t, 1))
	p.login()
	for _, r := range replicas { // any replica serves any request
		p.s = r
		p.refresh()
		p.sessions()
	}
}
