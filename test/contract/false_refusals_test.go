package contract

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/financelime/authorization/test/harness"
)

// defaultLimits returns the settings for the default limits, with the test as the gateway. In these tests the limits must not refuse requests
// that guess nothing.
func defaultLimits(settings ...string) []string {
	return append([]string{"AUTH_LIMITS=on", "AUTH_TRUSTED_PROXIES=127.0.0.1"}, settings...)
}

// falseRefusalRounds returns n, or full if FINANCELIME_FULL is set.
func falseRefusalRounds(n, full int) int {
	if os.Getenv("FINANCELIME_FULL") != "" {
		return full
	}
	return n
}

// loginPatiently logs in and obeys Retry-After while the machine is too slow for so many concurrent hashes. That is a 503, and counts
// towards no limit.
func (p *person) loginPatiently(source, password string) int {
	for try := 0; ; try++ {
		status := loginFrom(p.t, p.s, source, p.email, password).status
		if status != http.StatusServiceUnavailable || try == 10 {
			return status
		}
		time.Sleep(time.Second) // as Retry-After says
	}
}

// TestRaceRightLogins expects eight concurrent logins with the right password to succeed, and so the right ones among many wrong ones.
func TestRaceRightLogins(t *testing.T) {
	t.Parallel()
	harness.EachWay(t, func(t *testing.T, engine string) {
		s := harness.Start(t, binary, contract, engine, defaultLimits()...)
		p := newPerson(t, s).join(s.Invite(t, 1))
		for range falseRefusalRounds(5, 1000) {
			got := count(concurrently(8, func(int) int { return p.loginPatiently(stranger, p.password) }))
			if got[200] != 8 {
				t.Fatalf("8 right logins at the same time: %v", got)
			}
		}
		if n := s.Count(t, "SELECT count(*) FROM login_failure") + s.Count(t, "SELECT count(*) FROM login_attempt"); n != 0 {
			t.Errorf("%d rows are left of logins that succeeded", n)
		}
	})
}

func TestRaceRightLoginsAmongWrongOnes(t *testing.T) {
	t.Parallel()
	harness.EachWay(t, func(t *testing.T, engine string) {
		s := harness.Start(t, binary, contract, engine, defaultLimits("AUTH_LIMIT_LOGIN_ACCOUNT=1000000/1m", "AUTH_LIMIT_LOGIN_SOURCE=1000000/1m")...)
		p := newPerson(t, s).join(s.Invite(t, 1))
		for range falseRefusalRounds(2, 100) {
			got := concurrently(24, func(i int) string {
				password, want := p.password, 200
				if i%2 == 1 {
					password, want = "wrong", 404
				}
				if got := p.loginPatiently(stranger, password); got != want {
					return fmt.Sprintf("%d, want %d", got, want)
				}
				return "ok"
			})
			if n := count(got); n["ok"] != 24 {
				t.Fatalf("12 right logins at the same time among 12 wrong ones: %v", n)
			}
		}
	})
}

// TestRaceRightLoginsBeforeTheHundredth expects six concurrent right logins after 97 failures to succeed: only failures count towards the hundred.
func TestRaceRightLoginsBeforeTheHundredth(t *testing.T) {
	t.Parallel()
	harness.EachWay(t, func(t *testing.T, engine string) {
		s := harness.Start(t, binary, contract, engine, defaultLimits()...)
		p := newPerson(t, s).join(s.Invite(t, 1))
		p.want("log in at home", loginFrom(t, s, home, p.email, p.password).status, 200)
		for range falseRefusalRounds(3, 100) {
			p.want("a mistake", loginFrom(t, s, home, p.email, "wrong").status, 404)
			s.Exec(t, "UPDATE login_failure SET failures = 97")
			if got := count(concurrently(6, func(int) int { return p.loginPatiently(home, p.password) })); got[200] != 6 {
				t.Fatalf("6 right logins at the same time after 97 failures: %v", got)
			}
		}
	})
}

