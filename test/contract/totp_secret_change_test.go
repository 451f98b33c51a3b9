package contract

import (
	"database/sql"
	"os/exec"
	"strings"
	"testing"

	"github.com/financelime/authorization/api/client"
	"github.com/financelime/authorization/test/harness"
)

// sealedTOTP returns the only TOTP secret as it is stored.
func sealedTOTP(t *testing.T, s *harness.Service) (sealed []byte) {
	t.Helper()
	s.Look(t, func(db *sql.DB) {
		if err := db.QueryRowContext(t.Context(), "SELECT sealed FROM totp").Scan(&sealed); err != nil {
			t.Fatal(err)
		}
	})
	return sealed
}

// wantTOTPSecrets waits until the metric says how many TOTP secrets AUTH_SECRET does not open.
func wantTOTPSecrets(t *testing.T, s *harness.Service, previous, unreadable float64) {
	t.Helper()
	eventually(t, "the metric of TOTP secrets", func() bool {
		values, _ := scrape(t, s)
		was, known := values[`financelime_auth_totp_secrets_outdated{state="previous"}`]
		return known && was == previous && values[`financelime_auth_totp_secrets_outdated{state="unreadable"}`] == unreadable
	})
}

// TestChangeOfSecretWithTOTP changes AUTH_SECRET while a user has TOTP. The operator is told when the old secret may go. If it went too early, a code
// gets 500 and no failed login, and the recovery codes work.
func TestChangeOfSecretWithTOTP(t *testing.T) {
	t.Parallel()
	harness.EachEngine(t, func(t *testing.T, engine string) {
		before, after := newSecret(t), newSecret(t)
		s := harness.New(t, binary, contract, engine)
		set(s, "AUTH_SECRET", before)
		s.Run(t)
		p := newPerson(t, s).join(s.Invite(t, 1))
		p.login()
		app, codes := p.setUpTOTP()
		wantTOTPSecrets(t, s, 0, 0)
		sealed := sealedTOTP(t, s)
		s.Stop(t)

		set(s, "AUTH_SECRET", after)
		set(s, "AUTH_SECRET_PREVIOUS", before)
		const keep = "1 TOTP secret can be decrypted only with AUTH_SECRET_PREVIOUS: keep it"
		if out := printed(t, s, "keys", "list"); !strings.Contains(out, keep) {
			t.Errorf("keys list before the service seals the secret anew: %s", out)
		}
		s.Run(t)
		p.refresh()
		wantTOTPSecrets(t, s, 0, 0)
		eventually(t, "the secret is sealed anew", func() bool { return strings.Contains(s.Log(), `"totp.resealed"`) })
		if out := printed(t, s, "keys", "list"); strings.Contains(out, "TOTP") {
			t.Errorf("keys list after it: %s", out)
		}
		resealed := sealedTOTP(t, s)
		s.ForgetTOTPSteps(t, app)
		p.want("a code with both secrets", p.stepUpBy(client.StepUpSessionRequest{Code: new(app.Next(t))}).StatusCode(), 200)

		// As if the old secret had gone before this row was sealed anew.
		s.Exec(t, "UPDATE totp SET sealed = $1", sealed)
		restart(t, s, "AUTH_SECRET_PREVIOUS", "")
		wantTOTPSecrets(t, s, 0, 1)
		wantLogged(t, s, "totp.unreadable", "AUTH_SECRET_PREVIOUS was removed too early")
		if out, err := s.Command(t.Context(), "keys", "list"); err == nil || !strings.Contains(err.Error(), "AUTH_SECRET does not decrypt 1 TOTP secret") {
			t.Errorf("keys list: %v %s", err, out)
		}
		p.refresh()
		for range 2 {
			p.want("a code", p.stepUpBy(client.StepUpSessionRequest{Code: new(app.Code(t, 0))}).StatusCode(), 500)
		}
		wantLogged(t, s, "request.failed", "AUTH_SECRET_PREVIOUS was removed too early")
		if n := s.Count(t, "SELECT count(*) FROM login_failure WHERE failures > 0"); n != 0 {
			t.Errorf("a code that could not be compared counts as %d failed logins", n)
		}
		p.want("a recovery code", p.stepUpBy(client.StepUpSessionRequest{RecoveryCode: &codes[0]}).StatusCode(), 200)

		s.Exec(t, "UPDATE totp SET sealed = $1, last_step = 0", resealed)
		s.ForgetTOTPSteps(t, app)
		p.want("a code with the new secret alone", p.stepUpBy(client.StepUpSessionRequest{Code: new(app.Next(t))}).StatusCode(), 200)

		// Both secrets are lost: `keys abandon` deletes what nothing opens, and the recovery codes stay.
		s.Stop(t)
		set(s, "AUTH_SECRET", newSecret(t))
		if out := printed(t, s, "keys", "abandon"); !strings.Contains(out, "1 TOTP secret deleted") {
			t.Errorf("keys abandon: %s", out)
		}
		s.Run(t)
		if n := s.Count(t, "SELECT (SELECT count(*) FROM totp) * 100 + (SELECT count(*) FROM recovery_code)"); n != 9 {
			t.Errorf("%d: rows of totp * 100 + recovery codes", n)
		}
		if r := p.tryLogin(p.password); r.StatusCode() != 403 || len(r.JSON403.Methods) != 1 || r.JSON403.Methods[0] != client.SecondFactorMethodRecoveryCode {
			t.Errorf("a login after it: %d %s", r.StatusCode(), r.Body)
		}
	})
}

// printed runs a command that must succeed, and returns everything that it prints.
func printed(t *testing.T, s *harness.Service, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), s.Binary, args...)
	cmd.Dir, cmd.Env = s.Dir, s.Env
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%v: %v %s", args, err, out)
	}
	return string(out)
}

// wantLogged checks that the log has a line with an event and a text.
func wantLogged(t *testing.T, s *harness.Service, event, text string) {
	t.Helper()
	eventually(t, event+" is logged", func() bool {
		for line := range strings.Lines(s.Log()) {
			if strings.Contains(line, `"`+event+`"`) && strings.Contains(line, text) {
				return true
			}
		}
		return false
	})
}
