package contract

import (
	"bytes"
	"encoding/json"
	"os/exec"
	"strings"
	"testing"

	"github.com/financelime/authorization/test/harness"
)

// TestCommandsReportTheResult expects each command to print a result that is true.
func TestCommandsReportTheResult(t *testing.T) {
	t.Parallel()
	harness.EachEngine(t, func(t *testing.T, engine string) {
		s := harness.Start(t, binary, contract, engine)
		both := func(args ...string) (stdout, stderr string) {
			t.Helper()
			var out, errors bytes.Buffer
			cmd := exec.CommandContext(t.Context(), binary, args...)
			cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = s.Dir, s.Env, &out, &errors
			if err := cmd.Run(); err != nil {
				t.Fatalf("%q: %v: %s", args, err, errors.String())
			}
			return out.String(), errors.String()
		}

		// A mail that was sent is not withdrawn, nor is one that is dead.
		code := s.Invite(t, 10)
		p := newPerson(t, s).join(code)
		p.login()
		if out, _ := both("user", "delete", p.email); !strings.Contains(out, "1 session ended, 0 links and 0 mails withdrawn") {
			t.Errorf("two mails were sent: %s", out)
		}
		if n := s.Count(t, "SELECT count(*) FROM mail"); n != 0 {
			t.Errorf("%d mails are left", n)
		}
		p = newPerson(t, s)
		p.want("sign up", p.signUp(code).StatusCode(), 204)
		p.mail()
		eventually(t, "the mail is recorded as sent", func() bool { return s.Count(t, "SELECT count(*) FROM mail WHERE sent_at IS NOT NULL") == 1 })
		s.Exec(t, "UPDATE mail SET sent_at = NULL, due_at = (SELECT max(created_at) FROM account) + "+map[bool]string{true: "3600000000", false: "interval '1 hour'"}[s.DatabaseURL[:6] == "sqlite"]+", last_error = 'later'")
		if out, _ := both("user", "delete", "--json", p.email); !strings.Contains(out, `"mails": 1`) || !strings.Contains(out, `"links": 1`) {
			t.Errorf("a mail waited: %s", out)
		}

		if out, _ := both("mail", "retry", "--dead"); out != "there are no dead emails\n" {
			t.Errorf("retry of no dead mail says %q", out)
		}

		both("invite", "revoke", code)
		both("invite", "create", "--expires=30d", "--code=thirty-days")
		out, _ := both("invite", "list", "--json")
		var invites []struct{ ID, State string }
		if err := json.Unmarshal([]byte(out), &invites); err != nil || len(invites) != 2 || invites[0].State != "open" || invites[1].State != "revoked" {
			t.Errorf("%v: %s", err, out)
		}

		// A list that continues after an unknown ID says so; after the last row it prints nothing.
		for thing, list := range map[string][]string{
			"user": {"user", "list"}, "session": {"session", "list"}, "mail": {"mail", "list"}, "invite": {"invite", "list"},
		} {
			for _, id := range []string{"01890000-0000-7000-8000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff"} {
				if _, note := both(append(list, "--after="+id)...); !strings.Contains(note, "there is no such "+thing) {
					t.Errorf("%q after an unknown id says %q", list, note)
				}
			}
		}
		if out, note := both("invite", "list", "--json", "--after="+invites[0].ID); note != "" || !strings.Contains(out, invites[1].ID) {
			t.Errorf("after one that is there: %s%s", note, out)
		}
		if _, note := both("invite", "list"); note != "" {
			t.Errorf("a list says %q", note)
		}
	})
}
