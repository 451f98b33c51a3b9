package contract

import (
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/financelime/authorization/test/harness"
)

// The client IPs of attackers and owners in these tests. The service trusts the test as a gateway.
const (
	home     = "198.51.100.7"
	stranger = "203.0.113.9"
)

// limited has the settings of a service with small limits, with the test as its gateway.
func limited(settings ...string) []string {
	return append([]string{
		"AUTH_LIMITS=on", "AUTH_TRUSTED_PROXIES=127.0.0.1", "AUTH_LIMIT_LOGIN_ACCOUNT=3/30m",
		"AUTH_LIMIT_LOGIN_SOURCE=1000/1h", "AUTH_LIMIT_MAIL_ADDRESS=1000/1h", "AUTH_LIMIT_SIGNUP_SOURCE=1000/1h",
		"AUTH_LIMIT_RESET_SOURCE=1000/1h", "AUTH_LIMIT_INVITE_SOURCE=1000/1h", "AUTH_LIMIT_LINK_SOURCE=1000/1h",
		"AUTH_LIMIT_EMAIL_ACCOUNT=1000/1h",
	}, settings...)
}

// answered is a response without the parts that differ between any two.
type answered struct {
	status int
	body   string
	policy string
}

// ask sends a request from a client IP.
func ask(t testing.TB, s *harness.Service, source, method, path, body string) answered {
	t.Helper()
	header := jsonHeader()
	header.Set("X-Forwarded-For", source)
	if body == "" {
		header.Del("Content-Type")
	}
	response, content := send(t, s, method, path, header, body)
	return answered{response.StatusCode, content, response.Header.Get("RateLimit-Policy")}
}

func loginFrom(t testing.TB, s *harness.Service, source, email, password string) answered {
	t.Helper()
	return ask(t, s, source, http.MethodPost, "/v1/oauth/create",
		fmt.Sprintf(`{"email":%q,"password":%q,"clientID":"test_v1","device":{}}`, email, password))
}

func signUpFrom(t testing.TB, s *harness.Service, source, email, code string) answered {
	t.Helper()
	return ask(t, s, source, http.MethodPost, "/v1/user/signup", fmt.Sprintf(`{"email":%q,"inviteCode":%q,"language":"en"}`, email, code))
}

// resetFrom requests a reset from a client IP.
func resetFrom(t testing.TB, s *harness.Service, email string) answered {
	t.Helper()
	return ask(t, s, stranger, http.MethodPost, "/v1/user/password", fmt.Sprintf(`{"email":%q}`, email))
}

// statuses returns the statuses of n sequential requests.
func statuses(n int, request func(i int) answered) []int {
	got := make([]int, n)
	for i := range got {
		got[i] = request(i).status
	}
	return got
}

func wantStatuses(t testing.TB, what string, got []int, want ...int) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

// passes moves the times of failed logins into the past.
func passes(t testing.TB, s *harness.Service, microseconds string) {
	t.Helper()
	s.Exec(t, "UPDATE login_failure SET last_failed_at = last_failed_at - "+microseconds)
}

