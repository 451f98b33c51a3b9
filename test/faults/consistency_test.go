package faults

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/financelime/authorization/test/harness"
)

// snapshot is the content of the database that can be compared with what the service has acknowledged.
type snapshot struct {
	accounts map[string]accountRow // by address
	sessions map[string]sessionRow // by ID
	mails    map[uuid.UUID][]mailRow
}

type accountRow struct {
	id         uuid.UUID
	pending    bool
	hasInvite  bool
	signUpLink uuid.NullUUID // the open confirmation
	loggedIn   bool          // with a mailed password
}

type sessionRow struct {
	account    uuid.UUID
	generation int64
}

type mailRow struct {
	kind         string
	confirmation uuid.NullUUID
	sent, dead   bool
	lastError    string
}

// readSnapshot reads the accounts, sessions and mails.
func readSnapshot(ctx context.Context, db *sql.DB) (*snapshot, error) {
	l := &snapshot{accounts: make(map[string]accountRow), sessions: make(map[string]sessionRow), mails: make(map[uuid.UUID][]mailRow)}
	err := each(ctx, db, `
		SELECT account.email, account.id, pending_until IS NOT NULL, invite_id IS NOT NULL, confirmation.id, password_hash IS NOT NULL
		FROM account LEFT JOIN confirmation ON account_id = account.id AND purpose = 'signup'`,
		func(scan func(...any) error) error {
			var email string
			var a accountRow
			err := scan(&email, &a.id, &a.pending, &a.hasInvite, &a.signUpLink, &a.loggedIn)
			l.accounts[email] = a
			return err
		})
	if err != nil {
		return nil, err
	}
	err = each(ctx, db, "SELECT id, account_id, generation FROM session", func(scan func(...any) error) error {
		var id uuid.UUID
		var s sessionRow
		err := scan(&id, &s.account, &s.generation)
		l.sessions[id.String()] = s
		return err
	})
	if err != nil {
		return nil, err
	}
	return l, each(ctx, db, `
		SELECT account_id, kind, confirmation_id, sent_at IS NOT NULL, dead_at IS NOT NULL, coalesce(last_error, '') FROM mail`,
		func(scan func(...any) error) error {
			var account uuid.UUID
			var m mailRow
			err := scan(&account, &m.kind, &m.confirmation, &m.sent, &m.dead, &m.lastError)
			l.mails[account] = append(l.mails[account], m)
			return err
		})
}

func each(ctx context.Context, db *sql.DB, query string, row func(scan func(...any) error) error) error {
	rows, err := db.QueryContext(ctx, query)
	if err != nil {
		return fmt.Errorf("%s: %w", query, err)
	}
	defer rows.Close()
	for rows.Next() {
		if err := row(rows.Scan); err != nil {
			return fmt.Errorf("%s: %w", query, err)
		}
	}
	return rows.Err()
}

// violations compares the snapshot with what the service has acknowledged to a person, and returns the differences.
func (l *snapshot) violations(p *person) []string {
	var broken []string
	check := func(holds bool, format string, args ...any) {
		if !holds {
			broken = append(broken, p.email+": "+fmt.Sprintf(format, args...))
		}
	}
	a, exists := l.accounts[p.email]
	check(exists || p.signedUp != yes, "the acknowledged sign-up is lost")
	check(!exists || p.signedUp != no, "there is an account, although the sign-up was rejected")
	if !exists {
		check(len(p.sessions) == 0, "there are sessions without an account")
		return broken
	}
	check(!a.pending || p.confirmed != yes, "the acknowledged confirmation is lost")
	check(a.pending || p.confirmed != no, "the account is confirmed, but the link was not opened")
	l.checkMails(p, a, check)

	known := 0
	for _, s := range p.sessions {
		row, alive := l.sessions[s.id]
		check(alive || s.ended != no, "the session %s, generation %d, is lost", s.id, s.generation)
		check(!alive || s.ended != yes, "the ended session %s is active", s.id)
		if !alive {
			continue
		}
		known++
		check(row.account == a.id, "the session %s belongs to another account", s.id)
		check(row.generation == s.generation || s.refreshMaybe && row.generation == s.generation+1,
			"the session %s has generation %d, acknowledged is %d (a response was lost: %t)", s.id, row.generation, s.generation, s.refreshMaybe)
	}
	all := 0
	for _, row := range l.sessions {
		if row.account == a.id {
			all++
		}
	}
	check(all-known <= p.logins, "%d sessions that no client knows, with %d logins without a response", all-known, p.logins)
	return broken
}

