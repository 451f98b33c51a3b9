package contract

import (
	"net/url"
	"os"
	"slices"
	"sync"
	"testing"

	"github.com/financelime/authorization/test/harness"
)

// roundsOn returns how often each race is run.
func roundsOn(engine string) int {
	if engine == harness.Replicas && os.Getenv("FINANCELIME_FULL") == "" {
		return 10
	}
	return 100
}

// concurrently calls f n times at the same time and returns the results.
func concurrently[T any](n int, f func(i int) T) []T {
	results := make([]T, n)
	start := make(chan struct{})
	var running sync.WaitGroup
	for i := range n {
		running.Go(func() {
			<-start
			results[i] = f(i)
		})
	}
	close(start)
	running.Wait()
	return results
}

// count returns how often each value occurs.
func count[T comparable](values []T) map[T]int {
	counts := make(map[T]int)
	for _, v := range values {
		counts[v]++
	}
	return counts
}

// TestRaceSignUpsForOneAddress signs up 50 times at the same time with one address in several spellings: one account, one use of the invite.
func TestRaceSignUpsForOneAddress(t *testing.T) {
	t.Parallel()
	harness.EachWay(t, func(t *testing.T, engine string) {
		s := harness.Start(t, binary, contract, engine)
		rounds := roundsOn(engine)
		for range rounds {
			code := s.Invite(t, 50)
			p := newPerson(t, s)
			statuses := count(concurrently(50, func(i int) int {
				same := *p
				if i%2 == 1 {
					same.email = "P" + p.email[1:]
				}
				return same.signUp(code).StatusCode()
			}))
			if statuses[204] != 1 || statuses[409] != 49 {
				t.Fatalf("50 sign-ups for one address: %v", statuses)
			}
		}
		if n := s.Count(t, "SELECT count(*) FROM account"); n != rounds {
			t.Errorf("%d accounts after %d rounds", n, rounds)
		}
	})
}

// TestRaceSignUpsOnOneInvite signs up 200 times at the same time on an invite with 10 uses: exactly 10 succeed.
func TestRaceSignUpsOnOneInvite(t *testing.T) {
	t.Parallel()
	harness.EachWay(t, func(t *testing.T, engine string) {
		s := harness.Start(t, binary, contract, engine)
		rounds := roundsOn(engine)
		for range rounds {
			code := s.Invite(t, 10)
			statuses := count(concurrently(200, func(int) int { return newPerson(t, s).signUp(code).StatusCode() }))
			if statuses[204] != 10 || statuses[409] != 190 {
				t.Fatalf("200 sign-ups on 10 uses: %v", statuses)
			}
		}
		if n := s.Count(t, "SELECT count(*) FROM account"); n != 10*rounds {
			t.Errorf("%d accounts after %d rounds", n, rounds)
		}
	})
}

// TestRaceClicksOnOneLink opens one link 16 times at the same time, of a sign-up and of a reset: one success, one mail with a password.
func TestRaceClicksOnOneLink(t *testing.T) {
	t.Parallel()
	harness.EachWay(t, func(t *testing.T, engine string) {
		s := harness.Start(t, binary, contract, engine)
		rounds := roundsOn(engine)
		code := s.Invite(t, rounds)
		for range rounds {
			p := newPerson(t, s)
			p.want("sign up", p.signUp(code).StatusCode(), 204)
			clickAtOnce(t, p, p.mail().Link(t))
			p.mail() // the password
			p.want("reset", p.resetPassword().StatusCode(), 204)
			clickAtOnce(t, p, p.mail().Link(t))
		}
		if n := s.Count(t, "SELECT count(*) FROM mail WHERE kind = 'password'"); n != 2*rounds {
			t.Errorf("%d passwords were queued after %d rounds", n, rounds)
		}
		if n := s.Count(t, "SELECT sum(uses) FROM invite"); n != rounds {
			t.Errorf("the invite counts %d uses after %d rounds", n, rounds)
		}
	})
}

func clickAtOnce(t *testing.T, p *person, link *url.URL) {
	t.Helper()
	statuses := count(concurrently(16, func(int) int { return p.open(link).StatusCode }))
	if statuses[200] != 1 || statuses[404] != 15 {
		t.Fatalf("16 clicks on one link: %v", statuses)
	}
}

// TestRaceRefreshesOfOneToken refreshes one token 50 times at the same time: all get the same successor.
func TestRaceRefreshesOfOneToken(t *testing.T) {
	t.Parallel()
	harness.EachWay(t, func(t *testing.T, engine string) {
		s := harness.Start(t, binary, contract, engine)
		rounds := roundsOn(engine)
		p := newPerson(t, s).join(s.Invite(t, 1))
		p.login()
		for range rounds {
			before := p.session.RefreshToken
			successors := concurrently(50, func(int) string {
				r := p.tryRefresh(before)
				if r.StatusCode() != 200 {
					return r.Status()
				}
				return r.JSON200.RefreshToken
			})
			slices.Sort(successors)
			if unique := slices.Compact(successors); len(unique) != 1 || unique[0] == before {
				t.Fatalf("50 refreshes of one token gave %d different answers: %v", len(unique), unique)
			}
			p.session.RefreshToken = successors[0]
		}
		if n := s.Count(t, "SELECT count(*) FROM session"); n != 1 {
			t.Errorf("%d sessions", n)
		}
		if n := s.Count(t, "SELECT generation FROM session"); n != rounds+1 {
			t.Errorf("generation %d after %d rounds", n, rounds)
		}
	})
}