// TestLimits expects each limit to refuse the right requests and no others.
func TestLimits(t *testing.T) {
	t.Parallel()
	limits := map[string]struct {
		settings []string
		test     func(*testing.T, *harness.Service)
	}{
		"failed logins are refused alike for every address":          {limited(), refusedAlike},
		"each failure doubles the delay, up to a quarter of an hour": {limited(), growingDelays},
		"a success ends the row of failures":                         {limited(), successDeletesFailures},
		"others cannot lock the owner out":                           {limited(), ownerAtHome},
		"one address has one budget, however it is spelt":            {limited(), oneBudget},
		"a hundred failures in a row switch the password off":        {limited(), passwordOff},
		"wrong second factors count as wrong passwords":              {limited(), wrongFactors},
		"failed logins from a client IP": {
			limited("AUTH_LIMIT_LOGIN_SOURCE=4/1h", "AUTH_LIMIT_LOGIN_ACCOUNT=1000/1h"), failuresFromOneSource,
		},
		"mails to an address":                           {limited("AUTH_LIMIT_MAIL_ADDRESS=3/1h"), mailsToOneAddress},
		"sign-ups from a source":                        {limited("AUTH_LIMIT_SIGNUP_SOURCE=3/1h"), signUpsFromOneSource},
		"resets from a source":                          {limited("AUTH_LIMIT_RESET_SOURCE=3/1h"), resetsFromOneSource},
		"guessed invite codes":                          {limited("AUTH_LIMIT_INVITE_SOURCE=3/1h"), guessedInvites},
		"guessed links, in a page":                      {limited("AUTH_LIMIT_LINK_SOURCE=3/1h"), guessedLinks},
		"X-Forwarded-For of untrusted peers is ignored": {limited("AUTH_TRUSTED_PROXIES=", "AUTH_LIMIT_LOGIN_SOURCE=4/1h"), untrustedForwarding},
	}
	harness.EachEngine(t, func(t *testing.T, engine string) {
		for name, l := range limits {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				l.test(t, harness.Start(t, binary, contract, engine, l.settings...))
			})
		}
	})
}

func refusedAlike(t *testing.T, s *harness.Service) {
	code := s.Invite(t, 10)
	active, disabled, pending := newPerson(t, s).join(code), newPerson(t, s).join(code), newPerson(t, s)
	pending.want("sign up", pending.signUp(code).StatusCode(), 204)
	s.Exec(t, "UPDATE account SET disabled_at = created_at WHERE email = $1", disabled.email)
	var first []answered
	for _, email := range []string{"nobody@example.com", active.email, disabled.email, pending.email} {
		var all []answered
		for range 5 {
			all = append(all, loginFrom(t, s, stranger, email, "wrong"))
		}
		if first == nil {
			first = all
			wantStatuses(t, "five wrong passwords", statuses(5, func(i int) answered { return all[i] }), 404, 404, 404, 429, 429)
		}
		if !slices.Equal(all, first) {
			t.Errorf("%s is answered %v, an unknown address %v", email, all, first)
		}
	}
	if got := loginFrom(t, s, stranger, active.email, active.password); got.status != 429 || got.policy != `"login-account";q=3;w=1800` {
		t.Errorf("the right password among the refused: %+v", got)
	}
	if strings.Count(s.Log(), `"limit.exceeded"`) < 8 {
		t.Error("too few limit.exceeded in the log")
	}
}

func growingDelays(t *testing.T, s *harness.Service) {
	p := newPerson(t, s).join(s.Invite(t, 1))
	for range 3 {
		p.want("a wrong password", loginFrom(t, s, stranger, p.email, "wrong").status, 404)
	}
	// 30 min / 3 is 10 min; then 15 min at the most.
	for _, delay := range []int{600, 900, 900} {
		if got := s.Count(t, "SELECT delay FROM login_failure") / 1_000_000; got != delay {
			t.Errorf("the delay is %d s, want %d", got, delay)
		}
		passes(t, s, strconv.Itoa((delay-30)*1_000_000))
		p.want("too early", loginFrom(t, s, stranger, p.email, "wrong").status, 429)
		passes(t, s, "31000000")
		p.want("in time", loginFrom(t, s, stranger, p.email, "wrong").status, 404)
	}
	passes(t, s, "90000000000") // more than a day
	p.want("after a long pause", loginFrom(t, s, stranger, p.email, "wrong").status, 404)
	p.want("and again", loginFrom(t, s, stranger, p.email, "wrong").status, 404)
	if got := s.Count(t, "SELECT failures FROM login_failure"); got != 8 {
		t.Errorf("%d failures in a row are remembered, want 8", got)
	}
}