// checkMails checks that every acknowledged mail is queued or sent, unless a newer mail has replaced it.
func (l *snapshot) checkMails(p *person, a accountRow, check func(holds bool, format string, args ...any)) {
	var links, passwords, resets int
	for _, m := range l.mails[a.id] {
		alive := !m.dead
		switch m.kind {
		case "signup_link":
			if alive && (!a.pending || m.confirmation == a.signUpLink) {
				links++
			}
		case "password":
			// If the process was killed after sending and before recording that, and the password was used meanwhile, the mail is not sent again.
			if alive || m.lastError == "superseded" && a.loggedIn {
				passwords++
			}
		case "password_link":
			resets++
		}
		check(alive || m.lastError == "superseded" || m.lastError == "expired", "the %s mail has failed permanently: %s", m.kind, m.lastError)
	}
	check(!a.pending || a.signUpLink.Valid, "the pending sign-up has no confirmation")
	check(!a.pending || links > 0, "the confirmation link is neither queued nor sent")
	check(a.pending || passwords > 0, "the password is neither queued nor sent")
	check(p.resets <= resets && resets <= p.resets+p.resetsMaybe,
		"%d reset links were queued, %d requests acknowledged, %d with an unknown outcome", resets, p.resets, p.resetsMaybe)
}

// brokenInvariants returns the invariants of the schema that do not hold in the database.
func brokenInvariants(ctx context.Context, db *sql.DB, engine string) ([]string, error) {
	counts := map[string]string{
		"addresses with more than one account": "SELECT count(*) FROM (SELECT email FROM account GROUP BY email HAVING count(*) > 1) AS twice",
		"invites whose uses differ from the number of accounts": `SELECT count(*) FROM invite WHERE uses <>
			(SELECT count(*) FROM account WHERE invite_id = invite.id AND pending_until IS NULL)`,
		"invites used more often than allowed": `SELECT count(*) FROM invite WHERE max_uses <
			(SELECT count(*) FROM account WHERE invite_id = invite.id)`,
		"invites with fewer reservations than sign-ups": `SELECT count(*) FROM invite WHERE reserved <
			(SELECT count(*) FROM account WHERE invite_id = invite.id)`,
		"sessions of unconfirmed accounts":       "SELECT count(*) FROM session JOIN account ON account.id = account_id WHERE pending_until IS NOT NULL",
		"mails both sent and permanently failed": "SELECT count(*) FROM mail WHERE sent_at IS NOT NULL AND dead_at IS NOT NULL",
		"sent passwords with a nonce":            "SELECT count(*) FROM mail WHERE sent_at IS NOT NULL AND nonce IS NOT NULL",
		"rows without an account": `SELECT (SELECT count(*) FROM session WHERE account_id NOT IN (SELECT id FROM account)) +
			(SELECT count(*) FROM mail WHERE account_id NOT IN (SELECT id FROM account))`,
	}
	var broken []string
	for what, query := range counts {
		var n int
		if err := db.QueryRowContext(ctx, query).Scan(&n); err != nil {
			return nil, fmt.Errorf("%s: %w", query, err)
		}
		if n != 0 {
			broken = append(broken, fmt.Sprintf("%d %s", n, what))
		}
	}
	if engine != harness.SQLite {
		return broken, nil
	}
	var integrity string
	if err := db.QueryRowContext(ctx, "PRAGMA integrity_check").Scan(&integrity); err != nil {
		return nil, fmt.Errorf("integrity_check: %w", err)
	}
	if integrity != "ok" {
		broken = append(broken, "integrity_check: "+integrity)
	}
	err := each(ctx, db, "PRAGMA foreign_key_check", func(func(...any) error) error {
		broken = append(broken, "foreign_key_check finds a row")
		return nil
	})
	return broken, err
}

