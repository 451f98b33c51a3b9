package contract

import (
	"database/sql"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/financelime/authorization/api/client"
	"github.com/financelime/authorization/test/harness"
)

// TestHiddenAccounts expects that, with AUTH_HIDE_ACCOUNTS, neither responses nor rows nor work reveal whether an address has an account
// (ASVS 6.3.8).
func TestHiddenAccounts(t *testing.T) {
	t.Parallel()
	harness.EachEngine(t, func(t *testing.T, engine string) {
		s := harness.Start(t, binary, contract, engine, "AUTH_HIDE_ACCOUNTS=true")
		for name, decision := range map[string]func(*testing.T, *harness.Service){
			"a sign-up with a taken address is answered like any other":       hiddenSignUp,
			"a sign-up with a taken address holds a use until it would lapse": hiddenUse,
			"a sign-up with a taken address is a sign-up and nobody":          hiddenNobody,
			"the owner is notified once, however often and by whom":           ownerNotifiedOnce,
			"the owner of a pending sign-up is notified too":                  pendingOwnerNotified,
			"concurrent sign-ups with one address get the same response":      hiddenRace,
			"every reset gets the same response":                              hiddenReset,
			"a reset does what it does otherwise":                             hiddenResetWorks,
			"choosing a password reveals nothing":                             hiddenChoice,
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				decision(t, s)
			})
		}
	})
}

// normalized is a response without the parts that differ between any two requests.
func normalized(response *http.Response, body []byte) string {
	header := response.Header.Clone()
	header.Del("Date")
	header.Del("Request-Id")
	return fmt.Sprintf("%s %v %s", response.Status, header, body)
}

// cases has one person for each state of an address.
func cases(t *testing.T, s *harness.Service, code string) map[string]*person {
	t.Helper()
	all := map[string]*person{
		"unknown": newPerson(t, s), "active": newPerson(t, s).join(code), "disabled": newPerson(t, s).join(code), "pending": newPerson(t, s),
	}
	all["active"].login()
	all["pending"].want("sign up", all["pending"].signUp(code).StatusCode(), 204)
	all["pending"].mail()
	s.Exec(t, "UPDATE account SET disabled_at = created_at WHERE email = $1", all["disabled"].email)
	return all
}

func hiddenSignUp(t *testing.T, s *harness.Service) {
	answers := make(map[string]string)
	for name, p := range cases(t, s, s.Invite(t, 9)) {
		code := s.Invite(t, 1)
		r := p.signUp(code)
		answers[normalized(r.HTTPResponse, r.Body)] = name
		p.want("sign up as "+name, r.StatusCode(), 204)
		if r := p.signUp(code); r.StatusCode() != 409 || r.JSON409.Message != client.SignUpFailure409MessageINVITEHASENDED {
			t.Errorf("%s: the use is held: %s", name, r.Body)
		}
	}
	if len(answers) != 1 {
		t.Errorf("the answers differ: %v", answers)
	}
}

// TestHiddenResetDuringOutages expects the same response to every reset while relay and accounts are unavailable (SECURITY.md S-B11).
func TestHiddenResetDuringOutages(t *testing.T) {
	t.Parallel()
	s := harness.Start(t, binary, contract, harness.Postgres, "AUTH_HIDE_ACCOUNTS=true")
	people := cases(t, s, s.Invite(t, 9))
	s.Stop(t)
	s.Env = append(s.Env, "AUTH_MAIL_URL=smtp://127.0.0.1:9?tls=none")
	s.Run(t)
	s.Look(t, func(db *sql.DB) {
		tx, err := db.BeginTx(t.Context(), nil)
		if err == nil {
			defer tx.Rollback() //nolint:errcheck // nothing was changed
			_, err = tx.ExecContext(t.Context(), "LOCK TABLE account, confirmation, mail IN ACCESS EXCLUSIVE MODE")
		}
		if err != nil {
			t.Fatal(err)
		}
		answers := make(map[string]string)
		for name, p := range people {
			r := p.resetPassword()
			p.want("reset as "+name, r.StatusCode(), 204)
			answers[normalized(r.HTTPResponse, r.Body)] = name
		}
		if len(answers) != 1 {
			t.Errorf("the answers differ: %v", answers)
		}
	})
	eventually(t, "the resets are done", func() bool {
		return s.Count(t, "SELECT count(*) FROM reset_request") == 0 && s.Count(t, "SELECT count(*) FROM mail WHERE kind = 'password_link'") == 1
	})
}

func hiddenUse(t *testing.T, s *harness.Service) {
	owner := newPerson(t, s).join(s.Invite(t, 1))
	code := s.Invite(t, 2)
	owner.want("with a taken address", owner.signUp(code).StatusCode(), 204)
	other := newPerson(t, s)
	other.want("with a free one", other.signUp(code).StatusCode(), 204)
	for name, p := range map[string]*person{"taken": owner, "free": newPerson(t, s)} {
		if r := p.signUp(code); r.StatusCode() != 409 || r.JSON409.Message != client.SignUpFailure409MessageINVITEHASENDED {
			t.Errorf("%s address, no use left: %s", name, r.Body)
		}
	}
	invite := "(SELECT invite_id FROM account WHERE email = $1)"
	if n := s.Count(t, "SELECT count(*) FROM account WHERE pending_until IS NOT NULL AND invite_id = "+invite, other.email); n != 2 {
		t.Errorf("%d uses are held", n)
	}
	s.Exec(t, "UPDATE account SET pending_until = created_at WHERE decoy_of IS NOT NULL AND invite_id = "+invite, other.email)
	next := newPerson(t, s)
	next.want("with the use that is free again", next.signUp(code).StatusCode(), 204)
	next.want("and is taken again", newPerson(t, s).signUp(code).StatusCode(), 409)
}

