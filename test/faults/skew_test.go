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
	"github.com/financelime/authorization/test/harness"
)

// Two replicas whose clocks differ, and one whose clock is set back, do to sessions what one with a right clock does.
func TestSkewedClocks(t *testing.T) {
	beside(t)
	for _, skew := range []time.Duration{5 * time.Second, 20 * time.Second} {
		for name, offsets := range map[string][]time.Duration{
			fmt.Sprintf("the other is %s ahead", skew):  {0, skew},
			fmt.Sprintf("the other is %s behind", skew): {0, -skew},
		} {
			t.Run(name, func(t *testing.T) {
				beside(t)
				harness.EachEngine(t, func(t *testing.T, engine string) {
					w, _, turnTo := clocksWorld(t, engine, 2, offsets...)
					turns := 0
					skewed(t, w, skew, func() { // each request goes to the other one
						turns++
						turnTo(turns % len(offsets))
					})
				})
			})
		}
	}
	t.Run("set back by 10 min", func(t *testing.T) {
		beside(t)
		harness.EachEngine(t, func(t *testing.T, engine string) {
			w, clocks, _ := clocksWorld(t, engine, 2, 0)
			steps := 0
			skewed(t, w, 10*time.Minute, func() {
				steps++
				if steps%5 == 0 {
					clocks[0].step(-10 * time.Minute)
				}
			})
		})
	})
}

// skewed uses sessions in all ways. turn comes before each request, and makes the time another one.
func skewed(t *testing.T, w *world, skew time.Duration, turn func()) {
	t.Helper()
	w.populate(1)
	p := w.people()[0]

	// The cap ends the session that began first, and the list has the newest one first.
	begun := []string{p.live()[0].id}
	for range 7 {
		turn()
		p.login(t.Context())
		begun = append(begun, p.sessions[len(p.sessions)-1].id)
		want := []string{begun[len(begun)-1], begun[len(begun)-2]}
		if got := w.sessionsByTime(); !slices.Equal(got, want) {
			t.Fatalf("sessions %v, want %v of %v", got, want, begun)
		}
	}
	for _, s := range p.sessions[:len(p.sessions)-2] {
		s.ended = yes
	}

	// A session is refreshed by the one and repeated by the other.
	for range 4 {
		s := p.live()[1]
		replaced := s.refresh
		turn()
		p.refreshUntilAnswered(t.Context(), s)
		for range 2 {
			turn()
			if status, successor := refreshAt(t, w.s, replaced); status != http.StatusOK || successor != s.refresh {
				t.Errorf("the predecessor: %d, another successor: %t", status, successor != s.refresh)
			}
		}
		if got := w.sessionsByTime(); got[0] != s.id {
			t.Errorf("the session that was refreshed is not the newest: %v", got)
		}
		turn()
	}

	// A straggler is refused, and ends no session. Between clocks that differ by more than 5 s that is not promised.
	if skew == 5*time.Second || skew == 10*time.Minute {
		s := p.live()[1]
		straggler := s.refresh
		for range 3 {
			turn()
			p.refreshUntilAnswered(t.Context(), s)
		}
		for range 2 {
			turn()
			if status, _ := refreshAt(t, w.s, straggler); status != http.StatusNotFound {
				t.Errorf("a straggler: %d", status)
			}
		}
		turn()
		p.refreshUntilAnswered(t.Context(), s)
	}

	// An operator ends all sessions, whoever began them.
	store := openStore(t, w.s)
	ended, err := admin.EndAllSessions(t.Context(), store)
	if err != nil || ended != 2 {
		t.Errorf("%d sessions ended, %v", ended, err)
	}
	for _, s := range p.live() {
		turn()
		if status, _ := refreshAt(t, w.s, s.refresh); status != http.StatusNotFound {
			t.Errorf("an ended session: %d", status)
		}
	}
}

// refreshAt presents a refresh token to one replica, until that can decide on it, and returns the status and the successor.
func refreshAt(t *testing.T, s *harness.Service, token string) (status int, successor string) {
	t.Helper()
	body, err := json.Marshal(client.RefreshAccessTokenRequest{RefreshToken: token})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "an answer that decides", 30*time.Second, func() bool {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPut, s.URL+"/v1/oauth/refresh", bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Content-Type", "application/json")
		request.Header.Set("request-id", rid())
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			return false
		}
		defer response.Body.Close()
		var answer client.AccessTokenResponse
		if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
			t.Fatal(err)
		}
		status, successor = response.StatusCode, answer.RefreshToken
		return status != http.StatusServiceUnavailable
	})
	return status, successor
}

// sessionsByTime are the ids of all sessions, the most recently refreshed first.
func (w *world) sessionsByTime() (ids []string) {
	w.t.Helper()
	w.s.Look(w.t, func(db *sql.DB) {
		err := each(w.t.Context(), db, "SELECT id FROM session ORDER BY refreshed_at DESC", func(scan func(...any) error) error {
			var id uuid.UUID
			err := scan(&id)
			ids = append(ids, id.String())
			return err
		})
		if err != nil {
			w.t.Fatal(err)
		}
	})
	return ids
}

// A straggler may be 10 s late, and harms nothing; later than that, an old token ends the session. Both by clocks that are 5 s apart.
func TestStragglersByTwoClocks(t *testing.T) {
	beside(t)
	harness.EachEngine(t, func(t *testing.T, engine string) {
		for _, skew := range []time.Duration{-5 * time.Second, 5 * time.Second} {
			w, clocks, turnTo := clocksWorld(t, engine, 2, 0, skew)
			w.populate(1)
			p := w.people()[0]
			s := p.live()[0]
			old := s.refresh
			p.refreshUntilAnswered(t.Context(), s)
			p.refreshUntilAnswered(t.Context(), s)
			late := func(by time.Duration) {
				for _, c := range clocks {
					c.step(by)
				}
				turnTo(1)
				if status, _ := refreshAt(t, w.s, old); status != http.StatusNotFound {
					t.Errorf("an old token: %d", status)
				}
				turnTo(0)
			}
			late(8 * time.Second)
			p.refreshUntilAnswered(t.Context(), s)
			late(21 * time.Second)
			if status, _ := refreshAt(t, w.s, s.refresh); status != http.StatusNotFound {
				t.Errorf("the session: %d", status)
			}
		}
	})
}
