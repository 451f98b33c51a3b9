package contract

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/financelime/authorization/api/client"
	"github.com/financelime/authorization/test/harness"
)

// operator runs commands while a service runs.
type operator struct {
	t testing.TB
	s *harness.Service
}

// run runs a command, and fails the test if it fails.
func (o operator) run(args ...string) (stdout, stderr string) {
	o.t.Helper()
	stdout, stderr, status := o.try(args...)
	if status != 0 {
		o.t.Fatalf("%v: status %d: %s", args, status, stderr)
	}
	return stdout, stderr
}

func (o operator) try(args ...string) (stdout, stderr string, status int) {
	o.t.Helper()
	cmd := exec.CommandContext(o.t.Context(), o.s.Binary, args...)
	var out, problem bytes.Buffer
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = o.s.Dir, slices.Concat(o.s.Env, []string{"SUDO_USER=olga"}), &out, &problem
	err := cmd.Run()
	if exit, is := errors.AsType[*exec.ExitError](err); is {
		return out.String(), problem.String(), exit.ExitCode()
	}
	if err != nil {
		o.t.Fatal(err)
	}
	return out.String(), problem.String(), 0
}

// wantFailure runs a command that must fail and print want.
func (o operator) wantFailure(want string, args ...string) {
	o.t.Helper()
	if out, stderr, status := o.try(args...); status == 0 || !strings.Contains(out+stderr, want) {
		o.t.Errorf("%v: status %d, want %q\n%s%s", args, status, want, out, stderr)
	}
}

// refused fails the test unless a command ends with status 1 and one sentence that contains want.
func (o operator) refused(want string, args ...string) {
	o.t.Helper()
	stdout, stderr, status := o.try(args...)
	if status != 1 || !strings.HasPrefix(stderr, "financelime-auth: ") || strings.Count(stderr, "\n") != 1 || !strings.Contains(stderr, want) {
		o.t.Errorf("%v: status %d, %q, want %q\n%s", args, status, stderr, want, stdout)
	}
}

// decode runs a command with --json and decodes its output.
func (o operator) decode(into any, args ...string) (stderr string) {
	o.t.Helper()
	stdout, stderr := o.run(append(args, "--json")...)
	if err := json.Unmarshal([]byte(stdout), into); err != nil {
		o.t.Fatalf("%v: %v: %s", args, err, stdout)
	}
	return stderr
}

// userRow is a row of `user list` and `user show`.
type userRow struct {
	ID, Email, State, Language, InviteID string
	Created, LastLogin, Disabled         time.Time
	Password                             bool
	MailedUntil                          *time.Time
	Sessions                             []sessionRow
	Links                                []struct{ Purpose string }
	Mails                                []mailRow
}

// sessionRow is a row of `session list`.
type sessionRow struct {
	ID, AccountID, ClientID, Platform, RemoteAddr string
	Created, Refreshed                            time.Time
}

// result is what a command did to a user.
type result struct {
	ID, Email, Did         string
	Sessions, Links, Mails int
	Queued                 int // mails, of user enable
}

// gone fails the test if anything of the person still works.
func (p *person) gone(sessions []client.AccessTokenResponse, link *url.URL) {
	p.t.Helper()
	for _, session := range sessions {
		p.want("refresh", p.tryRefresh(session.RefreshToken).StatusCode(), 404)
		r, err := p.s.API.VerifyAccessTokenWithResponse(p.t.Context(), &client.VerifyAccessTokenParams{}, bearer(session.AccessToken))
		p.must(err)
		p.want("verify", r.StatusCode(), 401)
	}
	p.want("the link", p.open(link).StatusCode, 404)
	p.want("log in", p.tryLogin(p.password).StatusCode(), 404)
	p.want("reset", p.resetPassword().StatusCode(), 404)
}

