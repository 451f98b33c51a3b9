package contract

import (
	"net/http"
	"os"
	"sync"
	"testing"

	"github.com/financelime/authorization/api/client"
	"github.com/financelime/authorization/test/harness"
)

// TestReplicasEndSessionsImmediately ends a session on one replica: from then on no replica refreshes or verifies it.
func TestReplicasEndSessionsImmediately(t *testing.T) {
	t.Parallel()
	tries := 100
	if os.Getenv("FINANCELIME_FULL") != "" {
		tries = 10_000
	}
	s := harness.Start(t, binary, contract, harness.Replicas)
	members := s.Members()
	code := s.Invite(t, 3)
	for name, end := range map[string]func(p *person){
		"revoke": func(p *person) { p.revoke(p.session.SessionID) },
		"reset": func(p *person) {
			p.want("reset", p.resetPassword().StatusCode(), 204)
			p.want("open the link", p.open(p.mail().Link(t)).StatusCode, 200)
			p.want("log in with the new password", p.tryLogin(p.mail().Password(t)).StatusCode(), 200)
		},
		"disable": func(p *person) {
			var did result
			operator{t, s}.decode(&did, "user", "disable", p.email)
		},
	} {
		p := newPerson(t, s).join(code)
		p.login()
		for _, m := range members {
			if status := verifyOn(t, m, p.session.AccessToken); status != http.StatusNoContent {
				t.Fatalf("%s: the session does not live: %d", name, status)
			}
		}
		end(p) // through any replica
		var trying sync.WaitGroup
		for i := range 16 {
			m := members[i%len(members)]
			trying.Go(func() {
				for range tries / 16 {
					if status := verifyOn(t, m, p.session.AccessToken); status != http.StatusUnauthorized {
						t.Errorf("%s: verify answers %d afterwards", name, status)
						return
					}
					if status := refreshOn(t, m, p.session.RefreshToken); status != http.StatusNotFound {
						t.Errorf("%s: refresh answers %d afterwards", name, status)
						return
					}
				}
			})
		}
		trying.Wait()
	}
}

// verifyOn and refreshOn send a request to one replica, from any goroutine.
func verifyOn(t *testing.T, s *harness.Service, token string) int {
	r, err := s.API.VerifyAccessTokenWithResponse(t.Context(), &client.VerifyAccessTokenParams{}, bearer(token))
	if err != nil {
		t.Error(err)
		return 0
	}
	return r.StatusCode()
}

func refreshOn(t *testing.T, s *harness.Service, token string) int {
	r, err := s.API.RefreshAccessTokenWithResponse(t.Context(), &client.RefreshAccessTokenParams{RequestID: rid()},
		client.RefreshAccessTokenRequest{RefreshToken: token})
	if err != nil {
		t.Error(err)
		return 0
	}
	return r.StatusCode()
}
