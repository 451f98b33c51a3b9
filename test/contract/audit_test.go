package contract

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/financelime/authorization/test/harness"
)

// auditEvents returns the audit events, the newest first, as "operator action account subject".
func auditEvents(t *testing.T, s *harness.Service) []string {
	t.Helper()
	out, err := s.Command(t.Context(), "audit", "list", "--json")
	if err != nil {
		t.Fatal(err)
	}
	var events []struct{ Operator, Action, AccountID, Subject string }
	if err := json.Unmarshal([]byte(out), &events); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	lines := make([]string, len(events))
	for i, e := range events {
		lines[i] = strings.Join([]string{e.Operator, e.Action, e.AccountID, e.Subject}, " ")
	}
	return lines
}

// TestAuditEvents expects one event for each change by a command, with operator, action and account; none if nothing changed.
func TestAuditEvents(t *testing.T) {
	t.Parallel()
	harness.EachEngine(t, func(t *testing.T, engine string) {
		s := harness.Start(t, binary, contract, engine)
		p := newPerson(t, s).join(s.Invite(t, 1))
		p.login()
		before := len(auditEvents(t, s))
		var invite string
		s.Env = append(s.Env, "AUTH_OPERATOR=ann")
		for _, step := range []struct{ command, event string }{
			{"user disable " + p.email, "ann user.disabled ACCOUNT "},
			{"user disable " + p.email, ""}, // already
			{"user enable " + p.email, "ann user.enabled ACCOUNT "},
			{"user enable " + p.email, ""},
			{"user disable nobody@example.org", ""},
			{"session revoke --user=" + p.email, "ann session.revoked_user ACCOUNT "},
			{"session revoke 01a22c69-d31a-7dca-90e2-f901b7c20143", ""},
			{"invite create --operator=bob", "bob invite.created  "},
			{"invite create --code=taken-by-an-invite", "ann invite.created  "},
			{"invite create --code=taken-by-an-invite", ""},
			{"invite revoke INVITE", "ann invite.revoked  INVITE"},
			{"invite revoke INVITE", ""},
			{"mail retry 01a22c69-d31a-7dca-90e2-f901b7c20143", ""},
			{"keys rotate", "ann keys.rotated  "},
			{"keys rotate", ""}, // a new key is published already
			{"user list", ""},
			{"user delete " + p.email, "ann user.deleted ACCOUNT "},
		} {
			id := s.Count(t, "SELECT count(*) FROM account WHERE email = $1", p.email)
			account := ""
			if id == 1 {
				account = accountID(t, s, p.email)
			}
			_, _ = s.Command(t.Context(), strings.Fields(strings.ReplaceAll(step.command, "INVITE", invite))...)
			events := auditEvents(t, s)
			switch {
			case step.event == "" && len(events) != before:
				t.Errorf("%s: an event %q", step.command, events[0])
			case step.event != "" && len(events) != before+1:
				t.Errorf("%s: %d events were %d", step.command, len(events), before)
			case step.event != "":
				want := strings.NewReplacer("ACCOUNT", account, "INVITE", invite).Replace(step.event)
				if events[0] != want {
					t.Errorf("%s: %q, want %q", step.command, events[0], want)
				}
			}
			before = len(events)
			if strings.HasPrefix(step.command, "invite create") {
				invite = newestInvite(t, s)
			}
		}
		if strings.Contains(strings.Join(auditEvents(t, s), " "), p.email) {
			t.Error("an address stands in an event")
		}
	})
}

func newestInvite(t *testing.T, s *harness.Service) string {
	t.Helper()
	out, err := s.Command(t.Context(), "invite", "list", "--json", "--limit=1")
	var list []struct{ ID string }
	if err != nil || json.Unmarshal([]byte(out), &list) != nil || len(list) != 1 {
		t.Fatalf("%v %s", err, out)
	}
	return list[0].ID
}

func accountID(t *testing.T, s *harness.Service, email string) string {
	t.Helper()
	out, err := s.Command(t.Context(), "user", "show", email, "--json")
	var account struct{ ID string }
	if err != nil || json.Unmarshal([]byte(out), &account) != nil {
		t.Fatalf("%v %s", err, out)
	}
	return account.ID
}

// TestNoChangeWithoutItsEvent expects a change to be rolled back if its audit event cannot be written.
func TestNoChangeWithoutItsEvent(t *testing.T) {
	t.Parallel()
	harness.EachEngine(t, func(t *testing.T, engine string) {
		s := harness.Start(t, binary, contract, engine)
		p := newPerson(t, s).join(s.Invite(t, 1))
		p.login()
		invites := s.Count(t, "SELECT count(*) FROM invite")
		if engine == harness.Postgres {
			s.Exec(t, "CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no'; END $$")
			s.Exec(t, "CREATE TRIGGER no BEFORE INSERT ON audit_event EXECUTE FUNCTION no()")
		} else {
			s.Exec(t, "CREATE TRIGGER no BEFORE INSERT ON audit_event BEGIN SELECT RAISE(ABORT, 'no'); END")
		}
		for _, command := range []string{"user disable " + p.email, "user delete " + p.email, "session revoke --all", "invite create", "keys rotate"} {
			if out, err := s.Command(t.Context(), strings.Fields(command)...); err == nil {
				t.Errorf("%s: %s", command, out)
			}
		}
		p.refresh()
		if n := s.Count(t, "SELECT count(*) FROM invite"); n != invites {
			t.Errorf("%d invites", n)
		}
	})
}

// TestTheEventOfARestore expects the restored database to have an event of the restore after the events of the backup.
func TestTheEventOfARestore(t *testing.T) {
	t.Parallel()
	s := harness.Start(t, binary, contract, harness.SQLite, "AUTH_OPERATOR=ann")
	if out, err := s.Command(t.Context(), "invite", "create"); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	if out, err := s.Command(t.Context(), "backup", "backup.db"); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	s.Stop(t)
	old := filepath.Join(s.Dir, "old.db")
	if err := os.Rename(filepath.Join(s.Dir, "data", "auth.db"), old); err != nil {
		t.Fatal(err)
	}
	if out, err := s.Command(t.Context(), "restore", "backup.db"); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	events := auditEvents(t, s)
	if len(events) == 0 || events[0] != "ann database.restored  " {
		t.Errorf("%q", events)
	}
	if out, err := s.Command(t.Context(), "audit", "list", "--database-url=sqlite:"+old); err != nil || !strings.Contains(out, "invite.created") {
		t.Errorf("the old database: %v %s", err, out)
	}
}
