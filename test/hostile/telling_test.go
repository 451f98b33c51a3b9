package hostile

import (
	"net/http"
	"testing"

	"github.com/google/uuid"
)

// Ids tell no number: two accounts and two sessions that were made one after the other share only the time in their ids.
func TestIDsTellNothing(t *testing.T) {
	t.Parallel()
	for _, w := range worlds(t) {
		email := newAddress()
		w.join(email, w.live["inviteCode"])
		first, second := w.login(w.email, w.password), w.login(email, w.s.WaitMails(t, email, 2)[0].Password(t))
		var ids []uuid.UUID
		for _, session := range []map[string]string{first, second} {
			f := w.forger(session["accessToken"])
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
			t.Fatalf("only %d ids", len(ids))
		}
		random := make(map[string]bool)
		for _, id := range ids {
			if v := id.Version(); v != 4 && v != 7 {
				t.Errorf("%s is of version %d", id, v)
			}
			random[string(id[8:])] = true // 62 random bits of either version
		}
		if len(random) != len(ids) {
			t.Errorf("ids share their random part: %v", ids)
		}
	}
}

// However often a reset is asked for, the password and the sessions stay.
func TestAskingChangesNothing(t *testing.T) {
	t.Parallel()
	for _, w := range worlds(t) {
		for range 30 {
			w.want("ask for a reset", w.call(http.MethodPost, "/v1/user/password", map[string]any{"email": w.email}), 204)
		}
		w.want("log in", w.tryLogin(w.email, w.password), 200)
		w.want("refresh", w.refresh(w.refreshToken), 200)
	}
}