// TestRaceManyUsersBehindOneIP lets many users behind one IP sign up at the same time and open their links after a scanner has opened them all.
func TestRaceManyUsersBehindOneIP(t *testing.T) {
	t.Parallel()
	harness.EachWay(t, func(t *testing.T, engine string) {
		s := harness.Start(t, binary, contract, engine, defaultLimits()...)
		const users = 40
		for range falseRefusalRounds(1, 20) {
			code := s.Invite(t, users)
			people := make([]*person, users)
			for i := range people {
				people[i] = newPerson(t, s)
			}
			if got := count(concurrently(users, func(i int) int { return signUpFrom(t, s, stranger, people[i].email, code).status })); got[204] != users {
				t.Fatalf("%d valid sign-ups at the same time from one client IP: %v", users, got)
			}
			links := make([]string, users)
			for i, p := range people {
				links[i] = p.mail().Link(t).RequestURI()
			}
			open := func(i int) int { return ask(t, s, stranger, http.MethodGet, links[i], "").status }
			if got := count(concurrently(users, open)); got[200] != users {
				t.Fatalf("%d valid links opened at the same time from one client IP: %v", users, got)
			}
			if got := count(concurrently(users, open)); got[404] != users { // the users, after the scanner
				t.Fatalf("%d used links opened at the same time from one client IP: %v", users, got)
			}
			late := newPerson(t, s)
			late.want("one more sign-up elsewhere", signUpFrom(t, s, home, late.email, s.Invite(t, 1)).status, 204)
			late.want("its link, where the scanner is", ask(t, s, stranger, http.MethodGet, late.mail().Link(t).RequestURI(), "").status, 200)
			s.Exec(t, "DELETE FROM rate_limit") // 60 sign-ups an hour are a limit of their own
		}
	})
}

// TestConcurrentGuesses expects concurrent guesses among valid links to be limited like sequential ones.
func TestConcurrentGuesses(t *testing.T) {
	t.Parallel()
	harness.EachWay(t, func(t *testing.T, engine string) {
		s := harness.Start(t, binary, contract, engine, defaultLimits("AUTH_LIMIT_SIGNUP_SOURCE=1000/1h", "AUTH_LIMIT_LINK_SOURCE=7/1h")...)
		guess := func(i int) int {
			return signUpFrom(t, s, stranger, fmt.Sprintf("g%d@example.com", i), fmt.Sprint("guess-", i)).status
		}
		if got := count(concurrently(60, guess)); got[404] != 20 || got[429] != 40 {
			t.Errorf("60 unknown codes at the same time on a limit of 20: %v", got)
		}
		p := newPerson(t, s)
		p.want("sign up elsewhere", signUpFrom(t, s, home, p.email, s.Invite(t, 1)).status, 204)
		link := p.mail().Link(t).RequestURI()
		got := count(concurrently(31, func(i int) int {
			if i == 30 {
				return ask(t, s, stranger, http.MethodGet, link, "").status
			}
			return ask(t, s, stranger, http.MethodGet, "/u/"+strings.Repeat("A", 42)+"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdef"[i:i+1]+"?rid="+rid(), "").status
		}))
		if got[200] != 1 || got[404] > 7+23 || got[429] == 0 { // most last characters are malformed, which is no guess
			t.Errorf("30 guessed links at the same time on a limit of 7, and a valid one: %v", got)
		}
	})
}

