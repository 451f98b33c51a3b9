package contract

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/financelime/authorization/test/harness"
)

// After a restore of PostgreSQL, one command ends all sessions and voids all links but those of sign-ups, in both forms.
func TestRevokeAllWithLinks(t *testing.T) {
	t.Parallel()
	harness.EachEngine(t, func(t *testing.T, engine string) {
		s := harness.Start(t, binary, contract, engine)
		o := operator{t, s}
		code := s.Invite(t, 5)
		closing, choosing, resetting := newPerson(t, s).join(code), newPerson(t, s).join(code), newPerson(t, s).join(code)
		closing.login()
		undo, choice := closing.leave(), choosing.linkToChoose()
		session := resetting.login()
		resetting.want("reset", resetting.resetPassword().StatusCode(), 204)
		reset := resetting.mail().Link(t)
		pending, choosingPending := newPerson(t, s), newPerson(t, s)
		pending.want("sign up", pending.signUp(code).StatusCode(), 204)
		choosingPending.want("sign up", choosingPending.signUpToChoose(code).StatusCode(), 204)

		o.refused("--links needs --all", "session", "revoke", "--links", "--user="+closing.email)
		out, stderr := o.run("session", "revoke", "--all", "--links")
		if out != "1 session ended\n" || !strings.Contains(stderr, "1 closing user will be deleted") || !strings.Contains(stderr, "user restore") {
			t.Errorf("revoke: %s%s", out, stderr)
		}
		closing.wantUse("undo the deletion", undo, 404)
		choosing.want("choose a password", choosing.choose(choice, chosenPassword).StatusCode(), 404)
		resetting.want("open the reset link", resetting.open(reset).StatusCode, 404)
		resetting.want("refresh", resetting.tryRefresh(session.RefreshToken).StatusCode(), 404)
		pending.want("open the link of the sign-up", pending.open(pending.mail().Link(t)).StatusCode, 200)
		choosingPending.want("choose a password", choosingPending.choose(choosingPending.mail().Link(t), chosenPassword).StatusCode(), 200)
		o.run("user", "restore", closing.email)
		closing.login()
	})
}

// A restored backup revives a deletion that was undone since. It says so, and an operator can undo it again.
func TestRestoreRevivesADeletion(t *testing.T) {
	t.Parallel()
	s := harness.Start(t, binary, contract, harness.SQLite)
	o := operator{t, s}
	p := newPerson(t, s).join(s.Invite(t, 1))
	p.login()
	undo := p.leave()
	o.run("backup", filepath.Join(s.Dir, "backup.db"))
	p.wantUse("undo the deletion", undo, 200)
	s.Stop(t)
	for _, name := range []string{"auth.db", "auth.db-wal", "auth.db-shm"} {
		if err := os.RemoveAll(filepath.Join(s.Dir, "data", name)); err != nil {
			t.Fatal(err)
		}
	}
	if _, stderr := o.run("restore", filepath.Join(s.Dir, "backup.db")); !strings.Contains(stderr, "1 closing user will be deleted") {
		t.Errorf("restore: %s", stderr)
	}
	s.Run(t)
	p.wantUse("use the link again", undo, 404)
	p.want("log in", p.tryLogin(p.password).StatusCode(), 404)
	o.run("user", "restore", p.email)
	p.login()
}

// The link of a sign-up that was not mailed before the user was disabled is mailed after they are enabled, also the one to choose a password.
func TestEnableMailsTheLinkToChoose(t *testing.T) {
	t.Parallel()
	harness.EachEngine(t, func(t *testing.T, engine string) {
		s := harness.Start(t, binary, contract, engine)
		o := operator{t, s}
		first := newPerson(t, s)
		first.want("sign up", first.signUp(s.Invite(t, 1)).StatusCode(), 204)
		first.mail() // creates the directory of the mails
		unblock := blockMails(t, s)
		p := newPerson(t, s)
		p.want("sign up", p.signUpToChoose(s.Invite(t, 1)).StatusCode(), 204)
		mailRows(t, s, "a mail waiting", func(r []mailRow) bool { return len(r) == 1 && r[0].LastError != "" }, "--state=queued")
		o.run("user", "disable", p.email)
		if out, _ := o.run("user", "enable", p.email); !strings.HasSuffix(out, ": 1 mail queued\n") {
			t.Errorf("enable: %s", out)
		}
		unblock()
		p.want("choose a password", p.choose(p.mail().Link(t), chosenPassword).StatusCode(), 200)
		p.want("log in", p.tryLogin(chosenPassword).StatusCode(), 200)
	})
}

// A user whose address a thief has changed is often disabled first. The old address can still undo the change after that, is reserved until
// then, and gets the link even if it was not mailed before.
func TestDisableKeepsTheUndoOfAChange(t *testing.T) {
	t.Parallel()
	harness.EachEngine(t, func(t *testing.T, engine string) {
		s := harness.Start(t, binary, contract, engine)
		o := operator{t, s}
		code := s.Invite(t, 5)
		p, q := newPerson(t, s).join(code), newPerson(t, s).join(code)
		p.login()
		old, stranger := p.email, newPerson(t, s)
		undo := p.changeEmail(newPerson(t, s).email, true)
		stranger.email = old
		o.run("user", "disable", p.email)
		p.wantUse("undo while disabled", undo, 404)
		stranger.want("sign up with the old address", stranger.signUp(code).StatusCode(), 409)
		if out, _ := o.run("user", "enable", p.email); strings.Contains(out, "queued") {
			t.Errorf("enable: %s", out)
		}
		p.wantUse("undo", undo, 200)
		p.email = old
		p.want("log in with the password of the thief", p.tryLogin(p.password).StatusCode(), 404)

		q.login()
		old, changed := q.email, newPerson(t, s).email
		q.requestEmail(changed)
		link := linkTo(t, s, changed, "Your new email", 1)
		unblock := blockMails(t, s)
		q.wantUse("confirm", link, 200)
		mailRows(t, s, "a mail waiting", func(r []mailRow) bool { return len(r) > 0 && r[0].LastError != "" }, "--state=queued")
		o.run("user", "disable", changed)
		if out, _ := o.run("user", "enable", changed); !strings.HasSuffix(out, ": 1 mail queued\n") {
			t.Errorf("enable: %s", out)
		}
		unblock()
		q.wantUse("undo", linkTo(t, s, old, "was changed", 1), 200)
	})
}
