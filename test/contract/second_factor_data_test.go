package contract

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/financelime/authorization/api/client"
	"github.com/financelime/authorization/test/authenticator"
	"github.com/financelime/authorization/test/harness"
)

// shownFactors is what `user show --json` prints about the second factors of a user.
type shownFactors struct {
	SecondFactor struct {
		Since, TOTP             *time.Time
		RecoveryCodes, Failures int64
	}
	Passkeys []struct {
		ID, Name, RPID string
		Synced         bool
	}
}

func (o operator) showFactors(p *person) (shown shownFactors) {
	o.t.Helper()
	o.decode(&shown, "user", "show", p.email)
	return shown
}

// ageFactors makes all second factors and passkeys older.
func ageFactors(t *testing.T, s *harness.Service, by time.Duration) {
	t.Helper()
	var at any = time.Now().Add(-by).UTC()
	if strings.HasPrefix(s.DatabaseURL, "sqlite") {
		at = time.Now().Add(-by).UnixMicro()
	}
	for _, column := range []string{"passkey SET created_at", "recovery_code SET created_at", "totp SET confirmed_at", "account SET second_factor_since"} {
		table, name, _ := strings.Cut(column, " SET ")
		s.Exec(t, "UPDATE "+table+" SET "+name+" = $1 WHERE "+name+" IS NOT NULL", at)
	}
}

// mustAddPasskey adds a passkey.
func (p *person) mustAddPasskey(name string) (*authenticator.Passkey, client.Passkey) {
	p.t.Helper()
	key, r := p.tryAddPasskey(name, nil)
	p.want("add a passkey", r.StatusCode(), 201)
	return key, *r.JSON201
}

// An operator helps a user who has lost phone and recovery codes: nothing is left of the second factors, the password stays, sessions end, and the
// user is told.
func TestSecondFactorRemoveCommand(t *testing.T) {
	t.Parallel()
	harness.EachEngine(t, func(t *testing.T, engine string) {
		s := harness.Start(t, binary, contract, engine)
		o := operator{t, s}
		code := s.Invite(t, 2)
		p, other := newPerson(t, s).join(code), newPerson(t, s).join(code)
		p.login()
		o.refused("the user has no second factor and no passkey", "user", "second-factor", "remove", p.email)
		o.refused("there is no such user", "user", "second-factor", "remove", "nobody@example.org")
		p.beginTOTP() // a secret that is not confirmed is no factor
		o.refused("the user has no second factor and no passkey", "user", "second-factor", "remove", p.email)
		_, codes := p.setUpTOTP()
		key, added := p.mustAddPasskey("Phone")
		other.login()
		other.setUpTOTP()
		p.want("log in with the password alone", p.tryLogin(p.password).StatusCode(), 403)

		shown := o.showFactors(p)
		if f := shown.SecondFactor; f.Since == nil || f.TOTP == nil || f.RecoveryCodes != 10 || f.Failures != 0 {
			t.Errorf("show: %+v", f)
		}
		if k := shown.Passkeys; len(k) != 1 || k[0].ID != added.PasskeyID || k[0].Name != "Phone" || k[0].RPID != "auth.example.test" || k[0].Synced != added.Synced {
			t.Errorf("show: %+v", k)
		}
		if text, _ := o.run("user", "show", p.email); !strings.Contains(text, "Recovery codes") || !strings.Contains(text, "auth.example.test") {
			t.Errorf("show:\n%s", text)
		}
		o.run("user", "disable", p.email)
		o.run("user", "enable", p.email)
		if f := o.showFactors(p); f.SecondFactor.Since == nil || f.SecondFactor.RecoveryCodes != 10 || len(f.Passkeys) != 1 {
			t.Errorf("after disable and enable: %+v", f)
		}
		session := *p.tryPasskey(key).JSON200

		var did struct {
			ID, Email, Did                    string
			TurnedOff, TOTP                   bool
			RecoveryCodes, Passkeys, Sessions int64
		}
		log := o.decode(&did, "user", "second-factor", "remove", p.email)
		if did.Email != p.email || did.Did != "second factor removed" || !did.TurnedOff || !did.TOTP || did.RecoveryCodes != 10 || did.Passkeys != 1 || did.Sessions != 1 {
			t.Errorf("%+v", did)
		}
		if !strings.Contains(log, "user.second_factor_removed") || !strings.Contains(log, "totp recovery_codes passkey") || strings.Contains(log, "@") {
			t.Errorf("the audit line: %s", log)
		}
		if list, _ := o.run("audit", "list"); strings.Count(list, "user.second_factor_removed") != 1 || strings.Contains(list, "@") || strings.Contains(list, codes[0]) {
			t.Errorf("the audit events:\n%s", list)
		}
		p.want("refresh", p.tryRefresh(session.RefreshToken).StatusCode(), 404)
		p.want("log in with the lost passkey", p.tryPasskey(key).StatusCode(), 404)
		p.login()
		p.wantFactors("after the removal", client.SecondFactor{})
		if n := s.Count(t, "SELECT count(*) FROM mail WHERE kind = 'factor_changed' AND request_id LIKE 'user-second-factor-%'"); n != 1 {
			t.Errorf("%d mails about it", n)
		}
		eventually(t, "the mail about it", func() bool {
			for _, m := range s.Mails(t) {
				if strings.Contains(m.To, p.email) && strings.Contains(m.Text, "The operators of ") {
					return true
				}
			}
			return false
		})
		o.refused("the user has no second factor and no passkey", "user", "second-factor", "remove", p.email)
		if f := o.showFactors(other); f.SecondFactor.Since == nil || f.SecondFactor.RecoveryCodes != 10 {
			t.Errorf("another user: %+v", f)
		}
		other.mustAddPasskey("Phone")
		if text, _ := o.run("user", "second-factor", "remove", other.email); !strings.Contains(text, ": the authenticator app, 10 recovery codes, 1 passkey; 1 session ended\n") {
			t.Errorf("remove: %s", text)
		}
	})
}

