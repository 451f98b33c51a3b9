package contract

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/financelime/authorization/api/client"
	"github.com/financelime/authorization/test/harness"
)

// leave deletes the person's account, and returns the link that undoes it.
func (p *person) leave() (undo *url.URL) {
	p.t.Helper()
	p.want("delete the account", p.api().DeleteUser(p.session.AccessToken).StatusCode(), 204)
	return p.mail().Link(p.t)
}

// state returns the state of the person, as user list prints it.
func (p *person) state() (state string) {
	p.t.Helper()
	var row userRow
	operator{p.t, p.s}.decode(&row, "user", "show", p.email)
	return row.State
}

// A deletion ends everything that the user has, and only the mailed link undoes it, once.
func TestDeleteUser(t *testing.T) {
	t.Parallel()
	harness.EachEngine(t, func(t *testing.T, engine string) {
		s := harness.Start(t, binary, contract, engine)
		code := s.Invite(t, 2)
		p := newPerson(t, s).join(code)
		sessions := []client.AccessTokenResponse{p.login(), p.login()}
		id := userID(t, p)
		p.want("reset", p.resetPassword().StatusCode(), 204)
		reset := p.mail().Link(t)

		undo := p.leave()
		p.gone(sessions, reset)
		p.want("get the user", p.api().User(p.session.AccessToken).StatusCode(), 401)
		p.want("delete again", p.api().DeleteUser(p.session.AccessToken).StatusCode(), 401)
		p.want("export", p.api().ExportUser(p.session.AccessToken).StatusCode(), 401)
		p.want("sign up with the address", p.signUp(code).StatusCode(), 409)
		if state := p.state(); state != "closing" {
			t.Errorf("the user is %s", state)
		}
		o := operator{t, s}
		if list, _ := o.run("user", "list"); !strings.Contains(list, "closing until 20") {
			t.Errorf("list:\n%s", list)
		}
		if show, _ := o.run("user", "show", id); !strings.Contains(show, "Closing until") || !strings.Contains(show, "deletion_undo") {
			t.Errorf("show:\n%s", show)
		}

		p.want("open the page of the link", p.open(undo).StatusCode, 200) // as a mail scanner does
		if state := p.state(); state != "closing" {
			t.Errorf("after opening the page, the user is %s", state)
		}
		p.wantUse("use the link", undo, 200)
		p.wantUse("use it again", undo, 404)
		p.want("refresh a session of before", p.tryRefresh(sessions[0].RefreshToken).StatusCode(), 404)
		p.want("use the reset link of before", p.open(reset).StatusCode, 404)
		p.login()
		if userID(t, p) != id {
			t.Error("the restored user has another ID")
		}
		p.wantUse("use it after the login", undo, 404)
		lines := logLines(t, s)
		wantEvent(t, lines, logLine{Event: "user.closing", Level: "INFO", Outcome: "success", AccountID: id, SessionID: sessions[1].SessionID})
		wantEvent(t, lines, logLine{Event: "user.restored", Level: "INFO", Outcome: "success", AccountID: id})

		// A second deletion has a link of its own.
		second := p.leave()
		p.wantUse("use the first link", undo, 404)
		p.wantUse("use the second link", second, 200)
		p.login()
	})
}

// A closing user gets the same responses as an unknown address, while accounts are hidden.
func TestDeleteUserWhileAccountsAreHidden(t *testing.T) {
	t.Parallel()
	harness.EachEngine(t, func(t *testing.T, engine string) {
		s := harness.Start(t, binary, contract, engine, "AUTH_HIDE_ACCOUNTS=true")
		code := s.Invite(t, 3)
		p := newPerson(t, s).join(code)
		p.login()
		undo := p.leave()
		p.want("log in", p.tryLogin(p.password).StatusCode(), 404)
		p.want("reset", p.resetPassword().StatusCode(), 204)
		p.want("sign up", p.signUp(code).StatusCode(), 204)
		eventually(t, "the reset is done", func() bool { return s.Count(t, "SELECT count(*) FROM reset_request") == 0 })
		eventually(t, "no mail is waiting", func() bool {
			return s.Count(t, "SELECT count(*) FROM mail WHERE sent_at IS NULL AND dead_at IS NULL") == 0
		})
		if mails := len(s.WaitMails(t, p.email, p.mails)); mails != p.mails {
			t.Errorf("%d mails to the closing user, want %d", mails, p.mails)
		}
		p.wantUse("use the link", undo, 200)
		p.login()
	})
}

