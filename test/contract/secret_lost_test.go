package contract

import (
	"strings"
	"testing"

	"github.com/financelime/authorization/test/harness"
)

// TestTheSecretIsLost follows docs/keys.md after the loss of the secret: accounts and passwords survive, sessions and codes end.
func TestTheSecretIsLost(t *testing.T) {
	t.Parallel()
	harness.EachEngine(t, func(t *testing.T, engine string) {
		s := harness.Start(t, binary, contract, engine)
		p := newPerson(t, s).join(s.Invite(t, 1))
		p.login()
		token, code := p.session.RefreshToken, s.Invite(t, 1)
		if _, err := s.Command(t.Context(), "keys", "abandon"); err == nil || !strings.Contains(err.Error(), "not lost") {
			t.Errorf("with the right secret: %v", err)
		}
		s.Stop(t)
		s.Env = append(s.Env, "AUTH_SECRET=3q2+7xI0VniQq83vEjRWeJCrze8SNFZ4kKvN7xI0VnY=")
		if out := serveFails(t, s); !strings.Contains(out, "AUTH_SECRET does not match the database") {
			t.Errorf("another secret: %s", out)
		}
		if out, err := s.Command(t.Context(), "keys", "abandon"); err != nil || !strings.Contains(out, "1 key deleted, 1 session ended, 0 TOTP secrets deleted") {
			t.Errorf("%v %s", err, out)
		}
		s.Run(t)
		if status := p.tryRefresh(token).StatusCode(); status != 400 && status != 404 {
			t.Errorf("a refresh: %d", status)
		}
		p.want("an invite of before", newPerson(t, s).signUp(code).StatusCode(), 404)
		p.login()
	})
}