// violations returns all differences between the database and what was acknowledged, and all broken invariants.
func (sim *simulation) violations() []string {
	sim.t.Helper()
	var broken []string
	sim.s.Look(sim.t, func(db *sql.DB) {
		engine := harness.Postgres
		if strings.HasPrefix(sim.s.DatabaseURL, "sqlite:") {
			engine = harness.SQLite
		}
		ctx, cancel := context.WithTimeout(sim.t.Context(), time.Minute)
		defer cancel()
		found, err := brokenInvariants(ctx, db, engine)
		if err != nil {
			sim.t.Fatal(err)
		}
		broken = found
		l, err := readSnapshot(ctx, db)
		if err != nil {
			sim.t.Fatal(err)
		}
		for _, p := range sim.people() {
			broken = append(broken, l.violations(p)...)
		}
	})
	return broken
}

// checkDatabase fails the test for each violation.
func (sim *simulation) checkDatabase() {
	sim.t.Helper()
	for _, b := range sim.violations() {
		sim.errorf("%s", b)
	}
}

// verifyThroughAPI checks through the API that acknowledged writes are durable: each session can be refreshed or has ended, and each
// password works. A login costs a password hash, so only the last 40 people log in.
func (sim *simulation) verifyThroughAPI() {
	sim.t.Helper()
	ctx := sim.t.Context()
	people := sim.people()
	for i, p := range people {
		for _, s := range p.activeSessions() {
			p.refreshUntilAnswered(ctx, s)
		}
		p.refreshEnded(ctx)
		if p.newPassword() || p.password != "" {
			if i >= len(people)-40 {
				p.login(ctx)
			}
		}
	}
}

// TestViolationsFindsLostData damages a database in the ways that a lost commit could, and checks that violations reports it.
func TestViolationsFindsLostData(t *testing.T) {
	parallel(t)
	harness.EachEngine(t, func(t *testing.T, engine string) {
		sim := newSimulation(t, engine, 4)
		sim.s.Run(t)
		sim.populate(4)
		sim.waitForMail(time.Minute)
		if broken := sim.violations(); len(broken) > 0 {
			t.Fatalf("before the damage: %q", broken)
		}
		var p *person
		for _, p = range sim.people() {
			if len(p.activeSessions()) > 0 {
				break
			}
		}
		s := p.activeSessions()[0]
		id := uuid.MustParse(s.id)
		var key any = s.id
		if engine == harness.SQLite {
			key = id[:]
		}
		for _, damage := range []struct{ do, undo, tells string }{
			{"UPDATE session SET generation = generation - 1 WHERE id = $1", "UPDATE session SET generation = generation + 1 WHERE id = $1", "generation"},
			{"UPDATE session SET generation = generation + 2 WHERE id = $1", "UPDATE session SET generation = generation - 2 WHERE id = $1", "generation"},
			{"UPDATE invite SET uses = uses - 1 WHERE uses > 0 AND id <> $1", "UPDATE invite SET uses = uses + 1 WHERE created_at = (SELECT max(created_at) FROM invite) AND id <> $1", "number of accounts"},
			{
				"UPDATE mail SET kind = 'password_link' WHERE kind = 'password' AND id <> $1",
				"UPDATE mail SET kind = 'password' WHERE kind = 'password_link' AND confirmation_id IS NULL AND id <> $1", "the password is neither",
			},
			{"DELETE FROM session WHERE id = $1", "", "is lost"},
		} {
			sim.s.Exec(t, damage.do, key)
			if broken := strings.Join(sim.violations(), "\n"); !strings.Contains(broken, damage.tells) {
				t.Errorf("%s: violations returned %q", damage.do, broken)
			}
			if damage.undo != "" {
				sim.s.Exec(t, damage.undo, key)
			}
		}
		sim.s.Exec(t, "DELETE FROM account WHERE email = $1", p.email)
		if broken := strings.Join(sim.violations(), "\n"); !strings.Contains(broken, "sign-up is lost") || !strings.Contains(broken, "number of accounts") {
			t.Errorf("an account is deleted: violations returned %q", broken)
		}
	})
}