func TestUserDisableCommand(t *testing.T) {
	t.Parallel()
	harness.EachEngine(t, func(t *testing.T, engine string) {
		s := harness.Start(t, binary, contract, engine)
		o := operator{t, s}
		code := s.Invite(t, 10)
		p := newPerson(t, s).join(code)
		sessions := []client.AccessTokenResponse{p.login(), p.login()}
		p.want("reset", p.resetPassword().StatusCode(), 204)
		link := p.mail().Link(t)

		var did result
		log := o.decode(&did, "user", "disable", strings.ToUpper(p.email))
		if did.Email != p.email || did.Did != "disabled" || did.Sessions != 2 || did.Links != 1 || did.Mails != 0 {
			t.Errorf("%+v", did)
		}
		var event struct {
			Msg      string
			Operator string
			ID       string `json:"account_id"`
			Sessions int
		}
		if err := json.Unmarshal([]byte(log), &event); err != nil || event.Msg != "user.disabled" || event.Operator != "olga" || event.ID != did.ID || event.Sessions != 2 {
			t.Errorf("the audit line: %v: %s", err, log)
		}
		if strings.Contains(log, "@") {
			t.Errorf("the audit line contains the address: %s", log)
		}
		p.gone(sessions, link)
		o.refused("is already disabled", "user", "disable", did.ID)
		if show, _ := o.run("user", "show", p.email); !strings.Contains(show, "State                  disabled\n") || !strings.Contains(show, "Sessions: none") {
			t.Errorf("show:\n%s", show)
		}

		// Enable removes the flag; there is no pending sign-up.
		if out, _ := o.run("user", "enable", did.ID); out != "enabled "+p.email+" ("+did.ID+")\n" {
			t.Errorf("enable: %s", out)
		}
		o.refused("is not disabled", "user", "enable", did.ID)
		for _, session := range sessions {
			p.want("refresh after enable", p.tryRefresh(session.RefreshToken).StatusCode(), 404)
		}
		p.want("the link after enable", p.open(link).StatusCode, 404)
		p.login()
		p.refresh()
	})
}

// TestUserDisableWithdrawsMails expects an unused mailed password to become void, and waiting mails to be withdrawn.
func TestUserDisableWithdrawsMails(t *testing.T) {
	t.Parallel()
	harness.EachEngine(t, func(t *testing.T, engine string) {
		s := harness.Start(t, binary, contract, engine)
		o := operator{t, s}
		code := s.Invite(t, 10)
		p := newPerson(t, s).join(code)
		unblock := blockMails(t, s)
		p.want("reset", p.resetPassword().StatusCode(), 204)
		mailRows(t, s, "a mail waiting", func(r []mailRow) bool { return len(r) == 1 && r[0].LastError != "" }, "--state=queued")
		var did result
		o.decode(&did, "user", "disable", p.email)
		if did.Sessions != 0 || did.Links != 1 || did.Mails != 1 {
			t.Errorf("%+v", did)
		}
		o.run("user", "enable", p.email)
		p.want("log in with the mailed password", p.tryLogin(p.password).StatusCode(), 404)

		// The mail of a pending sign-up is withdrawn, its link is not: TestEnableRestoresAccess.
		pending := newPerson(t, s)
		pending.want("sign up", pending.signUp(code).StatusCode(), 204)
		o.decode(&did, "user", "disable", pending.email)
		if did.Links != 0 || did.Mails != 1 {
			t.Errorf("%+v", did)
		}
		unblock()
		mailRows(t, s, "no mail waiting", func(r []mailRow) bool { return len(r) == 0 }, "--state=queued")

		// A permanently failed mail to a disabled user is not sent again.
		s.Exec(t, "UPDATE mail SET dead_at = sent_at, sent_at = NULL WHERE kind = 'password' AND account_id IN (SELECT id FROM account WHERE email = $1)", p.email)
		o.run("user", "disable", p.email)
		dead := mailRows(t, s, "a permanently failed mail", func(r []mailRow) bool { return len(r) == 1 }, "--state=dead")
		if out, stderr, _ := o.try("mail", "retry", dead[0].ID); !strings.Contains(out+stderr, "its account is disabled") {
			t.Errorf("retry of a mail to a disabled user: %s%s", out, stderr)
		}
	})
}