func successDeletesFailures(t *testing.T, s *harness.Service) {
	p := newPerson(t, s).join(s.Invite(t, 1))
	for range 3 {
		wantStatuses(t, "two mistakes and a success", []int{
			loginFrom(t, s, stranger, p.email, "wrong").status, loginFrom(t, s, stranger, p.email, "wrong").status,
			loginFrom(t, s, stranger, p.email, p.password).status,
		}, 404, 404, 200)
	}
	if n := s.Count(t, "SELECT count(*) FROM login_failure"); n != 0 {
		t.Errorf("%d rows of failures are left", n)
	}
}

func ownerAtHome(t *testing.T, s *harness.Service) {
	p := newPerson(t, s).join(s.Invite(t, 1))
	p.want("log in at home", loginFrom(t, s, home, p.email, p.password).status, 200)
	for i := range 5 {
		loginFrom(t, s, fmt.Sprintf("203.0.113.%d", i), p.email, "wrong")
	}
	p.want("elsewhere, during the attack", loginFrom(t, s, stranger, p.email, p.password).status, 429)
	p.want("a mistake at home", loginFrom(t, s, home, p.email, "wrong").status, 404)
	p.want("at home, during the attack", loginFrom(t, s, home, p.email, p.password).status, 200)
	for range 4 {
		loginFrom(t, s, stranger, p.email, "wrong")
	}
	wantStatuses(t, "guesses at home", statuses(5, func(int) answered { return loginFrom(t, s, home, p.email, "wrong") }),
		404, 404, 404, 429, 429)
}

func oneBudget(t *testing.T, s *harness.Service) {
	p := newPerson(t, s).join(s.Invite(t, 1))
	name, domain, _ := strings.Cut(p.email, "@")
	spellings := []string{p.email, strings.ToUpper(p.email), name + "@EXAMPLE.com", strings.ToUpper(name) + "@" + domain, name + "@Example.Com"}
	got := statuses(len(spellings), func(i int) answered { return loginFrom(t, s, stranger, spellings[i], "wrong") })
	wantStatuses(t, "one wrong password in five spellings", got, 404, 404, 404, 429, 429)
}

func passwordOff(t *testing.T, s *harness.Service) {
	p := newPerson(t, s).join(s.Invite(t, 1))
	p.login()
	p.want("a wrong password", loginFrom(t, s, stranger, p.email, "wrong").status, 404)
	s.Exec(t, "UPDATE login_failure SET failures = 99, delay = 0")
	p.want("the hundredth try", loginFrom(t, s, stranger, p.email, "wrong").status, 404)
	off := loginFrom(t, s, stranger, p.email, p.password)
	if wrong := loginFrom(t, s, home, "nobody@example.com", "wrong"); off != wrong {
		t.Errorf("the right password after a hundred failures: %+v, a wrong one %+v", off, wrong)
	}
	p.refresh() // sessions continue
	p.want("reset", p.resetPassword().StatusCode(), 204)
	p.want("open the link", p.open(p.mail().Link(t)).StatusCode, 200)
	s.Exec(t, "UPDATE login_failure SET delay = 0")
	p.password = p.mail().Password(t)
	p.want("the mailed password", loginFrom(t, s, stranger, p.email, p.password).status, 200)
	p.want("and again", loginFrom(t, s, stranger, p.email, p.password).status, 200)
	if !strings.Contains(s.Log(), "password.switched_off") {
		t.Error("no password.switched_off in the log")
	}
}

func failuresFromOneSource(t *testing.T, s *harness.Service) {
	p := newPerson(t, s).join(s.Invite(t, 1))
	for range 6 { // successes do not count
		p.want("log in", loginFrom(t, s, "2001:db8:1:2::1", p.email, p.password).status, 200)
	}
	got := statuses(6, func(i int) answered {
		return loginFrom(t, s, fmt.Sprintf("2001:db8:1:2:%x::%x", i, i+1), fmt.Sprintf("n%d@example.com", i), "wrong")
	})
	wantStatuses(t, "wrong passwords from one /64", got, 404, 404, 404, 404, 429, 429)
	p.want("the next /64", loginFrom(t, s, "2001:db8:1:3::1", p.email, p.password).status, 200)
	for range 4 {
		loginFrom(t, s, "::ffff:192.0.2.1", "nobody@example.com", "wrong")
	}
	p.want("an IPv4 address in another spelling", loginFrom(t, s, "192.0.2.1", p.email, p.password).status, 429)
}

