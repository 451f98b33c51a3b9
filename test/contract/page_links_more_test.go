package contract

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/financelime/authorization/test/harness"
)

// TestRacePageLinkUsedTwice uses one link of /l/ twice at the same time, with two passwords, of a sign-up and of a reset: one success, and only
// its password logs in.
func TestRacePageLinkUsedTwice(t *testing.T) {
	t.Parallel()
	harness.EachEngine(t, func(t *testing.T, engine string) {
		s := harness.Start(t, binary, contract, engine)
		const rounds = 100
		code := s.Invite(t, rounds)
		p := newPerson(t, s)
		for round := range rounds {
			var link *url.URL
			if round%2 == 0 { // the sign-up, then a reset of the same user
				p = newPerson(t, s)
				p.want("sign up", p.signUpToChoose(code).StatusCode(), 204)
				link = p.mail().Link(t)
			} else {
				link = p.linkToChoose()
			}
			passwords := []string{chosenPassword, anotherPassword}
			statuses := concurrently(2, func(i int) int { return p.choose(link, passwords[i]).StatusCode() })
			if counts := count(statuses); counts[200] != 1 || counts[404] != 1 {
				t.Fatalf("round %d: %v", round, statuses)
			}
			if round >= rounds-4 { // each costs two hashes
				for i, status := range statuses {
					p.want("log in", p.tryLogin(passwords[i]).StatusCode(), status)
				}
			}
		}
		if n := s.Count(t, "SELECT sum(uses) FROM invite"); n != rounds/2 {
			t.Errorf("the invite counts %d uses after %d sign-ups", n, rounds/2)
		}
		if n := s.Count(t, "SELECT count(*) FROM mail WHERE kind = 'password_changed'"); n != rounds/2 {
			t.Errorf("%d notices of %d resets", n, rounds/2)
		}
	})
}

// TestPageLinkLimits expects unknown links of /l/ to count as guesses like those of /u/, and a choice to end a series of failed logins.
func TestPageLinkLimits(t *testing.T) {
	t.Parallel()
	harness.EachEngine(t, func(t *testing.T, engine string) {
		s := harness.Start(t, binary, contract, engine, "AUTH_LIMITS=on", "AUTH_LIMIT_LINK_SOURCE=4/1h", "AUTH_LIMIT_MAIL_ADDRESS=100/1h")
		p := newPerson(t, s).joinByChoice(s.Invite(t, 1))

		// A hundred failures have switched the password off: only the mailbox switches it on.
		p.want("log in with a wrong password", p.tryLogin("wrong").StatusCode(), 404)
		s.Exec(t, "UPDATE login_failure SET failures = 100 WHERE account_id = (SELECT id FROM account WHERE email = $1)", p.email)
		p.want("log in with the password that is off", p.tryLogin(chosenPassword).StatusCode(), 404)
		link := p.linkToChoose()
		p.want("choose another password", p.choose(link, anotherPassword).StatusCode(), 200)
		p.want("log in", p.tryLogin(anotherPassword).StatusCode(), 200)

		// Used links are no guesses, unknown ones are, however they are asked for.
		for range 6 {
			p.want("a used link", p.choose(link, chosenPassword).StatusCode(), 404)
			p.want("a used link", p.api().OpenLink(link).StatusCode(), 404)
		}
		unknown := &url.URL{Path: unknownPageLink, RawQuery: "rid=" + rid()}
		for range 2 {
			p.want("open an unknown link", p.api().OpenLink(unknown).StatusCode(), 404)
			p.want("use an unknown link", p.choose(unknown, chosenPassword).StatusCode(), 404)
		}
		p.want("open an unknown link", p.api().OpenLink(unknown).StatusCode(), 429)
		p.want("use an unknown link", p.choose(unknown, chosenPassword).StatusCode(), 429)
		p.want("a link of /u/", p.open(&url.URL{Path: strings.Replace(unknownPageLink, "/l/", "/u/", 1), RawQuery: "rid=" + rid()}).StatusCode, 429)
		for language, want := range map[string]string{"en": "Please wait", "ru": "через 15\u00a0минут"} {
			response, page := send(t, s, http.MethodPost, unknown.RequestURI(), formHeader(language), "newPassword=x")
			if response.StatusCode != 429 || !strings.Contains(page, want) || !strings.Contains(page, "<h1>") {
				t.Errorf("the page of the limit: %d %s", response.StatusCode, page)
			}
		}
		p.want("a link that works", p.choose(p.linkToChoose(), chosenPassword).StatusCode(), 200)
	})
}