// TestCancelledRequestsDoNotCount cancels right logins, valid sign-ups and valid links at random moments: the next request
// succeeds, and no reservation remains.
func TestCancelledRequestsDoNotCount(t *testing.T) {
	t.Parallel()
	harness.EachEngine(t, func(t *testing.T, engine string) {
		// The limits on completed sign-ups and resets are wide: some requests are cancelled too late.
		s := harness.Start(t, binary, contract, engine, defaultLimits("AUTH_LIMIT_SIGNUP_SOURCE=1000000/1h", "AUTH_LIMIT_LOGIN_ACCOUNT=3/1h",
			"AUTH_LIMIT_LOGIN_SOURCE=3/1h", "AUTH_LIMIT_INVITE_SOURCE=3/1h", "AUTH_LIMIT_LINK_SOURCE=3/1h")...)
		n := falseRefusalRounds(40, 1000)
		p := newPerson(t, s).join(s.Invite(t, 1))
		took := time.Now()
		p.want("log in", loginFrom(t, s, stranger, p.email, p.password).status, 200)
		longest := 2 * time.Since(took)
		body := fmt.Sprintf(`{"email":%q,"password":%q,"clientID":"test_v1","device":{}}`, p.email, p.password)
		for range n {
			cancelRequest(t, s, longest, http.MethodPost, "/v1/oauth/create", body)
		}
		p.want("log in after the cancelled requests", loginFrom(t, s, stranger, p.email, p.password).status, 200)

		code := s.Invite(t, n+1)
		for range n {
			next := newPerson(t, s)
			cancelRequest(t, s, 10*time.Millisecond, http.MethodPost, "/v1/user/signup",
				fmt.Sprintf(`{"email":%q,"inviteCode":%q,"language":"en"}`, next.email, code))
		}
		last := newPerson(t, s)
		last.want("sign up after the cancelled requests", signUpFrom(t, s, stranger, last.email, code).status, 204)

		link := last.mail().Link(t).RequestURI()
		for range n {
			cancelRequest(t, s, 5*time.Millisecond, http.MethodGet, link, "")
		}
		if got := ask(t, s, stranger, http.MethodGet, link, "").status; got != 200 && got != 404 { // one of those may have used it
			t.Errorf("the link after the cancelled requests: %d", got)
		}
		eventually(t, "no reservation is left", func() bool {
			return s.Count(t, "SELECT count(*) FROM login_attempt") == 0 && s.Count(t, "SELECT count(*) FROM login_failure WHERE failures > 0") == 0
		})
		guess := "/u/" + strings.Repeat("A", 43) + "?rid=" + rid()
		wantStatuses(t, "the quota is unused", statuses(4, func(int) answered { return ask(t, s, stranger, http.MethodGet, guess, "") }),
			404, 404, 404, 429)
		wantStatuses(t, "the quota is unused", statuses(4, func(i int) answered {
			return signUpFrom(t, s, stranger, "guess@example.com", fmt.Sprint("guess-", i))
		}), 404, 404, 404, 429)
		wantStatuses(t, "the quota is unused", statuses(4, func(i int) answered {
			return loginFrom(t, s, stranger, fmt.Sprintf("guess-%d@example.com", i), "wrong")
		}), 404, 404, 404, 429)
	})
}

// cancelRequest sends a request and closes the connection at a random moment, at the latest after a time.
func cancelRequest(t *testing.T, s *harness.Service, longest time.Duration, method, path, body string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), rand.N(longest))
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, s.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header = jsonHeader()
	if body == "" {
		request.Header.Del("Content-Type")
	}
	request.Header.Set("X-Forwarded-For", stranger)
	if response, err := s.HTTP.Do(request); err == nil {
		_ = response.Body.Close()
	}
}

// TestUnavailableDoesNotCount locks the rows that a login, a sign-up and a link need: they get 503, count towards no limit, and succeed
// afterwards.
func TestUnavailableDoesNotCount(t *testing.T) {
	t.Parallel()
	s := harness.Start(t, binary, contract, harness.Postgres, defaultLimits("AUTH_LIMIT_LOGIN_ACCOUNT=3/1h", "AUTH_LIMIT_LOGIN_SOURCE=3/1h",
		"AUTH_LIMIT_INVITE_SOURCE=3/1h", "AUTH_LIMIT_LINK_SOURCE=3/1h", "AUTH_LIMIT_SIGNUP_SOURCE=9/1h")...)
	code := s.Invite(t, 2)
	p, next := newPerson(t, s).join(code), newPerson(t, s)
	next.want("sign up", signUpFrom(t, s, stranger, next.email, code).status, 204)
	link := next.mail().Link(t).RequestURI()
	db := s.DB(t)
	for _, c := range []struct {
		what, lock string
		request    func() int
		want       int
	}{
		{"log in", "UPDATE account SET language = language", func() int { return loginFrom(t, s, stranger, p.email, p.password).status }, 200},
		{"sign up", "UPDATE invite SET uses = uses", func() int { return signUpFrom(t, s, stranger, newPerson(t, s).email, code).status }, 409},
		{"the link", "UPDATE confirmation SET purpose = purpose", func() int { return ask(t, s, stranger, http.MethodGet, link, "").status }, 200},
	} {
		tx, err := db.BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tx.ExecContext(t.Context(), c.lock); err != nil {
			t.Fatal(err)
		}
		if got := count(concurrently(5, func(int) int { return c.request() })); got[503] != 5 {
			t.Errorf("%s while its row is locked: %v", c.what, got)
		}
		if err := tx.Rollback(); err != nil {
			t.Fatal(err)
		}
		wantStatus(t, c.what+" afterwards", c.request(), c.want)
	}
	if n := s.Count(t, "SELECT count(*) FROM login_attempt"); n != 0 {
		t.Errorf("%d logins are still in progress", n)
	}
	// Sign-ups from both addresses, and the links that were mailed to both.
	if n := s.Count(t, "SELECT count(*) FROM rate_limit WHERE full_at > 0"); n != 4 {
		t.Errorf("%d limits are used", n)
	}
}

