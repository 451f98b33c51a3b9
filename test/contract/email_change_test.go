package contract

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/financelime/authorization/api/client"
	"github.com/financelime/authorization/test/harness"
)

// The address of a user: the change by a link to the new address, the undo by a link to the old one, and who may have which address.

// requestEmail requests another address.
func (p *person) requestEmail(email string) {
	p.t.Helper()
	r := p.api().RequestEmail(p.session.AccessToken, email)
	if r.StatusCode() != 204 {
		p.t.Fatalf("request another address: %d %s", r.StatusCode(), r.Body)
	}
}

// use sends the decision of the page of a link, with a chosen password if the link needs one.
func (p *person) use(link *url.URL, chosen string) (status int, message string) {
	p.t.Helper()
	header := jsonHeader()
	header.Set("Accept", "application/json")
	body := "{}"
	if chosen != "" {
		body = `{"newPassword":"` + chosen + `"}`
	}
	response, content := send(p.t, p.s, http.MethodPost, link.RequestURI(), header, body)
	return response.StatusCode, content
}

// wantUse fails the test unless the use of a link has a status.
func (p *person) wantUse(what string, link *url.URL, want int) {
	p.t.Helper()
	if status, body := p.use(link, ""); status != want {
		p.t.Fatalf("%s: status %d, want %d: %s", what, status, want, body)
	}
}

// changeEmail changes the person's address, and returns the link that undoes it, or nil if the change gets none.
func (p *person) changeEmail(to string, undoable bool) (undo *url.URL) {
	p.t.Helper()
	p.requestEmail(to)
	p.wantUse("confirm the new address", linkTo(p.t, p.s, to, "Your new email", 1), 200)
	if undoable {
		undo = linkTo(p.t, p.s, p.email, "was changed", 1)
	}
	p.email, p.mails = to, 1
	return undo
}

// linkTo waits for the nth mail to an address with a part of its subject, and returns its link.
func linkTo(t testing.TB, s *harness.Service, email, subject string, n int) *url.URL {
	t.Helper()
	for mails := n; ; mails++ {
		var found []harness.Mail
		for _, m := range s.WaitMails(t, email, mails) {
			if strings.Contains(m.Subject, subject) {
				found = append(found, m)
			}
		}
		if len(found) >= n {
			return found[0].Link(t)
		}
	}
}

// pendingEmail returns the address that the person has asked for, or "".
func (p *person) pendingEmail() string {
	p.t.Helper()
	r := p.api().User(p.session.AccessToken)
	p.want("get the user", r.StatusCode(), 200)
	if r.JSON200.Email != p.email {
		p.t.Fatalf("the address is %s, want %s", r.JSON200.Email, p.email)
	}
	if r.JSON200.PendingEmail == nil {
		return ""
	}
	return *r.JSON200.PendingEmail
}

// A change becomes effective when the new address confirms it. The old one can undo it.
func TestEmailChange(t *testing.T) {
	t.Parallel()
	harness.EachEngine(t, func(t *testing.T, engine string) {
		s := harness.Start(t, binary, contract, engine, "AUTH_LOG_LEVEL=debug")
		p := newPerson(t, s).join(s.Invite(t, 1))
		p.login()
		old, changed := p.email, newPerson(t, s).email
		account := userID(t, p)

		p.requestEmail(strings.ToUpper(changed))
		if got := p.pendingEmail(); got != changed {
			t.Errorf("the pending address is %q", got)
		}
		asked := s.WaitNotices(t, old, 1)[0]
		if !strings.Contains(asked.Subject, "A new email was requested") || !strings.Contains(asked.Text, "Linux x86_64") || strings.Contains(asked.Text, "/l/") {
			t.Errorf("the notice:\n%s\n%s", asked.Subject, asked.Text)
		}
		link := linkTo(t, s, changed, "Your new email", 1)
		p.want("open the page", p.open(link).StatusCode, 200)
		p.want("log in with the old address", p.tryLogin(p.password).StatusCode(), 200)

		p.wantUse("confirm", link, 200)
		p.wantUse("confirm again", link, 404)
		p.email = changed
		if got := p.pendingEmail(); got != "" {
			t.Errorf("after the change, the pending address is %q", got)
		}
		p.refresh()
		p.want("log in with the new address", p.tryLogin(p.password).StatusCode(), 200)
		p.email = old
		p.want("log in with the old address", p.tryLogin(p.password).StatusCode(), 404)

		undo := linkTo(t, s, old, "was changed", 1)
		p.want("open the page of the undo", p.open(undo).StatusCode, 200)
		p.wantUse("undo", undo, 200)
		p.wantUse("undo again", undo, 404)
		p.want("refresh", p.tryRefresh(p.session.RefreshToken).StatusCode(), 404)
		p.want("verify", verifyOn(t, s, p.session.AccessToken), 401)
		p.want("log in with the void password", p.tryLogin(p.password).StatusCode(), 404)
		choose := linkTo(t, s, old, "Choose a new password", 1)
		if status, body := p.use(choose, chosenPassword); status != 200 {
			t.Fatalf("choose a password: %d %s", status, body)
		}
		p.password = chosenPassword
		p.login()
		p.pendingEmail()

		lines := logLines(t, s)
		wantEvent(t, lines, logLine{Event: "email.asked", Level: "INFO", Outcome: "success", AccountID: account})
		wantEvent(t, lines, logLine{Event: "email.changed", Level: "INFO", Outcome: "success", AccountID: account})
		wantEvent(t, lines, logLine{Event: "email.undone", Level: "WARN", Outcome: "success", AccountID: account})
		for _, address := range []string{old, changed} {
			if strings.Contains(s.Log(), address) {
				t.Errorf("the log contains %s", address)
			}
		}
	})
}

