package contract

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/financelime/authorization/api/client"
	"github.com/financelime/authorization/test/harness"
)

// userRounds returns how often a user is disabled, and how often deleted, during concurrent requests.
func userRounds() int {
	if os.Getenv("FINANCELIME_FULL") != "" {
		return 10
	}
	return 2
}

// TestRaceCommandsOnUsers disables or deletes a user during logins, refreshes, resets and opened links. After the command has
// returned, nothing of the user works, and no concurrent request leaves anything behind.
func TestRaceCommandsOnUsers(t *testing.T) {
	t.Parallel()
	harness.EachWay(t, func(t *testing.T, engine string) {
		// The limits are counted and not reached.
		settings := []string{"AUTH_LIMITS=on"}
		for _, name := range []string{"LOGIN_ACCOUNT", "LOGIN_SOURCE", "MAIL_ADDRESS", "SIGNUP_SOURCE", "RESET_SOURCE", "INVITE_SOURCE", "LINK_SOURCE", "EMAIL_ACCOUNT"} {
			settings = append(settings, "AUTH_LIMIT_"+name+"=1000000/1m")
		}
		s := harness.Start(t, binary, contract, engine, settings...)
		o := operator{t, s}
		rounds := userRounds()
		code := s.Invite(t, 2*rounds)
		for round := range 2 * rounds {
			p := newPerson(t, s).join(code)
			sessions := []client.AccessTokenResponse{p.login(), p.login()}
			p.want("reset", p.resetPassword().StatusCode(), 204)
			link := p.mail().Link(t)
			var before userRow
			o.decode(&before, "user", "show", p.email)
			command := []string{"disable", "delete"}[round%2]

			stop := p.requestUntilStopped(sessions, link)
			var did result
			o.decode(&did, "user", command, p.email)
			p.gone(sessions, link)
			for _, failure := range stop() {
				t.Errorf("%s: %s", command, failure)
			}
			p.gone(sessions, link)
			for _, table := range []string{"session", "confirmation", "mail"} {
				left := fmt.Sprintf("SELECT count(*) FROM %s JOIN account ON account.id = account_id WHERE email = $1", table)
				if table == "mail" {
					left += " AND sent_at IS NULL AND dead_at IS NULL"
				}
				if n := s.Count(t, left, p.email); n != 0 {
					t.Errorf("after %s: %d rows of %s", command, n, table)
				}
			}
			if t.Failed() {
				return
			}
		}
		if n := s.Count(t, "SELECT count(*) FROM invite WHERE uses = $1", rounds); n != 1 {
			t.Error("the deleted users still count on the invite")
		}
	})
}

// requestUntilStopped sends concurrent logins, refreshes, resets and opened links of a person until stop is called. stop returns the
// responses that must not occur.
func (p *person) requestUntilStopped(sessions []client.AccessTokenResponse, link *url.URL) (stop func() []string) {
	attempts := []func() (string, int){
		func() (string, int) { return "log in", p.tryLogin(p.password).StatusCode() },
		func() (string, int) { return "refresh", p.tryRefresh(sessions[0].RefreshToken).StatusCode() },
		func() (string, int) { return "refresh", p.tryRefresh(sessions[1].RefreshToken).StatusCode() },
		func() (string, int) { return "reset", p.resetPassword().StatusCode() },
		func() (string, int) { return "the link", p.open(link).StatusCode },
	}
	var ended atomic.Bool
	var mu sync.Mutex
	var failures []string
	var running sync.WaitGroup
	for _, try := range attempts {
		running.Go(func() {
			for !ended.Load() {
				time.Sleep(5 * time.Millisecond) // lets the command run on two cores
				what, status := try()
				switch status {
				case http.StatusOK, http.StatusNoContent, http.StatusNotFound:
				default:
					mu.Lock()
					failures = append(failures, fmt.Sprintf("%s: %d", what, status))
					mu.Unlock()
				}
			}
		})
	}
	return func() []string {
		ended.Store(true)
		running.Wait()
		return failures
	}
}