// TestEnableRestoresAccess expects an enabled user to continue; until then everything is refused, and nothing is consumed.
func TestEnableRestoresAccess(t *testing.T) {
	t.Parallel()
	harness.EachEngine(t, func(t *testing.T, engine string) {
		for _, hidden := range []bool{false, true} {
			s := harness.Start(t, binary, contract, engine, fmt.Sprintf("AUTH_HIDE_ACCOUNTS=%t", hidden))
			w := enableTest{operator{t, s}, t, s.Invite(t, 10), hidden}
			w.clickAfterEnable()
			w.mailAfterEnable()
			w.resetAfterEnable()
			if n := s.Count(t, "SELECT count(*) FROM invite WHERE uses = 4 AND reserved = 4"); n != 1 {
				t.Error("four people have confirmed, and the invite does not count four")
			}
		}
	})
}

type enableTest struct {
	operator
	t      *testing.T
	code   string
	hidden bool
}

// offAndOn disables a user, checks that everything is refused, and enables them.
func (w enableTest) offAndOn(p *person, link *url.URL, password, want string) {
	w.t.Helper()
	w.run("user", "disable", p.email)
	for range 2 {
		if link != nil {
			p.want("click while disabled", p.open(link).StatusCode, 404)
		}
		if password != "" {
			p.want("log in while disabled", p.tryLogin(password).StatusCode(), 404)
		}
		if w.hidden {
			p.want("reset while disabled", p.resetPassword().StatusCode(), 204)
		} else {
			p.want("reset while disabled", p.resetPassword().StatusCode(), 404)
			p.want("sign up while disabled", p.signUp(w.code).StatusCode(), 409)
		}
	}
	if w.hidden {
		eventually(w.t, "the resets are done", func() bool { return p.s.Count(w.t, "SELECT count(*) FROM reset_request") == 0 })
	}
	out, _ := w.run("user", "enable", p.email)
	if _, after, _ := strings.Cut(out, ")"); after != want+"\n" {
		w.t.Errorf("enable: %q, want %q at the end", out, want)
	}
}

// A mailed link of a sign-up works, immediately and when it is mailed again.
func (w enableTest) clickAfterEnable() {
	w.t.Helper()
	for _, again := range []bool{false, true} {
		p := newPerson(w.t, w.s)
		p.want("sign up", p.signUp(w.code).StatusCode(), 204)
		link := p.mail().Link(w.t)
		w.offAndOn(p, link, "", "")
		if again {
			p.want("reset", p.resetPassword().StatusCode(), 204)
			if resent := p.mail().Link(w.t); resent.Path != link.Path {
				w.t.Errorf("the reset mailed %s, the sign-up %s", resent.Path, link.Path)
			}
		}
		p.want("click", p.open(link).StatusCode, 200)
		p.want("click again", p.open(link).StatusCode, 404)
		p.password = p.mail().Password(w.t)
		p.login()
	}
}

// A link of a sign-up that was not mailed yet is mailed.
func (w enableTest) mailAfterEnable() {
	w.t.Helper()
	folder := filepath.Join(w.s.Dir, "data", "mail")
	if err := errors.Join(os.Rename(folder, folder+".away"), os.WriteFile(folder, nil, 0o600)); err != nil {
		w.t.Fatal(err)
	}
	p := newPerson(w.t, w.s)
	p.want("sign up", p.signUp(w.code).StatusCode(), 204)
	mailRows(w.t, w.s, "a mail waiting", func(r []mailRow) bool { return len(r) == 1 && r[0].LastError != "" }, "--state=queued")
	w.offAndOn(p, nil, "", ": 1 mail queued")
	w.offAndOn(p, nil, "", ": 1 mail queued") // replaces the first
	mailRows(w.t, w.s, "one mail waiting", func(r []mailRow) bool { return len(r) == 1 }, "--state=queued")
	if err := errors.Join(os.Remove(folder), os.Rename(folder+".away", folder)); err != nil {
		w.t.Fatal(err)
	}
	p.want("click", p.open(p.mail().Link(w.t)).StatusCode, 200)
	p.password = p.mail().Password(w.t)
	p.login()
}