// A refused request changes nothing.
func TestEmailChangeRefused(t *testing.T) {
	t.Parallel()
	harness.EachEngine(t, func(t *testing.T, engine string) {
		s := harness.Start(t, binary, contract, engine)
		code := s.Invite(t, 9)
		p, active, moved := newPerson(t, s).join(code), newPerson(t, s).join(code), newPerson(t, s).join(code)
		reserved := moved.email
		moved.login()
		moved.changeEmail(newPerson(t, s).email, true)
		pending, expired := newPerson(t, s), newPerson(t, s)
		pending.want("sign up", pending.signUp(code).StatusCode(), 204)
		expired.want("sign up", expired.signUp(code).StatusCode(), 204)
		s.Exec(t, "UPDATE account SET pending_until = created_at WHERE email = $1", expired.email)
		p.login()
		awaitMails(t, s)

		before := s.Snapshot(t)
		for email, want := range map[string]client.RequestEmailChangeFailure409Message{
			p.email:                       client.RequestEmailChangeFailure409MessageEMAILUNCHANGED,
			strings.ToUpper(p.email):      client.RequestEmailChangeFailure409MessageEMAILUNCHANGED,
			active.email:                  client.RequestEmailChangeFailure409MessageEMAILTAKEN,
			strings.ToUpper(active.email): client.RequestEmailChangeFailure409MessageEMAILTAKEN,
			pending.email:                 client.RequestEmailChangeFailure409MessageEMAILTAKEN,
			moved.email:                   client.RequestEmailChangeFailure409MessageEMAILTAKEN,
			reserved:                      client.RequestEmailChangeFailure409MessageEMAILTAKEN,
		} {
			if r := p.api().RequestEmail(p.session.AccessToken, email); r.StatusCode() != 409 || r.JSON409.Message != want {
				t.Errorf("%s: %d %s, want %s", email, r.StatusCode(), r.Body, want)
			}
		}
		for _, email := range []string{"nobody", "a@b@example.com", "a b@example.com", `"a"@example.com`, "a@-example.com"} {
			r := p.api().RequestEmail(p.session.AccessToken, email)
			if r.StatusCode() != 400 || r.JSON400.Parameters == nil || len(*r.JSON400.Parameters) != 1 || (*r.JSON400.Parameters)[0] != "newEmail" {
				t.Errorf("%s: %d %s", email, r.StatusCode(), r.Body)
			}
		}
		if after := s.Snapshot(t); after != before {
			t.Errorf("a refused request has changed the database:\n%s\n\n%s", before, after)
		}
		taken := newPerson(t, s)
		taken.email = reserved
		r := taken.signUp(code)
		if r.StatusCode() != 409 || r.JSON409.Message != client.SignUpFailure409MessageUSERALREADYEXIST {
			t.Errorf("a sign-up with a reserved address: %d %s", r.StatusCode(), r.Body)
		}
		if after := s.Snapshot(t); after != before {
			t.Error("a refused sign-up has changed the database")
		}
		p.changeEmail(expired.email, true) // the sign-up that was not confirmed in time is gone
		if n := s.Count(t, "SELECT count(*) FROM account WHERE email = $1", expired.email); n != 1 {
			t.Errorf("%d accounts have the address of the expired sign-up", n)
		}

		// A reservation ends with its undo.
		expireLinks(t, s, engine)
		p.want("a login of 11 minutes ago", func() int {
			ageLogins(t, s, engine)
			return p.api().RequestEmail(p.session.AccessToken, reserved).StatusCode()
		}(), 403)
		p.login()
		p.requestEmail(reserved)
		p.revoke(p.session.SessionID)
		p.want("request in an ended session", p.api().RequestEmail(p.session.AccessToken, newPerson(t, s).email).StatusCode(), 401)
		p.want("cancel in an ended session", p.api().CancelEmail(p.session.AccessToken).StatusCode(), 401)
	})
}