func mailsToOneAddress(t *testing.T, s *harness.Service) {
	p := newPerson(t, s)
	code := s.Invite(t, 1)
	wantStatuses(t, "a sign-up and five resends", append(
		statuses(1, func(int) answered { return signUpFrom(t, s, home, p.email, code) }),
		statuses(5, func(int) answered { return resetFrom(t, s, p.email) })...), 204, 204, 204, 204, 429, 429)
	if n := s.Count(t, "SELECT count(*) FROM mail"); n != 4 {
		t.Errorf("%d mails are queued, want 4", n)
	}
	wantStatuses(t, "an address without an account", statuses(5, func(int) answered { return resetFrom(t, s, "nobody@example.com") }),
		404, 404, 404, 429, 429)
}

func signUpsFromOneSource(t *testing.T, s *harness.Service) {
	code := s.Invite(t, 10)
	got := statuses(5, func(i int) answered { return signUpFrom(t, s, stranger, fmt.Sprintf("s%d@example.com", i), code) })
	wantStatuses(t, "sign-ups from one source", got, 204, 204, 204, 429, 429)
	if n := s.Count(t, "SELECT count(*) FROM account"); n != 3 {
		t.Errorf("%d accounts, want 3", n)
	}
	wantStatuses(t, "another source", []int{signUpFrom(t, s, home, "s9@example.com", code).status}, 204)
}

func resetsFromOneSource(t *testing.T, s *harness.Service) {
	got := statuses(5, func(i int) answered { return resetFrom(t, s, fmt.Sprintf("r%d@example.com", i)) })
	wantStatuses(t, "resets from one source", got, 404, 404, 404, 429, 429)
}

func guessedInvites(t *testing.T, s *harness.Service) {
	code := s.Invite(t, 2)
	for i := range 4 { // valid codes are no guesses: two are used, two have ended
		want := 204
		if i >= 2 {
			want = 409
		}
		wantStatus(t, "a valid code", signUpFrom(t, s, stranger, fmt.Sprintf("g%d@example.com", i), code).status, want)
	}
	got := statuses(5, func(i int) answered {
		return signUpFrom(t, s, stranger, "guess@example.com", fmt.Sprintf("guess-%d", i))
	})
	wantStatuses(t, "guessed codes", got, 404, 404, 404, 429, 429)
	wantStatuses(t, "a valid code after them", []int{signUpFrom(t, s, stranger, "late@example.com", s.Invite(t, 1)).status}, 429)
}

func guessedLinks(t *testing.T, s *harness.Service) {
	p := newPerson(t, s)
	p.want("sign up", p.signUp(s.Invite(t, 1)).StatusCode(), 204)
	link := p.mail().Link(t).RequestURI()
	guess := "/u/" + strings.Repeat("A", 43) + "?rid=" + rid()
	got := statuses(4, func(int) answered { return ask(t, s, stranger, http.MethodGet, guess, "") })
	wantStatuses(t, "guessed links", got, 404, 404, 404, 429)
	refused := ask(t, s, stranger, http.MethodGet, guess, "")
	if refused.status != 429 || !strings.Contains(refused.body, "<html") || refused.policy != `"link-source";q=3;w=3600` {
		t.Errorf("one guess more: %+v", refused)
	}
	p.want("a valid link beside the guesses", ask(t, s, stranger, http.MethodGet, link, "").status, 200)
	for range 5 {
		p.want("the used link", ask(t, s, stranger, http.MethodGet, link, "").status, 404)
	}
	p.want("a guess elsewhere", ask(t, s, home, http.MethodGet, guess, "").status, 404)
	if n := s.Count(t, "SELECT count(*) FROM rate_limit WHERE full_at > 0"); n == 0 {
		t.Error("no used quota is in rate_limit")
	}
}

