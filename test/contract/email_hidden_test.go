package contract

import (
	"fmt"
	"strings"
	"testing"

	"github.com/financelime/authorization/api/client"
	"github.com/financelime/authorization/test/harness"
)

// rowCounts counts the rows of every table.
func rowCounts(t *testing.T, s *harness.Service) map[string]int {
	t.Helper()
	counts := make(map[string]int)
	for _, table := range harness.Tables() {
		counts[table] = s.Count(t, "SELECT count(*) FROM "+table)
	}
	return counts
}

// awaitMails waits until all mails were sent or withdrawn.
func awaitMails(t *testing.T, s *harness.Service) {
	t.Helper()
	eventually(t, "all mails are done with", func() bool {
		return s.Count(t, "SELECT count(*) FROM mail WHERE sent_at IS NULL AND dead_at IS NULL") == 0
	})
}

// With hidden accounts, neither the response nor the rows reveal whether an address is free, taken or reserved. Its owner is told once a day,
// and nobody gets a link.
func TestEmailChangeHidden(t *testing.T) {
	t.Parallel()
	harness.EachEngine(t, func(t *testing.T, engine string) {
		s := harness.Start(t, binary, contract, engine, "AUTH_HIDE_ACCOUNTS=true")
		code := s.Invite(t, 20)
		moved := newPerson(t, s).join(code)
		moved.login()
		reserved := *moved
		moved.changeEmail(newPerson(t, s).email, true)
		owners := cases(t, s, code)
		owners["reserved"] = &reserved
		owners["moved"] = moved
		p, again := newPerson(t, s).join(code), newPerson(t, s).join(code)
		p.login()
		again.login()
		var first string
		for name, owner := range owners {
			before := rowCounts(t, s)
			r := p.api().RequestEmail(p.session.AccessToken, owner.email)
			p.want("request the address of "+name, r.StatusCode(), 204)
			after := rowCounts(t, s)
			for table := range after {
				after[table] -= before[table]
			}
			got := fmt.Sprint(normalized(r.HTTPResponse, r.Body), after)
			if first == "" {
				first = got
			}
			if got != first {
				t.Errorf("%s: %s\nwant %s", name, got, first)
			}
			if u := p.api().User(p.session.AccessToken); u.JSON200.PendingEmail == nil || *u.JSON200.PendingEmail != owner.email {
				t.Errorf("%s: the account: %s", name, u.Body)
			}
			awaitMails(t, s)
			again.requestEmail(owner.email) // the owner was told already
			awaitMails(t, s)
			for _, who := range []*person{p, again} {
				who.want("cancel", who.api().CancelEmail(who.session.AccessToken).StatusCode(), 204)
			}
		}
		for name, owner := range owners {
			links, notices := 0, 0
			for _, m := range s.Mails(t) {
				switch {
				case !strings.Contains(m.To, owner.email):
				case strings.Contains(m.Subject, "Your new email"):
					links++
				case strings.Contains(m.Text, "tried to set"):
					notices++
					if strings.Contains(m.HTML, "href") {
						t.Errorf("%s: the notice has a link", name)
					}
				}
			}
			want := map[string][2]int{"unknown": {2, 0}, "disabled": {0, 0}, "moved": {0, 0}}
			if _, special := want[name]; !special {
				want[name] = [2]int{0, 1}
			}
			if name == "reserved" || name == "moved" { // one account: whichever was asked for first
				continue
			}
			if got := [2]int{links, notices}; got != want[name] {
				t.Errorf("%s: %d links and %d notices, want %v", name, links, notices, want[name])
			}
		}
		if n := strings.Count(fmt.Sprint(s.Mails(t)), "tried to set"); n < 3 { // in text and HTML
			t.Errorf("%d notices", n)
		}
	})
}

// With hidden accounts, a sign-up with an address that is reserved by an undo gets the same response and rows as any other, and its notice goes
// to that address.
func TestReservedAddressHidden(t *testing.T) {
	t.Parallel()
	harness.EachEngine(t, func(t *testing.T, engine string) {
		s := harness.Start(t, binary, contract, engine, "AUTH_HIDE_ACCOUNTS=true")
		code := s.Invite(t, 9)
		p, free := newPerson(t, s).join(code), newPerson(t, s)
		p.login()
		old := newPerson(t, s)
		old.email = p.email
		undo := p.changeEmail(newPerson(t, s).email, true)
		var results []string
		for _, who := range []*person{free, old} {
			before := rowCounts(t, s)
			r := who.signUp(code)
			after := rowCounts(t, s)
			for table := range after {
				after[table] -= before[table]
			}
			results = append(results, fmt.Sprint(normalized(r.HTTPResponse, r.Body), after))
			who.want("sign up", r.StatusCode(), 204)
		}
		if results[0] != results[1] {
			t.Errorf("a free address:     %s\na reserved address: %s", results[0], results[1])
		}
		eventually(t, "the notice", func() bool {
			for _, m := range s.Mails(t) {
				if strings.Contains(m.To, old.email) && strings.Contains(m.Text, "tried to sign up") {
					return true
				}
			}
			return false
		})
		p.wantUse("undo", undo, 200)
	})
}