// expireLinks makes all links of pages expire an hour before they were created.
func expireLinks(t testing.TB, s *harness.Service, engine string) {
	t.Helper()
	expiry := "created_at - interval '1 hour'"
	if engine == harness.SQLite {
		expiry = "created_at - 3600000000" // microseconds
	}
	s.Exec(t, "UPDATE link SET expires_at = "+expiry)
}

// ageLogins makes all logins 11 minutes older: they are no longer recent.
func ageLogins(t testing.TB, s *harness.Service, engine string) {
	t.Helper()
	older := "authenticated_at - interval '11 minutes'"
	if engine == harness.SQLite {
		older = "authenticated_at - 660000000" // microseconds
	}
	s.Exec(t, "UPDATE session SET authenticated_at = "+older)
}

// What was mailed to the old address before a change can no longer log in: a reset link of either form, and a mailed password.
func TestEmailChangeVoidsPasswordMails(t *testing.T) {
	t.Parallel()
	harness.EachEngine(t, func(t *testing.T, engine string) {
		s := harness.Start(t, binary, contract, engine)
		p := newPerson(t, s).join(s.Invite(t, 1))
		p.login()

		p.want("reset", p.resetPassword().StatusCode(), 204)
		link := p.mail().Link(t)
		p.changeEmail(newPerson(t, s).email, true)
		p.want("open the reset link of before the change", p.open(link).StatusCode, 404)

		choose := true
		r, err := s.API.UserPasswordResetWithResponse(t.Context(), &client.UserPasswordResetParams{RequestID: rid()},
			client.RequestUserPasswordResetRequest{Email: p.email, ChoosePassword: &choose})
		p.must(err)
		p.want("reset with a page", r.StatusCode(), 204)
		link = linkTo(t, s, p.email, "Choose a new password", 1)
		p.changeEmail(newPerson(t, s).email, false)
		p.want("open the page of before the change", p.open(link).StatusCode, 404)
		if status, body := p.use(link, chosenPassword); status != 404 {
			t.Errorf("use the link of before the change: %d %s", status, body)
		}

		mailed := p.mailedPassword()
		p.changeEmail(newPerson(t, s).email, false)
		p.want("log in with the mailed password", p.tryLogin(mailed).StatusCode(), 404)
		p.want("log in with the password", p.tryLogin(p.password).StatusCode(), 200)
		p.refresh()
	})
}

// A second change keeps the first undo: a thief who changes the address twice cannot get rid of it.
func TestSecondChangeKeepsTheFirstUndo(t *testing.T) {
	t.Parallel()
	harness.EachEngine(t, func(t *testing.T, engine string) {
		s := harness.Start(t, binary, contract, engine)
		p := newPerson(t, s).join(s.Invite(t, 1))
		p.login()
		first := p.email
		undo := p.changeEmail(newPerson(t, s).email, true)
		second := p.email
		p.changeEmail(newPerson(t, s).email, false)
		if n := s.Count(t, "SELECT count(*) FROM mail WHERE kind = 'email_undo'"); n != 1 {
			t.Errorf("%d mails with an undo, want 1", n)
		}
		other := newPerson(t, s).join(s.Invite(t, 1))
		other.login()
		other.want("the second address is free", other.api().RequestEmail(other.session.AccessToken, second).StatusCode(), 204)
		p.requestEmail(newPerson(t, s).email)
		p.wantUse("undo", undo, 200)
		p.email = first
		if n := s.Count(t, "SELECT count(*) FROM link WHERE account_id = (SELECT id FROM account WHERE email = $1) AND purpose <> 'password'", first); n != 0 {
			t.Errorf("%d links are left", n)
		}

		// Back at the first address, another change gets a new undo to it, and a change away from it too.
		status, body := p.use(linkTo(t, s, first, "Choose a new password", 1), chosenPassword)
		p.want("choose a password: "+body, status, 200)
		p.password = chosenPassword
		p.login()
		p.requestEmail(newPerson(t, s).email + ".org")
		p.want("cancel", p.api().CancelEmail(p.session.AccessToken).StatusCode(), 204)
		third := newPerson(t, s).email
		p.requestEmail(third)
		p.wantUse("change again", linkTo(t, s, third, "Your new email", 1), 200)
		p.wantUse("undo again", linkTo(t, s, first, "was changed", 2), 200)
	})
}