// A thief with an open session changes the address and adds factors of their own. The undo of the change removes these, and keeps the owner's.
func TestUndoRemovesFactorsAddedSince(t *testing.T) {
	t.Parallel()
	harness.EachEngine(t, func(t *testing.T, engine string) {
		s := harness.Start(t, binary, contract, engine)
		p := newPerson(t, s).join(s.Invite(t, 1))
		p.login()
		account, owner := userID(t, p), p.email
		mine, kept := p.mustAddPasskey("Owner")
		ageFactors(t, s, time.Hour)
		undo := p.changeEmail(newPerson(t, s).email, true)
		p.setUpTOTP()
		theirs, _ := p.mustAddPasskey("Thief")
		p.want("log in with the password alone", p.tryLogin(p.password).StatusCode(), 403)

		p.wantUse("undo", undo, 200)
		p.email = owner
		lines := logLines(t, s)
		for _, name := range []string{"factor.removed", "factor.off"} {
			wantEvent(t, lines, logLine{Event: name, Level: "INFO", Outcome: "success", AccountID: account})
		}
		var kinds []string
		for line := range strings.Lines(s.Log()) {
			var event struct{ Msg, Kind string }
			if json.Unmarshal([]byte(line), &event) == nil && event.Msg == "factor.removed" {
				kinds = append(kinds, event.Kind)
			}
		}
		if strings.Join(kinds, " ") != "totp recovery_codes passkey" {
			t.Errorf("the log has the kinds %q", kinds)
		}
		eventually(t, "the mail to the owner", func() bool {
			for _, m := range s.Mails(t) {
				if strings.Contains(m.To, owner) && strings.Contains(m.Subject, "ways to log in") && strings.Contains(m.Text, "127.0.0.1") {
					return true
				}
			}
			return false
		})
		p.want("choose a password", p.choose(linkTo(t, s, owner, "Choose a new password", 1), chosenPassword).StatusCode(), 200)
		p.want("the passkey of the thief", p.tryPasskey(theirs).StatusCode(), 404)
		p.want("the passkey of the owner", p.tryPasskey(mine).StatusCode(), 200)
		p.password = chosenPassword
		p.login()
		p.wantFactors("after the undo", client.SecondFactor{Passkeys: 1})
		if left := p.passkeys(); len(left) != 1 || left[0].PasskeyID != kept.PasskeyID {
			t.Errorf("left: %+v", left)
		}
	})
}

// Who reads the old mailbox cannot remove a second factor that was on before the change. Nothing was removed, so nobody is told.
func TestUndoKeepsFactorsFromBefore(t *testing.T) {
	t.Parallel()
	harness.EachEngine(t, func(t *testing.T, engine string) {
		s := harness.Start(t, binary, contract, engine)
		p := newPerson(t, s).join(s.Invite(t, 1))
		p.login()
		owner := p.email
		_, codes := p.setUpTOTP()
		ageFactors(t, s, time.Hour)
		undo := p.changeEmail(newPerson(t, s).email, true)
		before := s.Count(t, "SELECT count(*) FROM mail WHERE kind = 'factor_changed'")
		p.wantUse("undo", undo, 200)
		p.email, p.password = owner, chosenPassword
		p.want("choose a password", p.choose(linkTo(t, s, owner, "Choose a new password", 1), chosenPassword).StatusCode(), 200)
		p.want("second factor", p.byRecoveryCode(p.ticket(), codes[0]).StatusCode(), 200)
		if n := s.Count(t, "SELECT count(*) FROM mail WHERE kind = 'factor_changed'"); n != before {
			t.Errorf("%d mails about changed factors", n-before)
		}
		if strings.Contains(s.Log(), "factor.off") || strings.Contains(s.Log(), "factor.removed") {
			t.Error("the log says that a factor was removed")
		}
	})
}

// A restored backup revives used recovery codes and removed factors. It says so.
func TestRestoreRevivesSecondFactors(t *testing.T) {
	t.Parallel()
	s := harness.Start(t, binary, contract, harness.SQLite)
	o := operator{t, s}
	p := newPerson(t, s).join(s.Invite(t, 1))
	p.login()
	_, codes := p.setUpTOTP()
	o.run("backup", filepath.Join(s.Dir, "backup.db"))
	useCode := func(what string, want int) {
		t.Helper()
		p.want(what, p.byRecoveryCode(p.ticket(), codes[0]).StatusCode(), want)
	}
	useCode("a recovery code", 200)
	useCode("the same one", 403)
	o.run("user", "second-factor", "remove", p.email)
	p.login()
	s.Stop(t)
	for _, name := range []string{"auth.db", "auth.db-wal", "auth.db-shm"} {
		if err := os.RemoveAll(filepath.Join(s.Dir, "data", name)); err != nil {
			t.Fatal(err)
		}
	}
	_, stderr := o.run("restore", filepath.Join(s.Dir, "backup.db"))
	if !strings.Contains(stderr, "second factors and passkeys that were removed since, and recovery codes that were used since, work again") {
		t.Errorf("restore: %s", stderr)
	}
	s.Run(t)
	useCode("the used recovery code", 200)
}