// TestResetsOfOthersDoNotLimitTheSignUp expects resets of an unknown address to limit neither its owner's sign-up nor another link.
func TestResetsOfOthersDoNotLimitTheSignUp(t *testing.T) {
	t.Parallel()
	harness.EachEngine(t, func(t *testing.T, engine string) {
		for _, hidden := range []string{"false", "true"} {
			s := harness.Start(t, binary, contract, engine, defaultLimits("AUTH_HIDE_ACCOUNTS="+hidden)...)
			p := newPerson(t, s)
			want := map[string][]int{"false": {404, 404, 404, 404, 404, 404, 429, 429}, "true": {204, 204, 204, 204, 204, 204, 204, 204}}[hidden]
			wantStatuses(t, "resets of an address without an account", statuses(8, func(int) answered { return resetFrom(t, s, p.email) }), want...)
			eventually(t, "the resets are done", func() bool { return s.Count(t, "SELECT count(*) FROM reset_request") == 0 })
			p.want("its owner's sign-up", signUpFrom(t, s, home, p.email, s.Invite(t, 1)).status, 204)
			p.mail()
			p.want("its owner asks for the link again", resetFrom(t, s, p.email).status, 204)
			p.want("opens it", p.open(p.mail().Link(t)).StatusCode, 200)
			p.mail()
			before := p.mails
			statuses(9, func(int) answered { return resetFrom(t, s, p.email) })
			if hidden == "true" { // the response does not reveal the limit
				eventually(t, "the resets beyond the limit are dropped", func() bool {
					return s.Count(t, "SELECT count(*) FROM reset_request") == 0
				})
			}
			if n := s.Count(t, "SELECT count(*) FROM mail WHERE kind = 'password_link'"); n != 5 { // limit 6, minus the repeated sign-up link
				t.Errorf("%d resets are mailed after %d mails, want 5", n, before)
			}
		}
	})
}

// TestHiddenSignUpKeepsTheDelay expects that, with hidden accounts, a sign-up does not change the response to a wrong password, for a taken or
// a free address.
func TestHiddenSignUpKeepsTheDelay(t *testing.T) {
	t.Parallel()
	harness.EachEngine(t, func(t *testing.T, engine string) {
		s := harness.Start(t, binary, contract, engine, limited("AUTH_HIDE_ACCOUNTS=true")...)
		code := s.Invite(t, 3)
		owner, nobody := newPerson(t, s).join(code), newPerson(t, s)
		for _, email := range []string{owner.email, nobody.email} {
			got := statuses(5, func(int) answered { return loginFrom(t, s, stranger, email, "wrong") })
			wantStatuses(t, "wrong passwords before the sign-up", got, 404, 404, 404, 429, 429)
			wantStatus(t, "sign up", signUpFrom(t, s, stranger, email, code).status, 204)
			wantStatus(t, "a wrong password after it", loginFrom(t, s, stranger, email, "wrong").status, 429)
		}
		s.Exec(t, "UPDATE login_failure SET delay = 0")
		owner.login()
		if n := s.Count(t, "SELECT count(*) FROM login_failure"); n != 1 {
			t.Errorf("%d rows of failures after the owner's login, want that of the other address", n)
		}
	})
}