// The limits of requests for another address: by account, also for refused ones, and by the new address.
func TestEmailChangeLimits(t *testing.T) {
	t.Parallel()
	harness.EachEngine(t, func(t *testing.T, engine string) {
		s := harness.Start(t, binary, contract, engine, limited("AUTH_LIMIT_EMAIL_ACCOUNT=3/24h", "AUTH_LIMIT_MAIL_ADDRESS=2/1h")...)
		code := s.Invite(t, 9)
		p, q, r, taken := newPerson(t, s).join(code), newPerson(t, s).join(code), newPerson(t, s).join(code), newPerson(t, s).join(code)
		for _, who := range []*person{p, q, r} {
			who.login()
		}
		ask := func(who *person, email string) (int, string) {
			got := who.api().RequestEmail(who.session.AccessToken, email)
			return got.StatusCode(), got.HTTPResponse.Header.Get("RateLimit")
		}
		target := newPerson(t, s).email
		for i, want := range []int{409, 409, 204, 429} {
			email := taken.email
			if i == 2 {
				email = target
			}
			status, policy := ask(p, email)
			if status != want || (status == 429) != strings.Contains(policy, "email-account") {
				t.Errorf("request %d: %d %q, want %d", i+1, status, policy, want)
			}
		}
		if status, _ := ask(q, q.email); status != 409 {
			t.Errorf("the own address: %d", status)
		}
		if status, _ := ask(q, target); status != 204 {
			t.Errorf("another account with the same address: %d", status)
		}
		awaitMails(t, s)
		before := s.Snapshot(t)
		if status, policy := ask(r, target); status != 429 || !strings.Contains(policy, "mail-address") {
			t.Errorf("a third account with the same address: %d %q", status, policy)
		}
		if s.Snapshot(t) != before {
			t.Error("a request over the limit has changed the database")
		}
		if status, _ := ask(r, newPerson(t, s).email); status != 204 {
			t.Errorf("another address: %d", status)
		}
	})
}

// Links that were mailed or queued under the secret of before work while it is accepted, and not afterwards. Both times the reservation holds.
func TestEmailLinksAfterAChangeOfSecret(t *testing.T) {
	t.Parallel()
	harness.EachEngine(t, func(t *testing.T, engine string) {
		before, after := newSecret(t), newSecret(t)
		s := harness.New(t, binary, contract, engine)
		set(s, "AUTH_SECRET", before)
		s.Run(t)
		code := s.Invite(t, 9)
		p, q := newPerson(t, s).join(code), newPerson(t, s).join(code)
		old := [2]string{p.email, q.email}
		p.login()
		q.login()
		undo := q.changeEmail(newPerson(t, s).email, true)
		address := newPerson(t, s).email
		p.requestEmail(address)
		link := linkTo(t, s, address, "Your new email", 1)

		set(s, "AUTH_SECRET_PREVIOUS", before)
		restart(t, s, "AUTH_SECRET", after)
		p.wantUse("a link of before", link, 200)
		p.email = address
		p.refresh()
		late := linkTo(t, s, old[0], "was changed", 1) // derived from the new secret
		restart(t, s, "AUTH_SECRET_PREVIOUS", "")
		// The rows have the hashes of the keys: links that were mailed already still work.
		q.wantUse("an undo of before", undo, 200)
		p.wantUse("an undo of after", late, 200)
	})
}

// An operator changes an address without confirmation: sessions end, the password stays, and the old address can undo it.
func TestUserEmailCommand(t *testing.T) {
	t.Parallel()
	harness.EachEngine(t, func(t *testing.T, engine string) {
		s := harness.Start(t, binary, contract, engine)
		o := operator{t, s}
		code := s.Invite(t, 9)
		p, other, pending := newPerson(t, s).join(code), newPerson(t, s).join(code), newPerson(t, s)
		pending.want("sign up", pending.signUp(code).StatusCode(), 204)
		p.login()
		asked := newPerson(t, s).email
		p.requestEmail(asked)
		link := linkTo(t, s, asked, "Your new email", 1)
		old, changed := p.email, newPerson(t, s).email
		if show, _ := o.run("user", "show", p.email); !strings.Contains(show, asked) {
			t.Errorf("show does not have the requested address:\n%s", show)
		}
		for text, email := range map[string]string{
			"the address belongs to another user": other.email, "the user has this address": strings.ToUpper(p.email), "not an e-mail address": "nonsense",
		} {
			o.refused(text, "user", "email", p.email, email)
		}
		o.refused("only the address of an active user", "user", "email", pending.email, changed)
		o.refused("there is no such user", "user", "email", changed, asked)

		var did result
		log := o.decode(&did, "user", "email", p.email, strings.ToUpper(changed))
		if did.Email != changed || did.Did != "email changed" || did.Sessions != 1 {
			t.Errorf("%+v", did)
		}
		if !strings.Contains(log, "user.email_changed") || strings.Contains(log, "@") {
			t.Errorf("the audit line: %s", log)
		}
		p.want("refresh", p.tryRefresh(p.session.RefreshToken).StatusCode(), 404)
		p.wantUse("the requested change", link, 404)
		p.email = changed
		p.login()
		undo := linkTo(t, s, old, "was changed", 1)
		if show, _ := o.run("user", "show", p.email); !strings.Contains(show, "email_undo") || !strings.Contains(show, old) {
			t.Errorf("show does not have the undo:\n%s", show)
		}
		if list, _ := o.run("audit", "list"); strings.Count(list, "user.email_changed") != 1 || strings.Contains(list, "@") {
			t.Errorf("the audit events:\n%s", list)
		}
		o.refused("the address belongs to another user", "user", "email", other.email, old)
		other.email = old
		if r := other.signUp(code); r.StatusCode() != 409 || r.JSON409.Message != client.SignUpFailure409MessageUSERALREADYEXIST {
			t.Errorf("a sign-up with the old address: %d %s", r.StatusCode(), r.Body)
		}
		p.wantUse("undo", undo, 200)
		p.email = old
		linkTo(t, s, old, "Choose a new password", 1)
	})
}