// A user who confirmed but did not log in, or who requested a reset, requests a reset.
func (w enableTest) resetAfterEnable() {
	w.t.Helper()
	p := newPerson(w.t, w.s).join(w.code)
	w.offAndOn(p, nil, p.password, "")
	p.want("log in with the void password", p.tryLogin(p.password).StatusCode(), 404)
	p.want("reset", p.resetPassword().StatusCode(), 204)
	link := p.mail().Link(w.t)
	w.offAndOn(p, link, p.password, "")
	p.want("click on the void link", p.open(link).StatusCode, 404)
	p.want("reset", p.resetPassword().StatusCode(), 204)
	p.want("click", p.open(p.mail().Link(w.t)).StatusCode, 200)
	p.password = p.mail().Password(w.t)
	p.login()
	w.offAndOn(p, nil, p.password, "")
	p.login()
}

func TestUserDeleteCommand(t *testing.T) {
	t.Parallel()
	harness.EachEngine(t, func(t *testing.T, engine string) {
		s := harness.Start(t, binary, contract, engine, "AUTH_LIMITS=on")
		o := operator{t, s}
		code := s.Invite(t, 2)
		p := newPerson(t, s).join(code)
		sessions := []client.AccessTokenResponse{p.login(), p.login()}
		p.want("reset", p.resetPassword().StatusCode(), 204)
		link := p.mail().Link(t)
		p.want("a wrong password", p.tryLogin("0000-0000-0000-0000-0000-0000-0000").StatusCode(), 404) // a failure is counted
		var before userRow
		o.decode(&before, "user", "show", p.email)
		mailRows(t, s, "three mails sent", func(r []mailRow) bool { return len(r) == 3 }, "--state=sent")
		leaveHiddenRows(t, s, p.email)

		var did result
		o.decode(&did, "user", "delete", p.email)
		if did.ID != before.ID || did.Sessions != 2 || did.Links != 1 || did.Mails != 0 { // the three mails were sent
			t.Errorf("%+v", did)
		}
		p.gone(sessions, link)
		wantOnlyAudit(t, s, p.email, before.ID, sessions[0].SessionID)
		for _, args := range [][]string{{"show"}, {"disable"}, {"enable"}, {"delete"}} {
			o.refused("there is no such user", "user", args[0], before.ID)
			o.refused("there is no such user", "user", args[0], p.email)
		}
		o.refused("neither a user ID nor an e-mail address", "user", "show", "nonsense")

		// The address and the use of the invite are available again; the new user is another one.
		again := newPerson(t, s)
		again.email, again.mails = p.email, 3
		again.join(code)
		again.login()
		var after userRow
		o.decode(&after, "user", "show", p.email)
		if after.ID == before.ID || after.State != "active" || len(after.Sessions) != 1 {
			t.Errorf("%+v", after)
		}
		p.want("refresh of the old user's session", p.tryRefresh(sessions[0].RefreshToken).StatusCode(), 404)

		// A pending sign-up reserves its use until it is deleted.
		pending := newPerson(t, s)
		pending.want("sign up", pending.signUp(code).StatusCode(), 204)
		newcomer := newPerson(t, s)
		newcomer.want("sign up on an ended invite", newcomer.signUp(code).StatusCode(), 409)
		confirmation := pending.mail().Link(t)
		_, note := o.run("user", "delete", pending.email)
		if !strings.Contains(note, "Emails to the user remain in data/mail") {
			t.Errorf("the note on what is left: %s", note)
		}
		pending.want("the link of a deleted sign-up", pending.open(confirmation).StatusCode, 404)
		newcomer.join(code)
		if n := s.Count(t, "SELECT count(*) FROM invite WHERE max_uses = 2 AND uses = 2"); n != 1 {
			t.Error("two users of an invite, and it does not count two")
		}
	})
}

// leaveHiddenRows inserts what hidden accounts leave behind: a decoy sign-up with the address, and a waiting reset.
func leaveHiddenRows(t *testing.T, s *harness.Service, email string) {
	t.Helper()
	for _, insert := range []string{
		`INSERT INTO account (id, email, language, created_at, pending_until, decoy_of)
			SELECT $1, 'a decoy', 'en', created_at, last_login_at, id FROM account WHERE email = $2`,
		`INSERT INTO reset_request (id, email, request_id, remote_addr, created_at)
			SELECT $1, email, 'a-request', '192.0.2.1', created_at FROM account WHERE email = $2`,
	} {
		id := uuid.New()
		var key any = id.String()
		if s.DatabaseURL[:6] == "sqlite" {
			key = id[:]
		}
		s.Exec(t, insert, key, email)
	}
}

