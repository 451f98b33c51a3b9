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

// passwords are those that were mailed to a person, the oldest first.
func (p *person) passwords() []string {
	var words []string
	for _, m := range p.w.mails.To(p.email) {
		if word := m.Password(); word != "" {
			words = append(words, word)
		}
	}
	return words
}

// tryPassword logs in with a password, and tells the status.
func (p *person) tryPassword(ctx context.Context, word string) int {
	return p.w.call(ctx, "log in", func(ctx context.Context) (int, error) {
		r, err := p.w.s.API.CreateAccessTokenWithResponse(ctx, &client.CreateAccessTokenParams{RequestID: rid()},
			client.CreateAccessTokenRequest{Email: client.Email(p.email), Password: word, ClientID: "test_v1"})
		return statusOf(r, err)
	})
}

// click waits for a link of a kind and opens it, which owes the person a password.
func (p *person) click(t *testing.T, subject string) {
	t.Helper()
	eventually(t, "the link has come: "+subject, time.Minute, func() bool { return p.newestLink(subject) != "" })
	link := p.newestLink(subject)
	if status := p.open(t.Context(), link); status != 200 {
		t.Fatalf("click: %d", status)
	}
	p.clicked[key(link)] = yes
}

// newestWorks waits for the last of some passwords, and sees that it works and then those before it do not.
func (p *person) newestWorks(t *testing.T, passwords int) {
	t.Helper()
	eventually(t, "the password has come", time.Minute, func() bool { return len(p.passwords()) == passwords })
	for i, word := range slices.Backward(p.passwords()) {
		want := 404
		if i == passwords-1 {
			want = 200
		}
		if status := p.tryPassword(t.Context(), word); status != want {
			t.Errorf("log-in with password %d of %d: %d, want %d", i+1, passwords, status, want)
		}
	}
}

// signUpAndClick leads a person to the first mailed password.
func (w *world) signUpAndClick(t *testing.T) *person {
	t.Helper()
	w.setInvite(w.lastingInvite(2)) // so that a use is left
	p := newPerson(w)
	p.signUp(t.Context())
	p.click(t, "Confirm")
	eventually(t, "the first password has come", time.Minute, func() bool { return len(p.passwords()) == 1 })
	// The ids of rows come from the clock of the machine, which no test sets. This is how a replica whose clock is ahead
	// would have left the row; the order of these ids must not decide anything.
	id := db.FirstIDAt(time.Now().Add(time.Hour))
	var ahead any = id.String()
	if w.s.DatabaseURL[:7] == "sqlite:" {
		ahead = id[:]
	}
	w.s.Exec(t, "UPDATE account SET pending_password_mail_id = $1 WHERE email = $2", ahead, p.email)
	return p
}

// resetAndClick leads a person to another password.
func (p *person) resetAndClick(t *testing.T) {
	t.Helper()
	if status := p.postReset(t.Context()); status != 204 {
		t.Fatalf("reset: %d", status)
	}
	p.click(t, "reset")
}

// The sign-up link is clicked on a replica whose clock is ahead, the link of a reset on one whose clock is behind: the password
// of the second click is mailed and works, that of the first one does not work any more. And the other way round.
func TestReplicasFiveSecondsApart(t *testing.T) {
	beside(t)
	harness.EachEngine(t, func(t *testing.T, engine string) {
		worlds, clocks := clockReplicas(t, engine, 2)
		clocks[0].step(5 * time.Second)
		for first := range worlds {
			p := worlds[first].signUpAndClick(t)
			p.w = worlds[1-first]
			p.resetAndClick(t)
			p.newestWorks(t, 2)
		}
	})
}

// The clock of a replica is set back by 10 minutes: between two clicks, and between a click and its mail.
func TestClockBackBetweenClicks(t *testing.T) {
	beside(t)
	harness.EachEngine(t, func(t *testing.T, engine string) {
		w, c := clockWorld(t, engine)
		p := w.signUpAndClick(t)
		c.step(-10 * time.Minute)
		p.resetAndClick(t)
		p.newestWorks(t, 2)

		if status := p.postReset(t.Context()); status != 204 {
			t.Fatalf("reset: %d", status)
		}
		eventually(t, "the link has come", time.Minute, func() bool { return p.newestLink("reset") != "" })
		w.mails.Close()
		p.click(t, "reset")
		c.step(-10 * time.Minute)
		if err := w.mails.Open(); err != nil {
			t.Fatal(err)
		}
		p.newestWorks(t, 3)
	})
}
