package hostile

import (
	"net/http"
	"testing"

	"github.com/google/uuid"
)

// IDs contain no counter: the IDs of two accounts and two sessions that were created one after the other share only the time.
func TestIDsDiscloseNothing(t *testing.T) {
	t.Parallel()
	for _, env := range environments(t) {
		email := newAddress()
		env.join(email, env.accepted["inviteCode"])
		first, second := env.login(env.email, env.password), env.login(email, env.s.WaitMails(t, email, 2)[0].Password(t))
		var ids []uuid.UUID
		for _, session := range []map[string]string{first, second} {
			f := env.forger(session["accessToken"])
			for _, claim := range []string{"sub", "sid", "jti"} {
				text, _ := f.claims[claim].(string)
				id, err := uuid.Parse(text)
				if err != nil {
					continue // jti is random bytes
				}
				ids = append(ids, id)
			}
		}
		if len(ids) < 4 {
			t.Fatalf("only %d IDs", len(ids))
		}
		random := make(map[string]bool)
		for _, id := range ids {
			if v := id.Version(); v != 4 && v != 7 {
				t.Errorf("%s has version %d", id, v)
			}
			random[string(id[8:])] = true // the last 62 random bits of both versions
		}
		if len(random) != len(ids) {
			t.Errorf("IDs share their random part: %v", ids)
		}
	}
}

// Password reset requests change neither the password nor the sessions, however many there are.
func TestResetRequestsChangeNothing(t *testing.T) {
	t.Parallel()
	for _, env := range environments(t) {
		for range 30 {
			env.want("request a reset", env.call(http.MethodPost, "/v1/user/password", map[string]any{"email": env.email}), 204)
		}
		env.want("log in", env.tryLogin(env.email, env.password), 200)
		env.want("refresh", env.refresh(env.refreshToken), 200)
	}
}