// wantOnlyAudit expects no trace of a deleted user in the database, except their ID in the audit events.
func wantOnlyAudit(t *testing.T, s *harness.Service, email, id, sessionID string) {
	t.Helper()
	var left, audit []string
	isAudit := false
	for line := range strings.Lines(s.Snapshot(t)) {
		table, _, _ := strings.Cut(line, " ")
		if slices.Contains(harness.Tables(), table) { // otherwise the row continues: an ID in SQLite can contain a line break
			isAudit = table == "audit_event"
		}
		if isAudit {
			audit = append(audit, line)
		} else {
			left = append(left, line)
		}
	}
	if events := strings.Join(audit, ""); strings.Contains(events, email) || !strings.Contains(events, "user.deleted") {
		t.Errorf("the audit events: %s", events)
	}
	raw := uuid.MustParse(id)
	for _, trace := range []string{email, id, string(raw[:]), sessionID} {
		if rows := strings.Join(left, ""); strings.Contains(rows, trace) {
			t.Errorf("%s is still in the database:\n%s", trace, rows)
		}
	}
}

func TestUserLists(t *testing.T) {
	t.Parallel()
	harness.EachEngine(t, func(t *testing.T, engine string) {
		s := harness.Start(t, binary, contract, engine)
		o := operator{t, s}
		if out, _ := o.run("user", "list"); out != "ID  EMAIL  STATE  LANGUAGE  CREATED  LAST LOGIN\n" {
			t.Errorf("an empty list: %q", out)
		}
		if out, _ := o.run("user", "list", "--json"); out != "[]\n" {
			t.Errorf("an empty list: %q", out)
		}
		code := s.Invite(t, 10)
		active := newPerson(t, s).join(code)
		active.login()
		disabled, pending, expired := newPerson(t, s).join(code), newPerson(t, s), newPerson(t, s)
		o.run("user", "disable", disabled.email)
		for _, p := range []*person{pending, expired} {
			p.want("sign up", p.signUp(code).StatusCode(), 204)
		}
		s.Exec(t, "UPDATE account SET pending_until = created_at WHERE email = $1", expired.email)

		var rows []userRow
		for after := ""; len(rows) < 4; {
			var page []userRow
			args := []string{"user", "list", "--limit=2"}
			if after != "" {
				args = append(args, "--after="+after)
			}
			o.decode(&page, args...)
			if len(page) != 2 {
				t.Fatalf("page after %q: %+v", after, page)
			}
			rows, after = append(rows, page...), page[1].ID
		}
		for i, want := range []struct {
			p     *person
			state string
		}{{expired, "expired"}, {pending, "pending"}, {disabled, "disabled"}, {active, "active"}} {
			if r := rows[i]; r.Email != want.p.email || r.State != want.state || r.Language != "en" || r.Created.IsZero() || r.InviteID == "" {
				t.Errorf("%d: %+v, want %s %s", i, r, want.state, want.p.email)
			}
		}
		if rows[3].LastLogin.IsZero() || !rows[2].LastLogin.IsZero() || rows[2].Disabled.IsZero() {
			t.Errorf("%+v", rows)
		}
		table, more := o.run("user", "list", "--limit=3")
		if lines := strings.Split(table, "\n"); len(lines) != 5 || strings.Index(lines[0], "STATE") != strings.Index(lines[3], "disabled") {
			t.Errorf("the table:\n%s", table)
		}
		if more != "There may be more: --after="+rows[2].ID+"\n" {
			t.Errorf("the way on: %s", more)
		}
		if _, more := o.run("user", "list"); more != "" {
			t.Errorf("the end of the list: %s", more)
		}
		o.refused("--limit must be at least 1", "user", "list", "--limit=0")
		o.refused("--after", "user", "list", "--after=nonsense")

		var show userRow
		o.decode(&show, "user", "show", active.email)
		if !show.Password || show.MailedUntil != nil || len(show.Sessions) != 1 || show.Sessions[0].ID != active.session.SessionID ||
			len(show.Links) != 0 || len(show.Mails) != 2 {
			t.Errorf("%+v", show)
		}
		text, _ := o.run("user", "show", active.email)
		for _, want := range []string{active.email, active.session.SessionID, "Links: none", "signup_link", "Mailed password until  -"} {
			if !strings.Contains(text, want) {
				t.Errorf("show lacks %q:\n%s", want, text)
			}
		}
	})
}