func untrustedForwarding(t *testing.T, s *harness.Service) {
	got := statuses(6, func(i int) answered {
		return loginFrom(t, s, fmt.Sprintf("192.0.2.%d", i), fmt.Sprintf("n%d@example.com", i), "wrong")
	})
	wantStatuses(t, "one peer that sends other client IPs", got, 404, 404, 404, 404, 429, 429)
}

// withReplicas starts two more replicas on PostgreSQL and returns all.
func withReplicas(t *testing.T, first *harness.Service, engine string) []*harness.Service {
	t.Helper()
	replicas := []*harness.Service{first}
	if engine == harness.Postgres {
		for range 2 {
			r := harness.New(t, binary, contract, harness.SQLite)
			r.Env, r.DatabaseURL = first.Env, first.DatabaseURL
			replicas = append(replicas, r)
		}
		harness.RunTogether(t, replicas[1:]...)
	}
	return replicas
}

// TestRaceGuesses sends a hundred wrong passwords at the same time to three replicas: the limit holds, and the right one is refused.
func TestRaceGuesses(t *testing.T) {
	t.Parallel()
	harness.EachEngine(t, func(t *testing.T, engine string) {
		first := harness.Start(t, binary, contract, engine, limited("AUTH_LIMIT_LOGIN_ACCOUNT=10/1h")...)
		replicas := withReplicas(t, first, engine)
		p := newPerson(t, first).join(first.Invite(t, 1))
		got := count(concurrently(120, func(i int) int {
			s := replicas[i%len(replicas)]
			if i >= 100 {
				loginFrom(t, s, home, fmt.Sprintf("noise%d@example.com", i), "wrong")
				return 0
			}
			return loginFrom(t, s, stranger, p.email, "wrong").status
		}))
		// 503: too many passwords were being compared, so this one was not; it counts towards no limit.
		if got[404] == 0 || got[404] > 10 || got[404]+got[429]+got[503] != 100 {
			t.Errorf("a hundred guesses on a budget of 10: %v", got)
		}
		failures := first.Count(t, "SELECT failures FROM login_failure WHERE account_id IS NOT NULL")
		if failures != got[404] {
			t.Errorf("%d failures are counted, %d passwords were compared", failures, got[404])
		}
		for range 10 - failures {
			p.want("what is left of the budget", loginFrom(t, first, stranger, p.email, "wrong").status, 404)
		}
		for _, s := range replicas {
			p.want("the right password, too late", loginFrom(t, s, stranger, p.email, p.password).status, 429)
		}
	})
}

var fields = regexp.MustCompile(`^"[a-z-]+";r=0;t=[1-9]\d*$`)

// TestLimitHeaders expects Retry-After and the RateLimit fields to agree.
func TestLimitHeaders(t *testing.T) {
	t.Parallel()
	s := harness.Start(t, binary, contract, harness.SQLite, limited("AUTH_LIMIT_RESET_SOURCE=1/10m")...)
	resetFrom(t, s, "nobody@example.com")
	header := jsonHeader()
	header.Set("X-Forwarded-For", stranger)
	response, _ := send(t, s, http.MethodPost, "/v1/user/password", header, `{"email":"nobody@example.com"}`)
	after, limit := response.Header.Get("Retry-After"), response.Header.Get("RateLimit")
	if response.StatusCode != 429 || !fields.MatchString(limit) || !strings.HasSuffix(limit, ";t="+after) {
		t.Errorf("%d, Retry-After %q, RateLimit %q", response.StatusCode, after, limit)
	}
	if seconds, err := strconv.Atoi(after); err != nil || seconds < 500 || seconds > 600 {
		t.Errorf("Retry-After %q, want just under 600", after)
	}
}