// A newer request replaces the older one; a cancelled or expired one changes nothing.
func TestEmailRequestsEnd(t *testing.T) {
	t.Parallel()
	harness.EachEngine(t, func(t *testing.T, engine string) {
		s := harness.Start(t, binary, contract, engine)
		p := newPerson(t, s).join(s.Invite(t, 1))
		p.login()
		old, new1, new2 := p.email, newPerson(t, s).email, newPerson(t, s).email
		p.want("cancel without a request", p.api().CancelEmail(p.session.AccessToken).StatusCode(), 204)
		p.requestEmail(new1)
		older := linkTo(t, s, new1, "Your new email", 1)
		p.requestEmail(new2)
		newer := linkTo(t, s, new2, "Your new email", 1)
		p.wantUse("the older request", older, 404)
		if got := p.pendingEmail(); got != new2 {
			t.Errorf("the pending address is %q", got)
		}
		p.want("cancel", p.api().CancelEmail(p.session.AccessToken).StatusCode(), 204)
		p.want("cancel again", p.api().CancelEmail(p.session.AccessToken).StatusCode(), 204)
		p.want("open a cancelled link", p.open(newer).StatusCode, 404)
		p.wantUse("use it", newer, 404)
		if got := p.pendingEmail(); got != "" {
			t.Errorf("the pending address is %q", got)
		}

		p.requestEmail(new1)
		link := linkTo(t, s, new1, "Your new email", 2)
		expireLinks(t, s, engine)
		p.wantUse("an expired link", link, 404)
		if got := p.pendingEmail(); got != "" {
			t.Errorf("the pending address is %q", got)
		}
		undo := p.changeEmail(newPerson(t, s).email, true)
		expireLinks(t, s, engine)
		p.wantUse("an expired undo", undo, 404)
		next := newPerson(t, s)
		next.email = old
		next.want("sign up with the address of before", next.signUp(s.Invite(t, 1)).StatusCode(), 204)
	})
}

// A new password cancels a request of a thief who knew the older one.
func TestNewPasswordCancelsEmailChange(t *testing.T) {
	t.Parallel()
	harness.EachEngine(t, func(t *testing.T, engine string) {
		s := harness.Start(t, binary, contract, engine)
		p := newPerson(t, s).join(s.Invite(t, 1))
		p.login()
		for name, replace := range map[string]func(){
			"a change": func() { p.change(chosenPassword) },
			"a choice by link": func() {
				p.want("choose", p.choose(p.linkToChoose(), anotherPassword).StatusCode(), 200)
				p.password = anotherPassword
			},
			"a mailed password": func() {
				p.password = p.mailedPassword()
			},
		} {
			to := newPerson(t, s).email
			p.requestEmail(to)
			link := linkTo(t, s, to, "Your new email", 1)
			replace()
			p.login()
			p.wantUse(name, link, 404)
		}
	})
}

// The links of a disabled account do nothing; the undo of one that is being deleted restores it.
func TestEmailLinksOfDisabledAccounts(t *testing.T) {
	t.Parallel()
	harness.EachEngine(t, func(t *testing.T, engine string) {
		s := harness.Start(t, binary, contract, engine)
		p := newPerson(t, s).join(s.Invite(t, 1))
		p.login()
		old := p.email
		account := userID(t, p)
		undo := p.changeEmail(newPerson(t, s).email, true)
		next := newPerson(t, s).email
		p.requestEmail(next)
		link := linkTo(t, s, next, "Your new email", 1)
		s.Exec(t, "UPDATE account SET disabled_at = created_at")
		p.wantUse("the change of a disabled account", link, 404)
		p.wantUse("its undo", undo, 404)
		s.Exec(t, "UPDATE account SET closing_until = created_at")
		p.wantUse("the change of an account that is being deleted", link, 404)
		p.wantUse("its undo", undo, 200)
		p.email = old
		if n := s.Count(t, "SELECT count(*) FROM account WHERE email = $1 AND disabled_at IS NULL AND closing_until IS NULL AND password_hash IS NULL", old); n != 1 {
			t.Error("the account was not restored")
		}
		wantEvent(t, logLines(t, s), logLine{Event: "user.restored", Level: "INFO", Outcome: "success", AccountID: account})
		linkTo(t, s, old, "Choose a new password", 1)
	})
}