func hiddenNobody(t *testing.T, s *harness.Service) {
	owner := newPerson(t, s).join(s.Invite(t, 1))
	owner.login()
	account := "SELECT count(*) FROM account WHERE pending_until IS NULL AND password_hash IS NOT NULL AND email = $1"
	owner.want("sign up", owner.signUp(s.Invite(t, 1)).StatusCode(), 204)
	if n := s.Count(t, account, owner.email); n != 1 {
		t.Error("the owner's account has changed")
	}
	owner.login()
	o := operator{t, s}
	if list, _ := o.run("user", "list", "--limit=1000"); strings.Count(list, owner.email) != 1 {
		t.Errorf("the list of users:\n%s", list)
	}
	// Its rows are those of any sign-up.
	owned := "(SELECT id FROM account WHERE decoy_of = (SELECT id FROM account WHERE email = $1))"
	for table, kind := range map[string]string{"confirmation": "purpose = 'signup'", "mail": "kind = 'signup_notice'"} {
		if n := s.Count(t, "SELECT count(*) FROM "+table+" WHERE "+kind+" AND account_id IN "+owned, owner.email); n != 1 {
			t.Errorf("%d rows in %s", n, table)
		}
	}
}

func ownerNotifiedOnce(t *testing.T, s *harness.Service) {
	owner := newPerson(t, s).join(s.Invite(t, 1))
	const times = 5
	for range times {
		owner.want("sign up", owner.signUp(s.Invite(t, 1)).StatusCode(), 204)
	}
	eventually(t, "all notices are done with", func() bool {
		return s.Count(t, `SELECT count(*) FROM mail WHERE kind = 'signup_notice' AND (sent_at IS NOT NULL OR dead_at IS NOT NULL)
			AND account_id IN (SELECT id FROM account WHERE decoy_of = (SELECT id FROM account WHERE email = $1))`, owner.email) == times
	})
	notices := s.WaitNotices(t, owner.email, 1)
	if len(notices) != 1 || !strings.Contains(notices[0].Text, "tried to sign up") || strings.Contains(notices[0].HTML, "href") {
		t.Errorf("the owner was notified: %+v", notices)
	}
}

func pendingOwnerNotified(t *testing.T, s *harness.Service) {
	owner := newPerson(t, s)
	owner.language = "ru"
	owner.want("sign up", owner.signUp(s.Invite(t, 1)).StatusCode(), 204)
	link := owner.mail().Link(t)
	owner.language = "en" // the account's language decides
	owner.want("sign up again", owner.signUp(s.Invite(t, 1)).StatusCode(), 204)
	if notice := s.WaitNotices(t, owner.email, 1)[0]; !strings.Contains(notice.Text, "уже зарегистрирован") {
		t.Errorf("the notice: %s", notice.Text)
	}
	owner.want("the first link", owner.open(link).StatusCode, 200)
}

func hiddenRace(t *testing.T, s *harness.Service) {
	for range 10 {
		p := newPerson(t, s)
		code := s.Invite(t, 20)
		if statuses := count(concurrently(20, func(int) int { return p.signUp(code).StatusCode() })); statuses[204] != 20 {
			t.Fatalf("20 sign-ups with one address: %v", statuses)
		}
		if n := s.Count(t, "SELECT count(*) FROM account WHERE decoy_of = (SELECT id FROM account WHERE email = $1)", p.email); n != 19 {
			t.Errorf("%d sign-ups with a taken address, want 19", n)
		}
		p.want("one more", newPerson(t, s).signUp(code).StatusCode(), 409)
	}
}

func hiddenReset(t *testing.T, s *harness.Service) {
	answers := make(map[string]string)
	all := cases(t, s, s.Invite(t, 9))
	for name, p := range all {
		r := p.resetPassword()
		answers[normalized(r.HTTPResponse, r.Body)] = name
		p.want("reset of "+name, r.StatusCode(), 204)
	}
	if len(answers) != 1 {
		t.Errorf("the answers differ: %v", answers)
	}
	all["active"].mail()
	all["pending"].mail()
	eventually(t, "every reset is done with", func() bool {
		return s.Count(t, "SELECT count(*) FROM reset_request WHERE email IN ($1, $2)", all["unknown"].email, all["disabled"].email) == 0
	})
	if n := s.Count(t, "SELECT count(*) FROM account WHERE email = $1", all["unknown"].email); n != 0 {
		t.Error("a reset has made an account")
	}
	if n := s.Count(t, "SELECT count(*) FROM mail WHERE kind = 'password_link' AND account_id = (SELECT id FROM account WHERE email = $1)", all["disabled"].email); n != 0 {
		t.Error("a disabled user was sent a link")
	}
}

func hiddenResetWorks(t *testing.T, s *harness.Service) {
	p := newPerson(t, s).join(s.Invite(t, 1))
	p.login()
	id := rid()
	_, err := s.API.UserPasswordResetWithResponse(t.Context(), &client.UserPasswordResetParams{RequestID: id},
		client.RequestUserPasswordResetRequest{Email: p.email})
	p.must(err)
	link := p.mail().Link(t)
	if got := link.Query().Get("rid"); got != id {
		t.Errorf("the link is named after %s, not after the request %s", got, id)
	}
	p.want("the link", p.open(link).StatusCode, 200)
	p.password = p.mail().Password(t)
	p.login()
}