// What waits in the queue is withdrawn by a deletion, and a mailed password that was not used is void, also after the account is restored.
func TestDeleteUserVoidsMails(t *testing.T) {
	t.Parallel()
	harness.EachEngine(t, func(t *testing.T, engine string) {
		s := harness.Start(t, binary, contract, engine)
		p := newPerson(t, s).join(s.Invite(t, 1))
		p.login()
		mailed := p.mailedPassword()
		unblock := blockMails(t, s)
		p.want("reset", p.resetPassword().StatusCode(), 204)
		mailRows(t, s, "a mail waiting", func(r []mailRow) bool { return len(r) == 1 && r[0].LastError != "" }, "--state=queued")
		p.want("delete the account", p.api().DeleteUser(p.session.AccessToken).StatusCode(), 204)
		mailRows(t, s, "only the mail with the link", func(r []mailRow) bool { return len(r) == 1 && r[0].Kind == "deletion_undo" }, "--state=queued")
		unblock()
		s.Exec(t, "UPDATE mail SET due_at = created_at WHERE sent_at IS NULL")
		p.wantUse("use the link", p.mail().Link(t), 200)
		p.want("log in with the mailed password", p.tryLogin(mailed).StatusCode(), 404)
		p.login()
	})
}

// Without a grace, a deletion deletes all rows, sends no mail, and frees the address and the use of the invite.
func TestDeleteUserWithoutGrace(t *testing.T) {
	t.Parallel()
	harness.EachEngine(t, func(t *testing.T, engine string) {
		s := harness.Start(t, binary, contract, engine, "AUTH_DELETION_GRACE=0s")
		code := s.Invite(t, 1)
		p := newPerson(t, s).join(code)
		sessions := []client.AccessTokenResponse{p.login(), p.login()}
		id := userID(t, p)
		p.want("reset", p.resetPassword().StatusCode(), 204)
		link := p.mail().Link(t)
		p.want("delete the account", p.api().DeleteUser(p.session.AccessToken).StatusCode(), 204)
		p.gone(sessions, link)
		p.want("delete again", p.api().DeleteUser(p.session.AccessToken).StatusCode(), 401)
		for _, table := range []string{"account", "session", "confirmation", "link", "mail", "device", "login_failure WHERE account_id IS NOT NULL"} {
			if n := s.Count(t, "SELECT count(*) FROM "+table); n != 0 {
				t.Errorf("%d rows of %s are left", n, table)
			}
		}
		wantEvent(t, logLines(t, s), logLine{Event: "user.deleted", Level: "INFO", Outcome: "success", AccountID: id, SessionID: sessions[1].SessionID})
		p.join(code)
		p.login()
		if userID(t, p) == id {
			t.Error("a new user has the ID of a deleted one")
		}
	})
}

// After the grace, the link is void, and the account still refuses everything until the cleanup deletes it. Until then an operator can help.
func endedGrace(t *testing.T, s *harness.Service) {
	p := newPerson(t, s).join(s.Invite(t, 1))
	p.login()
	undo := p.leave()
	eventually(t, "the link has expired", func() bool { return p.open(undo).StatusCode == 404 })
	p.wantUse("use the link", undo, 404)
	p.want("log in", p.tryLogin(p.password).StatusCode(), 404)
	if state := p.state(); state != "closing" {
		t.Errorf("the user is %s", state)
	}
	operator{t, s}.run("user", "restore", p.email)
	p.login()
}

