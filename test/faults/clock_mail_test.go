package faults

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/financelime/authorization/api/client"
	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/test/harness"
)

// passwords returns the passwords that were mailed to a person, the oldest first.
func (p *person) passwords() []string {
	var words []string
	for _, m := range p.sim.mails.To(p.email) {
		if password := m.Password(); password != "" {
			words = append(words, password)
		}
	}
	return words
}

// tryPassword logs in with a password and returns the status.
func (p *person) tryPassword(ctx context.Context, password string) int {
	return p.sim.call(ctx, "login", func(ctx context.Context) (int, error) {
		r, err := p.sim.s.API.CreateAccessTokenWithResponse(ctx, &client.CreateAccessTokenParams{RequestID: newRequestID()},
			client.CreateAccessTokenRequest{Email: p.email, Password: password, ClientID: "test_v1"})
		return statusOf(r, err)
	})
}

// click waits for a link and opens it, so that a password is queued.
func (p *person) click(t *testing.T, subject string) {
	t.Helper()
	eventually(t, "the link has arrived: "+subject, time.Minute, func() bool { return p.newestLink(subject) != "" })
	link := p.newestLink(subject)
	if status := p.open(t.Context(), link); status != 200 {
		t.Fatalf("click: %d", status)
	}
	p.clicked[linkKey(link)] = yes
}

// checkOnlyNewestWorks waits until a number of passwords have arrived, and checks that the newest one works and that the others do not.
func (p *person) checkOnlyNewestWorks(t *testing.T, passwords int) {
	t.Helper()
	eventually(t, "the password has arrived", time.Minute, func() bool { return len(p.passwords()) == passwords })
	for i, password := range slices.Backward(p.passwords()) {
		want := 404
		if i == passwords-1 {
			want = 200
		}
		if status := p.tryPassword(t.Context(), password); status != want {
			t.Errorf("login with password %d of %d: %d, want %d", i+1, passwords, status, want)
		}
	}
}

// signUpAndClick signs a person up, opens the link and waits for the first password.
func (sim *simulation) signUpAndClick(t *testing.T) *person {
	t.Helper()
	sim.setInvite(sim.lastingInvite(2)) // so that one use remains
	p := newPerson(sim)
	p.signUp(t.Context())
	p.click(t, "Confirm")
	eventually(t, "the first password has arrived", time.Minute, func() bool { return len(p.passwords()) == 1 })
	// IDs of rows come from the clock of the machine, which tests do not change. This is the row as a replica with a clock
	// that is ahead would have written it. The order of these IDs must not matter.
	id := db.FirstIDAt(time.Now().Add(time.Hour))
	var ahead any = id.String()
	if sim.s.DatabaseURL[:7] == "sqlite:" {
		ahead = id[:]
	}
	sim.s.Exec(t, "UPDATE account SET pending_password_mail_id = $1 WHERE email = $2", ahead, p.email)
	return p
}

// resetAndClick requests a reset and opens the link.
func (p *person) resetAndClick(t *testing.T) {
	t.Helper()
	if status := p.postReset(t.Context()); status != 204 {
		t.Fatalf("reset: %d", status)
	}
	p.click(t, "reset")
}

// TestMailedPasswordsWithClockSkew opens the sign-up link on a replica whose clock is ahead, and the reset link on a replica whose clock
// is behind, and the other way round. The password of the second link works; the password of the first link does not work any more.
func TestMailedPasswordsWithClockSkew(t *testing.T) {
	parallel(t)
	harness.EachEngine(t, func(t *testing.T, engine string) {
		sims, clocks := newReplicaSimulations(t, engine, 2)
		clocks[0].step(5 * time.Second)
		for first := range sims {
			p := sims[first].signUpAndClick(t)
			p.sim = sims[1-first]
			p.resetAndClick(t)
			p.checkOnlyNewestWorks(t, 2)
		}
	})
}

// TestMailedPasswordsWhenClockStepsBack sets the clock back by 10 minutes: between two links, and between a link and its mail.
func TestMailedPasswordsWhenClockStepsBack(t *testing.T) {
	parallel(t)
	harness.EachEngine(t, func(t *testing.T, engine string) {
		sim, c := newClockSimulation(t, engine)
		p := sim.signUpAndClick(t)
		c.step(-10 * time.Minute)
		p.resetAndClick(t)
		p.checkOnlyNewestWorks(t, 2)

		if status := p.postReset(t.Context()); status != 204 {
			t.Fatalf("reset: %d", status)
		}
		eventually(t, "the link has arrived", time.Minute, func() bool { return p.newestLink("reset") != "" })
		sim.mails.Close()
		p.click(t, "reset")
		c.step(-10 * time.Minute)
		if err := sim.mails.Open(); err != nil {
			t.Fatal(err)
		}
		p.checkOnlyNewestWorks(t, 3)
	})
}
