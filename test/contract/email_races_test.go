package contract

import (
	"database/sql"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/financelime/authorization/test/harness"
)

const linkColumns = "id, account_id, purpose, key_hash, address, created_at, expires_at"

// savedLinks are rows of the table link, so that a race can use the same links again in every round.
type savedLinks [][]any

func saveLinks(t *testing.T, s *harness.Service) (saved savedLinks) {
	t.Helper()
	s.Look(t, func(db *sql.DB) {
		rows, err := db.QueryContext(t.Context(), "SELECT "+linkColumns+" FROM link")
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		for rows.Next() {
			row, targets := make([]any, 7), make([]any, 7)
			for i := range row {
				targets[i] = &row[i]
			}
			if err := rows.Scan(targets...); err != nil {
				t.Fatal(err)
			}
			saved = append(saved, row)
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
	})
	return saved
}

// restore makes the saved links the only ones, and gives accounts their addresses again, by ID.
func (saved savedLinks) restore(t *testing.T, s *harness.Service, addresses map[string]string) {
	t.Helper()
	s.Look(t, func(db *sql.DB) {
		exec := func(query string, args ...any) {
			if _, err := db.ExecContext(t.Context(), query, args...); err != nil {
				t.Fatalf("%s: %v", query, err)
			}
		}
		exec("DELETE FROM link")
		for from, to := range addresses {
			exec("UPDATE account SET email = $1 WHERE email = $2", to, from)
		}
		for _, row := range saved {
			exec("INSERT INTO link ("+linkColumns+") VALUES ($1, $2, $3, $4, $5, $6, $7)", row...)
		}
	})
}

// Of two accounts that confirm one address at the same time, one gets it, and the other one is told that it is taken.
func TestRaceConfirmOneAddress(t *testing.T) {
	t.Parallel()
	harness.EachEngine(t, func(t *testing.T, engine string) {
		s := harness.Start(t, binary, contract, engine)
		code := s.Invite(t, 2)
		people := []*person{newPerson(t, s).join(code), newPerson(t, s).join(code)}
		address, links := newPerson(t, s).email, make([]*url.URL, 2)
		for i, p := range people {
			p.login()
			p.requestEmail(address)
			links[i] = linkTo(t, s, address, "Your new email", i+1)
		}
		saved := saveLinks(t, s)
		type result struct {
			status int
			body   string
		}
		for round := range roundsOn(engine) {
			results := concurrently(2, func(i int) result {
				status, body := people[i].use(links[i], "")
				return result{status, body}
			})
			winner := 0
			if results[1].status == 200 {
				winner = 1
			}
			if lost := results[1-winner]; results[winner].status != 200 || lost.status != 409 || !strings.Contains(lost.body, "EMAIL_TAKEN") {
				t.Fatalf("round %d: %v", round, results)
			}
			won, lost := people[winner], people[1-winner]
			home := won.email
			won.email = address
			won.pendingEmail() // checks the address
			if got := lost.pendingEmail(); got != address {
				t.Fatalf("round %d: the link that lost is void: %q is pending", round, got)
			}
			won.email = home
			saved.restore(t, s, map[string]string{address: home})
		}
	})
}

// Nobody signs up with an address while its owner changes it, and while its owner returns to it. An undo always works.
func TestRaceSignUpBesideUndo(t *testing.T) {
	t.Parallel()
	harness.EachEngine(t, func(t *testing.T, engine string) {
		s := harness.Start(t, binary, contract, engine)
		code := s.Invite(t, 2)
		p, thief := newPerson(t, s).join(code), newPerson(t, s)
		home, away := p.email, newPerson(t, s).email
		thief.email = home
		p.login()
		p.requestEmail(away)
		change := linkTo(t, s, away, "Your new email", 1)
		changes := saveLinks(t, s)
		p.wantUse("change", change, 200)
		undo := linkTo(t, s, home, "was changed", 1)
		undos := saveLinks(t, s)
		beside := func(what string, link *url.URL) {
			t.Helper()
			statuses := concurrently(4, func(i int) int {
				if i == 0 {
					status, _ := p.use(link, "")
					return status
				}
				return thief.signUp(code).StatusCode()
			})
			if want := []int{200, 409, 409, 409}; fmt.Sprint(statuses) != fmt.Sprint(want) {
				t.Fatalf("%s and three sign-ups: %v, want %v", what, statuses, want)
			}
		}
		for range roundsOn(engine) {
			changes.restore(t, s, map[string]string{away: home})
			beside("a change", change)
			undos.restore(t, s, nil)
			beside("an undo", undo)
		}
		if n := s.Count(t, "SELECT count(*) FROM account"); n != 1 {
			t.Errorf("%d accounts, want 1", n)
		}
	})
}