// An operator who disables a closing user bans them: no link restores the account. Enabling or restoring a closing user undoes the deletion.
func TestBanOfAClosingUser(t *testing.T) {
	t.Parallel()
	harness.EachEngine(t, func(t *testing.T, engine string) {
		s := harness.Start(t, binary, contract, engine)
		o := operator{t, s}
		p := newPerson(t, s).join(s.Invite(t, 1))
		p.login()
		o.refused("the user is not closing", "user", "restore", p.email)
		undo := p.leave()
		var did result
		o.decode(&did, "user", "disable", p.email)
		if did.Did != "disabled" || did.Links != 1 || did.Sessions != 0 || p.state() != "disabled" {
			t.Errorf("disable: %+v, the user is %s", did, p.state())
		}
		p.wantUse("use the link of a disabled user", undo, 404)
		o.refused("is already disabled", "user", "disable", p.email)
		o.refused("the user is not closing", "user", "restore", p.email)
		o.run("user", "enable", p.email)
		p.wantUse("use the link of an enabled user", undo, 404)

		for _, command := range []string{"enable", "restore"} {
			p.login()
			undo = p.leave()
			if out, stderr := o.run("user", command, p.email); !strings.HasPrefix(out, command+"d ") || !strings.Contains(stderr, "user."+command+"d") {
				t.Errorf("%s: %s%s", command, out, stderr)
			}
			p.wantUse("use the link after "+command, undo, 404)
			if links := s.Count(t, "SELECT count(*) FROM link"); links != 0 || p.state() != "active" {
				t.Errorf("after %s: %d links, the user is %s", command, links, p.state())
			}
		}
		p.login()
		p.leave()
		o.run("user", "delete", p.email)
		o.refused("there is no such user", "user", "restore", p.email)
		if n := s.Count(t, "SELECT count(*) FROM account") + s.Count(t, "SELECT count(*) FROM link"); n != 0 {
			t.Errorf("%d rows are left", n)
		}
	})
}

// Deleting and exporting need a login within the last ten minutes. A refresh is none.
func TestDeletionNeedsRecentAuthentication(t *testing.T) {
	t.Parallel()
	harness.EachEngine(t, func(t *testing.T, engine string) {
		s := harness.Start(t, binary, contract, engine)
		p := newPerson(t, s).join(s.Invite(t, 1))
		p.login()
		s.AgeAuthentications(t, 9*time.Minute)
		p.want("export after nine minutes", p.api().ExportUser(p.session.AccessToken).StatusCode(), 200)
		s.AgeAuthentications(t, time.Minute)
		p.refresh()
		before := s.Snapshot(t)
		deleted, exported := p.api().DeleteUser(p.session.AccessToken), p.api().ExportUser(p.session.AccessToken)
		p.want("delete", deleted.StatusCode(), 403)
		p.want("export", exported.StatusCode(), 403)
		if got := deleted.HTTPResponse.Header.Get("WWW-Authenticate"); !strings.Contains(got, "insufficient_user_authentication") {
			t.Errorf("WWW-Authenticate: %s", got)
		}
		if after := s.Snapshot(t); after != before {
			t.Errorf("a refused request has changed the database:\n%s\n\n%s", before, after)
		}
		stepped := p.api().StepUp(p.session.AccessToken, p.password)
		p.want("step up", stepped.StatusCode(), 200)
		p.want("delete with the older access token", p.api().DeleteUser(p.session.AccessToken).StatusCode(), 204)
	})
}

