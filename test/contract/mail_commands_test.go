package contract

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/financelime/authorization/test/harness"
)

// mailRow is a row of `mail list --json`.
type mailRow struct {
	ID, Kind, State, AccountID, RequestID, LastError string
	Attempts                                         int
	Created, Next, Ended                             time.Time
}

// mailRows lists mails until the list is as a test expects.
func mailRows(t *testing.T, s *harness.Service, what string, ok func([]mailRow) bool, args ...string) []mailRow {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; {
		out, err := s.Command(t.Context(), append([]string{"mail", "list", "--json"}, args...)...)
		if err != nil {
			t.Fatal(err)
		}
		var rows []mailRow
		if err := json.Unmarshal([]byte(out), &rows); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		if ok(rows) {
			return rows
		}
		if time.Now().After(deadline) {
			t.Fatalf("never %s: %s", what, out)
		}
	}
}

// blockMails makes the directory of the mails unusable, as a full disk does, until unblock is called.
func blockMails(t *testing.T, s *harness.Service) (unblock func()) {
	t.Helper()
	dir := filepath.Join(s.Dir, "data", "mail")
	if err := errors.Join(os.Rename(dir, dir+".away"), os.WriteFile(dir, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	return func() {
		t.Helper()
		if err := errors.Join(os.Remove(dir), os.Rename(dir+".away", dir)); err != nil {
			t.Fatal(err)
		}
	}
}

// TestMailList lists no mails, and sent ones.
func TestMailList(t *testing.T) {
	t.Parallel()
	harness.EachEngine(t, func(t *testing.T, engine string) {
		s := harness.Start(t, binary, contract, engine)
		o := operator{t, s}
		list := func(args ...string) string {
			t.Helper()
			out, _ := o.run(append([]string{"mail", "list"}, args...)...)
			return out
		}
		if all := list(); strings.Count(all, "\n") != 1 || !strings.HasPrefix(all, "ID ") {
			t.Errorf("an empty list:\n%s", all)
		}
		if all := list("--json"); all != "[]\n" {
			t.Errorf("an empty list: %s", all)
		}

		code := s.Invite(t, 10)
		newPerson(t, s).join(code)
		sent := mailRows(t, s, "two mails sent", func(r []mailRow) bool { return len(r) == 2 }, "--state=sent")
		if sent[0].Kind != "password" || sent[1].Kind != "signup_link" || sent[0].AccountID != sent[1].AccountID {
			t.Errorf("the newest is not first: %+v", sent)
		}
		for _, r := range sent {
			if r.State != "sent" || r.Attempts != 1 || r.LastError != "" || r.Created.IsZero() || r.Ended.Before(r.Created) || !r.Next.IsZero() {
				t.Errorf("%+v", r)
			}
			o.wantFailure("it was sent", "mail", "retry", r.ID)
		}
	})
}

// TestMailCommands runs the commands while the service runs.
func TestMailCommands(t *testing.T) {
	t.Parallel()
	harness.EachEngine(t, func(t *testing.T, engine string) {
		s := harness.Start(t, binary, contract, engine)
		o := operator{t, s}
		run := func(args ...string) string {
			t.Helper()
			out, _ := o.run(args...)
			return out
		}
		code := s.Invite(t, 10)
		p := newPerson(t, s).join(code)
		unblock := blockMails(t, s)
		p.want("reset", p.resetPassword().StatusCode(), 204)
		waiting := mailRows(t, s, "a mail waiting", func(r []mailRow) bool { return len(r) == 1 && r[0].LastError != "" }, "--state=queued")[0]
		if waiting.Kind != "password_link" || waiting.State != "queued" || waiting.Attempts != 0 || waiting.Next.IsZero() || !waiting.Ended.IsZero() {
			t.Errorf("%+v", waiting)
		}

		// Two permanently failed mails: a link that can be sent again, and one that cannot.
		pending := newPerson(t, s)
		pending.want("sign up", pending.signUp(code).StatusCode(), 204)
		gone := newPerson(t, s)
		gone.want("sign up", gone.signUp(code).StatusCode(), 204)
		s.Exec(t, "UPDATE mail SET dead_at = created_at, last_error = '550 no such user' WHERE sent_at IS NULL AND kind = 'signup_link'")
		s.Exec(t, "DELETE FROM confirmation WHERE account_id IN (SELECT id FROM account WHERE email = $1)", gone.email)
		dead := mailRows(t, s, "two mails dead", func(r []mailRow) bool { return len(r) == 2 }, "--state=dead")

		table := run("mail", "list", "--limit=3")
		if strings.Count(table, "\n") != 4 || !strings.Contains(table, dead[0].ID) || !strings.Contains(table, "550 no such user") ||
			!strings.Contains(table, waiting.ID) {
			t.Errorf("the list:\n%s", table)
		}
		if strings.Contains(run("mail", "list")+run("mail", "list", "--json"), "@") {
			t.Error("the list tells addresses")
		}

		o.wantFailure("its link has expired, was used or was replaced", "mail", "retry", dead[0].ID)
		o.wantFailure("there is no such mail", "mail", "retry", "01890000-0000-7000-8000-000000000000")
		o.wantFailure("not the ID of an email", "mail", "retry", "nonsense")
		o.wantFailure("pass either email IDs or --dead", "mail", "retry")
		o.wantFailure("pass either email IDs or --dead", "mail", "retry", dead[1].ID, "--dead")
		o.wantFailure("--limit", "mail", "list", "--limit=0")
		o.wantFailure("--state", "mail", "list", "--state=lost")

		unblock()
		out := run("mail", "retry", "--dead")
		if strings.Count(out, "\n") != 2 || !strings.Contains(out, dead[1].ID+": re-queued as ") || !strings.Contains(out, dead[0].ID+": not retried: its link") {
			t.Errorf("retry of the dead:\n%s", out)
		}
		pending.password = "" // known when the link was opened
		pending.want("open the link", pending.open(pending.mail().Link(t)).StatusCode, 200)
		p.want("open the link", p.open(p.mail().Link(t)).StatusCode, 200)
		o.wantFailure("there is no such mail", "mail", "retry", dead[1].ID)

		// The password of a permanently failed mail is replaced by a new one.
		pending.mail()
		mailRows(t, s, "six mails sent", func(r []mailRow) bool { return len(r) == 6 }, "--state=sent")
		s.Exec(t, "UPDATE mail SET dead_at = sent_at, sent_at = NULL WHERE kind = 'password' AND account_id IN (SELECT id FROM account WHERE email = $1)",
			pending.email)
		id := mailRows(t, s, "the password dead", func(r []mailRow) bool { return len(r) == 2 }, "--state=dead")[0].ID
		run("mail", "retry", id)
		pending.password = pending.mail().Password(t)
		pending.login()
	})
}
