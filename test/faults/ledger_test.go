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

// ledger is the database, as far as it can be held against what people know.
type ledger struct {
	accounts map[string]accountRow // by address
	sessions map[string]sessionRow // by id
	mails    map[uuid.UUID][]mailRow
}

type accountRow struct {
	id         uuid.UUID
	pending    bool
	hasInvite  bool
	signUpLink uuid.NullUUID // the confirmation that waits
	loggedIn   bool          // with a password that was mailed
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

// readLedger reads all that people may have a claim to.
func readLedger(ctx context.Context, db *sql.DB) (*ledger, error) {
	l := &ledger{accounts: make(map[string]accountRow), sessions: make(map[string]sessionRow), mails: make(map[uuid.UUID][]mailRow)}
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

// claims returns what of a person's knowledge the ledger does not bear out.
func (l *ledger) claims(p *person) []string {
	var broken []string
	claim := func(holds bool, format string, args ...any) {
		if !holds {
			broken = append(broken, p.email+": "+fmt.Sprintf(format, args...))
		}
	}
	a, exists := l.accounts[p.email]
	claim(exists || p.signedUp != yes, "the acknowledged sign-up is lost")
	claim(!exists || p.signedUp != no, "there is an account that was refused")
	if !exists {
		claim(len(p.sessions) == 0, "it has sessions and no account")
		return broken
	}
	claim(!a.pending || p.confirmed != yes, "the acknowledged confirmation is lost")
	claim(a.pending || p.confirmed != no, "it is confirmed, and nobody has opened the link")
	l.claimMails(p, a, claim)

	known := 0
	for _, s := range p.sessions {
		row, alive := l.sessions[s.id]
		claim(alive || s.ended != no, "the session %s, generation %d, is lost", s.id, s.generation)
		claim(!alive || s.ended != yes, "the ended session %s lives", s.id)
		if !alive {
			continue
		}
		known++
		claim(row.account == a.id, "the session %s is somebody else's", s.id)
		claim(row.generation == s.generation || s.refreshMaybe && row.generation == s.generation+1,
			"the session %s has generation %d, acknowledged is %d (an answer was lost: %t)", s.id, row.generation, s.generation, s.refreshMaybe)
	}
	all := 0
	for _, row := range l.sessions {
		if row.account == a.id {
			all++
		}
	}
	claim(all-known <= p.logins, "%d sessions that nobody knows, with %d log-ins without an answer", all-known, p.logins)
	return broken
}

// claimMails: what a person is owed by mail is queued or sent, unless something newer has taken its place.
func (l *ledger) claimMails(p *person, a accountRow, claim func(holds bool, format string, args ...any)) {
	var links, passwords, resets int
	for _, m := range l.mails[a.id] {
		alive := !m.dead
		switch m.kind {
		case "signup_link":
			if alive && (!a.pending || m.confirmation == a.signUpLink) {
				links++
			}
		case "password":
			// One whose sender was killed before it could record that it was sent, and that was used meanwhile, is not sent again.
			if alive || m.lastError == "superseded" && a.loggedIn {
				passwords++
			}
		case "password_link":
			resets++
		}
		claim(alive || m.lastError == "superseded" || m.lastError == "expired", "the %s mail is dead: %s", m.kind, m.lastError)
	}
	claim(!a.pending || a.signUpLink.Valid, "the sign-up waits for a confirmation that does not exist")
	claim(!a.pending || links > 0, "the confirmation link is neither queued nor sent")
	claim(a.pending || passwords > 0, "the password is neither queued nor sent")
	claim(p.resets <= resets && resets <= p.resets+p.resetsMaybe,
		"%d reset links were queued, %d acknowledged, %d more asked for", resets, p.resets, p.resetsMaybe)
}

// rules returns which rules of the schema's meaning the database breaks, whatever anybody knows.
func rules(ctx context.Context, db *sql.DB, engine string) ([]string, error) {
	counts := map[string]string{
		"addresses with more than one account": "SELECT count(*) FROM (SELECT email FROM account GROUP BY email HAVING count(*) > 1) AS twice",
		"invites whose uses are not their holders": `SELECT count(*) FROM invite WHERE uses <>
			(SELECT count(*) FROM account WHERE invite_id = invite.id AND pending_until IS NULL)`,
		"invites used more often than they may be": `SELECT count(*) FROM invite WHERE max_uses <
			(SELECT count(*) FROM account WHERE invite_id = invite.id)`,
		"invites that know of fewer sign-ups than they have": `SELECT count(*) FROM invite WHERE reserved <
			(SELECT count(*) FROM account WHERE invite_id = invite.id)`,
		"sessions of unconfirmed accounts": "SELECT count(*) FROM session JOIN account ON account.id = account_id WHERE pending_until IS NOT NULL",
		"mails both sent and dead":         "SELECT count(*) FROM mail WHERE sent_at IS NOT NULL AND dead_at IS NOT NULL",
		"sent passwords whose nonce lives": "SELECT count(*) FROM mail WHERE sent_at IS NOT NULL AND nonce IS NOT NULL",
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

// audit returns everything that the database owes to people or to its own rules and does not have.
func (w *world) audit() []string {
	w.t.Helper()
	var broken []string
	w.s.Look(w.t, func(db *sql.DB) {
		engine := harness.Postgres
		if strings.HasPrefix(w.s.DatabaseURL, "sqlite:") {
			engine = harness.SQLite
		}
		ctx, cancel := context.WithTimeout(w.t.Context(), time.Minute)
		defer cancel()
		found, err := rules(ctx, db, engine)
		if err != nil {
			w.t.Fatal(err)
		}
		broken = found
		l, err := readLedger(ctx, db)
		if err != nil {
			w.t.Fatal(err)
		}
		for _, p := range w.people() {
			broken = append(broken, l.claims(p)...)
		}
	})
	return broken
}

// check complains of what the audit finds.
func (w *world) check() {
	w.t.Helper()
	for _, b := range w.audit() {
		w.complainf("%s", b)
	}
}

// verify lets everybody prove through the service what they were acknowledged: each session refreshes or has ended, and each
// password logs in. Log-ins cost a hash each, so of many people only the last ones log in.
func (w *world) verify() {
	w.t.Helper()
	ctx := w.t.Context()
	people := w.people()
	for i, p := range people {
		for _, s := range p.live() {
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

// TestTheAuditSeesWhatIsLost damages a database in every way that a lost commit could, and expects the audit to tell.
func TestTheAuditSeesWhatIsLost(t *testing.T) {
	beside(t)
	harness.EachEngine(t, func(t *testing.T, engine string) {
		w := newWorld(t, engine, 4)
		w.s.Run(t)
		w.populate(4)
		w.settle(time.Minute)
		if broken := w.audit(); len(broken) > 0 {
			t.Fatalf("before any damage: %q", broken)
		}
		var p *person
		for _, p = range w.people() {
			if len(p.live()) > 0 {
				break
			}
		}
		s := p.live()[0]
		id := uuid.MustParse(s.id)
		var key any = s.id
		if engine == harness.SQLite {
			key = id[:]
		}
		for _, damage := range []struct{ do, undo, tells string }{
			{"UPDATE session SET generation = generation - 1 WHERE id = $1", "UPDATE session SET generation = generation + 1 WHERE id = $1", "generation"},
			{"UPDATE session SET generation = generation + 2 WHERE id = $1", "UPDATE session SET generation = generation - 2 WHERE id = $1", "generation"},
			{"UPDATE invite SET uses = uses - 1 WHERE uses > 0 AND id <> $1", "UPDATE invite SET uses = uses + 1 WHERE created_at = (SELECT max(created_at) FROM invite) AND id <> $1", "holders"},
			{
				"UPDATE mail SET kind = 'password_link' WHERE kind = 'password' AND id <> $1",
				"UPDATE mail SET kind = 'password' WHERE kind = 'password_link' AND confirmation_id IS NULL AND id <> $1", "the password is neither",
			},
			{"DELETE FROM session WHERE id = $1", "", "is lost"},
		} {
			w.s.Exec(t, damage.do, key)
			if broken := strings.Join(w.audit(), "\n"); !strings.Contains(broken, damage.tells) {
				t.Errorf("%s: the audit tells %q", damage.do, broken)
			}
			if damage.undo != "" {
				w.s.Exec(t, damage.undo, key)
			}
		}
		w.s.Exec(t, "DELETE FROM account WHERE email = $1", p.email)
		if broken := strings.Join(w.audit(), "\n"); !strings.Contains(broken, "sign-up is lost") || !strings.Contains(broken, "holders") {
			t.Errorf("an account is deleted: the audit tells %q", broken)
		}
	})
}
