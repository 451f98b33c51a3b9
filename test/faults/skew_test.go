package faults

import (
	"bytes"
	"database/sql"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/financelime/authorization/api/client"
	"github.com/financelime/authorization/impl/admin"
	"github.com/financelime/authorization/test/dbtest"
	"github.com/financelime/authorization/test/harness"
)

// TestClockSkew checks that two replicas whose clocks differ, and one whose clock is set back, behave like a single replica with a correct clock.
func TestClockSkew(t *testing.T) {
	parallel(t)
	for _, skew := range []time.Duration{5 * time.Second, 20 * time.Second} {
		for name, offsets := range map[string][]time.Duration{
			fmt.Sprintf("the other replica is %s ahead", skew):  {0, skew},
			fmt.Sprintf("the other replica is %s behind", skew): {0, -skew},
		} {
			t.Run(name, func(t *testing.T) {
				parallel(t)
				harness.EachEngine(t, func(t *testing.T, engine string) {
					sim, _, useReplica := newClocksSimulation(t, engine, 2, offsets...)
					requests := 0
					useSessions(t, sim, skew, func() { // each request goes to the other replica
						requests++
						useReplica(requests % len(offsets))
					})
				})
			})
		}
	}
	t.Run("set back by 10 min", func(t *testing.T) {
		parallel(t)
		harness.EachEngine(t, func(t *testing.T, engine string) {
			sim, clocks, _ := newClocksSimulation(t, engine, 2, 0)
			steps := 0
			useSessions(t, sim, 10*time.Minute, func() {
				steps++
				if steps%5 == 0 {
					clocks[0].step(-10 * time.Minute)
				}
			})
		})
	})
}

// useSessions lists sessions, logs in, refreshes, repeats a refresh and ends sessions. It calls changeTime before each request.
func useSessions(t *testing.T, sim *simulation, skew time.Duration, changeTime func()) {
	t.Helper()
	sim.populate(1)
	p := sim.people()[0]

	// The limit of sessions ends the oldest session. The list has the newest session first.
	begun := []string{p.activeSessions()[0].id}
	for range 7 {
		changeTime()
		p.login(t.Context())
		begun = append(begun, p.sessions[len(p.sessions)-1].id)
		want := []string{begun[len(begun)-1], begun[len(begun)-2]}
		if got := sim.sessionsByTime(); !slices.Equal(got, want) {
			t.Fatalf("sessions %v, want %v of %v", got, want, begun)
		}
	}
	for _, s := range p.sessions[:len(p.sessions)-2] {
		s.ended = yes
	}

	// One replica refreshes a session, and the other one returns the same successor.
	for range 4 {
		s := p.activeSessions()[1]
		replaced := s.refresh
		changeTime()
		p.refreshUntilAnswered(t.Context(), s)
		for range 2 {
			changeTime()
			if status, successor := refreshAt(t, sim.s, replaced); status != http.StatusOK || successor != s.refresh {
				t.Errorf("the replaced token: %d, another successor: %t", status, successor != s.refresh)
			}
		}
		if got := sim.sessionsByTime(); got[0] != s.id {
			t.Errorf("the refreshed session is not the newest: %v", got)
		}
		changeTime()
	}

	// A late refresh is rejected and ends no session. This is not guaranteed if clocks differ by more than 5 s.
	if skew == 5*time.Second || skew == 10*time.Minute {
		s := p.activeSessions()[1]
		late := s.refresh
		for range 3 {
			changeTime()
			p.refreshUntilAnswered(t.Context(), s)
		}
		for range 2 {
			changeTime()
			if status, _ := refreshAt(t, sim.s, late); status != http.StatusNotFound {
				t.Errorf("a late refresh: %d", status)
			}
		}
		changeTime()
		p.refreshUntilAnswered(t.Context(), s)
	}

	// An operator ends all sessions, of each replica.
	store := dbtest.Open(t, sim.s.DatabaseURL)
	ended, err := admin.EndAllSessions(t.Context(), store)
	if err != nil || ended != 2 {
		t.Errorf("%d sessions ended, %v", ended, err)
	}
	for _, s := range p.activeSessions() {
		changeTime()
		if status, _ := refreshAt(t, sim.s, s.refresh); status != http.StatusNotFound {
			t.Errorf("an ended session: %d", status)
		}
	}
}

// refreshAt sends a refresh token to one replica until the response is not 503. It returns the status and the successor.
func refreshAt(t *testing.T, s *harness.Service, token string) (status int, successor string) {
	t.Helper()
	body, err := json.Marshal(client.RefreshAccessTokenRequest{RefreshToken: token})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "a response other than 503", 30*time.Second, func() bool {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPut, s.URL+"/v1/oauth/refresh", bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Content-Type", "application/json")
		request.Header.Set("request-id", newRequestID())
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			return false
		}
		defer response.Body.Close()
		var tokens client.AccessTokenResponse
		if err := json.NewDecoder(response.Body).Decode(&tokens); err != nil {
			t.Fatal(err)
		}
		status, successor = response.StatusCode, tokens.RefreshToken
		return status != http.StatusServiceUnavailable
	})
	return status, successor
}

// sessionsByTime returns the IDs of all sessions, the most recently refreshed first.
func (sim *simulation) sessionsByTime() (ids []string) {
	sim.t.Helper()
	sim.s.Look(sim.t, func(db *sql.DB) {
		err := each(sim.t.Context(), db, "SELECT id FROM session ORDER BY refreshed_at DESC", func(scan func(...any) error) error {
			var id uuid.UUID
			err := scan(&id)
			ids = append(ids, id.String())
			return err
		})
		if err != nil {
			sim.t.Fatal(err)
		}
	})
	return ids
}

// TestLateRefreshWithClockSkew checks that a refresh with an old token may be up to 10 s late without consequences, and that a later one
// ends the session, also if clocks differ by 5 s.
func TestLateRefreshWithClockSkew(t *testing.T) {
	parallel(t)
	harness.EachEngine(t, func(t *testing.T, engine string) {
		for _, skew := range []time.Duration{-5 * time.Second, 5 * time.Second} {
			sim, clocks, useReplica := newClocksSimulation(t, engine, 2, 0, skew)
			sim.populate(1)
			p := sim.people()[0]
			s := p.activeSessions()[0]
			old := s.refresh
			p.refreshUntilAnswered(t.Context(), s)
			p.refreshUntilAnswered(t.Context(), s)
			advance := func(by time.Duration) {
				for _, c := range clocks {
					c.step(by)
				}
				useReplica(1)
				if status, _ := refreshAt(t, sim.s, old); status != http.StatusNotFound {
					t.Errorf("an old token: %d", status)
				}
				useReplica(0)
			}
			advance(8 * time.Second)
			p.refreshUntilAnswered(t.Context(), s)
			advance(21 * time.Second)
			if status, _ := refreshAt(t, sim.s, s.refresh); status != http.StatusNotFound {
				t.Errorf("the session: %d", status)
			}
		}
	})
}