func TestSessionCommands(t *testing.T) {
	t.Parallel()
	harness.EachEngine(t, func(t *testing.T, engine string) {
		s := harness.Start(t, binary, contract, engine)
		o := operator{t, s}
		code := s.Invite(t, 10)
		a, b := newPerson(t, s).join(code), newPerson(t, s).join(code)
		of := map[*person][]client.AccessTokenResponse{a: {a.login(), a.login(), a.login()}, b: {b.login()}}
		ids := func(args ...string) (ids []string) {
			var rows []sessionRow
			o.decode(&rows, append([]string{"session", "list"}, args...)...)
			for _, r := range rows {
				if r.AccountID == "" || r.ClientID != "test_v1" || r.Platform != "Linux x86_64" || r.RemoteAddr != "127.0.0.1" || r.Created.IsZero() || r.Refreshed.IsZero() {
					t.Errorf("%+v", r)
				}
				ids = append(ids, r.ID)
			}
			return ids
		}
		if got := ids(); len(got) != 4 || got[0] != of[b][0].SessionID {
			t.Errorf("the newest is not first: %v", got)
		}
		if first, second := ids("--limit=3"), ids("--limit=3", "--after="+of[a][1].SessionID); len(first) != 3 || len(second) != 1 || second[0] != of[a][0].SessionID {
			t.Errorf("two pages: %v, %v", first, second)
		}
		if got := ids("--user", b.email); len(got) != 1 || got[0] != of[b][0].SessionID {
			t.Errorf("those of one user: %v", got)
		}
		// The description of the client is shown in one line.
		s.Exec(t, "UPDATE session SET platform = $1 WHERE account_id IN (SELECT id FROM account WHERE email = $2)", "Linux\x1b[2J\nx86", b.email)
		if table, _ := o.run("session", "list", "--user", b.email); strings.Count(table, "\n") != 2 || !strings.Contains(table, "Linux?[2J?x86") {
			t.Errorf("the table:\n%q", table)
		}

		if out, log := o.run("session", "revoke", of[a][0].SessionID); out != "1 session ended\n" || !strings.Contains(log, of[a][0].SessionID) {
			t.Errorf("revoke: %s%s", out, log)
		}
		a.want("refresh of an ended session", a.tryRefresh(of[a][0].RefreshToken).StatusCode(), 404)
		a.want("refresh of another one", a.tryRefresh(of[a][1].RefreshToken).StatusCode(), 200)
		out, stderr, status := o.try("session", "revoke", of[a][0].SessionID, of[a][1].SessionID)
		if status != 1 || out != "1 session ended\n" || !strings.Contains(stderr, of[a][0].SessionID+": there is no such session") {
			t.Errorf("an ended one and another: %d %s%s", status, out, stderr)
		}
		if out, _ := o.run("session", "revoke", "--user", a.email); out != "1 session ended\n" {
			t.Errorf("revoke --user: %s", out)
		}
		a.want("refresh", a.tryRefresh(of[a][2].RefreshToken).StatusCode(), 404)
		b.refresh()
		a.login()
		var ended struct{ Sessions int }
		o.decode(&ended, "session", "revoke", "--all")
		if ended.Sessions != 2 {
			t.Errorf("revoke --all: %+v", ended)
		}
		for _, p := range []*person{a, b} {
			p.want("refresh", p.tryRefresh(p.session.RefreshToken).StatusCode(), 404)
			p.login()
		}
		for _, args := range [][]string{nil, {"--all", "--user", a.email}, {of[a][0].SessionID, "--all"}} {
			o.refused("pass either session IDs, --user or --all", append([]string{"session", "revoke"}, args...)...)
		}
		o.refused("is not the ID of a session", "session", "revoke", "nonsense")
		o.refused("there is no such user", "session", "revoke", "--user", "nobody@example.com")
	})
}