// TestPageLinksAfterAChangeOfSecret changes AUTH_SECRET while links of /l/ are in mailboxes and in the mail queue: they work.
func TestPageLinksAfterAChangeOfSecret(t *testing.T) {
	t.Parallel()
	harness.EachEngine(t, func(t *testing.T, engine string) {
		before, after := newSecret(t), newSecret(t)
		s := harness.New(t, binary, contract, engine)
		set(s, "AUTH_SECRET", before)
		s.Run(t)
		code := s.Invite(t, 3)
		delivered, waiting := newPerson(t, s), newPerson(t, s).joinByChoice(code)
		delivered.want("sign up", delivered.signUpToChoose(code).StatusCode(), 204)
		link := delivered.mail().Link(t)
		restart(t, s, "AUTH_MAIL_URL", noRelay)
		waiting.want("reset", waiting.api().ResetToChoose(waiting.email).StatusCode(), 204)

		set(s, "AUTH_SECRET_PREVIOUS", before)
		set(s, "AUTH_MAIL_URL", "")
		restart(t, s, "AUTH_SECRET", after)
		delivered.want("open a link of before", delivered.api().OpenLink(link).StatusCode(), 200)
		delivered.want("use it", delivered.choose(link, chosenPassword).StatusCode(), 200)
		waiting.want("a link that waited", waiting.choose(waiting.mail().Link(t), anotherPassword).StatusCode(), 200)
		waiting.password = anotherPassword
		waiting.login()
	})
}

// hiddenChoice expects choosePassword to change nothing about what hidden accounts reveal: the same response and rows for a free and a taken
// address, and a reset that comes in the form that was asked for.
func hiddenChoice(t *testing.T, s *harness.Service) {
	responses := make(map[string]string)
	all := cases(t, s, s.Invite(t, 9))
	for name, p := range all {
		r := p.signUpToChoose(s.Invite(t, 1))
		p.want("sign up as "+name, r.StatusCode(), 204)
		responses[normalized(r.HTTPResponse, r.Body)] = name
		if name == "unknown" {
			continue
		}
		decoys := "(SELECT id FROM account WHERE decoy_of = (SELECT id FROM account WHERE email = $1))"
		for table, want := range map[string]string{"link": "purpose = 'signup'", "mail": "kind = 'signup_notice' AND confirmation_id IS NOT NULL"} {
			if n := s.Count(t, "SELECT count(*) FROM "+table+" WHERE "+want+" AND account_id IN "+decoys, p.email); n != 1 {
				t.Errorf("%s: %d rows in %s", name, n, table)
			}
		}
		if n := s.Count(t, "SELECT count(*) FROM confirmation WHERE account_id IN "+decoys, p.email); n != 0 {
			t.Errorf("%s: %d rows in confirmation", name, n)
		}
	}
	fresh := all["unknown"]
	fresh.want("the link of the free address", fresh.choose(fresh.mail().Link(t), chosenPassword).StatusCode(), 200)
	delete(all, "unknown")
	all["nobody"] = newPerson(t, s)
	for name, p := range all {
		r := p.api().ResetToChoose(p.email)
		p.want("reset of "+name, r.StatusCode(), 204)
		responses[normalized(r.HTTPResponse, r.Body)] = name
	}
	if len(responses) != 1 {
		t.Errorf("the responses differ: %v", responses)
	}
	for _, name := range []string{"active", "pending"} {
		p := all[name]
		link := p.mail().Link(t)
		if !strings.HasPrefix(link.Path, "/l/") {
			t.Fatalf("%s: the link is %s", name, link.Path)
		}
		p.want("choose", p.choose(link, chosenPassword).StatusCode(), 200)
		p.want("log in", p.tryLogin(chosenPassword).StatusCode(), 200)
	}
}