// Of two simultaneous deletions, one succeeds. A login and a refresh beside them leave nothing that works.
func TestRaceDeleteUser(t *testing.T) {
	t.Parallel()
	harness.EachWay(t, func(t *testing.T, engine string) {
		s := harness.Start(t, binary, contract, engine)
		p := newPerson(t, s).join(s.Invite(t, 1))
		session := p.login()
		database := s.DB(t)
		change := func(statements ...string) {
			t.Helper()
			for _, statement := range statements {
				_, err := database.ExecContext(t.Context(), statement)
				p.must(err)
			}
		}
		change("CREATE TABLE saved_session AS SELECT * FROM session")
		began := time.Now()
		for round := range roundsOn(engine) {
			s.AgeAuthentications(t, -time.Since(began)) // those of the saved session
			attempts := []func() (int, *client.AccessTokenResponse){
				func() (int, *client.AccessTokenResponse) {
					return p.api().DeleteUser(session.AccessToken).StatusCode(), nil
				},
				func() (int, *client.AccessTokenResponse) {
					return p.api().DeleteUser(session.AccessToken).StatusCode(), nil
				},
				func() (int, *client.AccessTokenResponse) {
					r := p.tryRefresh(session.RefreshToken)
					return r.StatusCode(), r.JSON200
				},
				func() (int, *client.AccessTokenResponse) {
					r := p.tryLogin(p.password)
					return r.StatusCode(), r.JSON200
				},
			}
			statuses := make([]int, len(attempts))
			tokens := concurrently(len(attempts), func(i int) (got *client.AccessTokenResponse) {
				statuses[i], got = attempts[i]()
				return got
			})
			deletions := count(statuses[:2])
			if deletions[204] != 1 || deletions[401] != 1 {
				t.Fatalf("round %d: the deletions got %v", round, statuses[:2])
			}
			for i, got := range tokens[2:] {
				switch status := statuses[i+2]; status {
				case 404:
				case 200:
					p.want("refresh what began beside the deletion", p.tryRefresh(got.RefreshToken).StatusCode(), 404)
					p.want("verify it", verifyOn(t, s, got.AccessToken), 401)
				default:
					t.Fatalf("round %d: status %d", round, status)
				}
			}
			p.want("verify", verifyOn(t, s, session.AccessToken), 401)
			for what, want := range map[string]int{
				"session": 0, "link": 1,
				"account WHERE closing_until IS NOT NULL AND disabled_at IS NOT NULL": 1,
				"mail WHERE kind = 'deletion_undo'":                                   round + 1,
			} {
				var n int
				p.must(database.QueryRowContext(t.Context(), "SELECT count(*) FROM "+what).Scan(&n))
				if n != want {
					t.Fatalf("round %d: %d rows of %s, want %d", round, n, what, want)
				}
			}
			// The same session again, so that a round costs one hash and not two.
			change("UPDATE account SET closing_until = NULL, disabled_at = NULL", "DELETE FROM link", "INSERT INTO session SELECT * FROM saved_session")
		}
	})
}

// Without a grace, a login beside the deletion leaves no row.
func TestRaceDeleteUserWithoutGrace(t *testing.T) {
	t.Parallel()
	harness.EachEngine(t, func(t *testing.T, engine string) {
		s := harness.Start(t, binary, contract, engine, "AUTH_DELETION_GRACE=0s", "AUTH_LOGIN_NOTICE=never")
		code := s.Invite(t, 100)
		for round := range 100 {
			p := newPerson(t, s).join(code)
			p.login()
			statuses := concurrently(3, func(i int) int {
				if i == 0 {
					return p.api().DeleteUser(p.session.AccessToken).StatusCode()
				}
				return p.tryLogin(p.password).StatusCode()
			})
			if statuses[0] != 204 {
				t.Fatalf("round %d: the deletion got %d", round, statuses[0])
			}
			for _, table := range []string{"account", "session", "device", "mail", "invite WHERE uses > 0"} {
				if n := s.Count(t, "SELECT count(*) FROM "+table); n != 0 {
					t.Fatalf("round %d: %d rows of %s, the logins got %v", round, n, table, statuses[1:])
				}
			}
		}
	})
}
