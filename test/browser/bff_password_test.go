//go:build browser

package browser

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/financelime/authorization/api/client"
)

// changePassword sends a change of the password with the access token of the page, as session.mjs does.
func (b *bff) changePassword(t *testing.T, current, chosen, cookie, accessToken string) (*http.Response, string) {
	t.Helper()
	body := fmt.Sprintf(`{"currentPassword":%q,"newPassword":%q}`, current, chosen)
	return b.post(t, http.MethodPost, "/bff/password", body, "Cookie: "+cookie, "Authorization: "+accessToken)
}

// TestBackendForFrontendChangesThePassword checks that a change of the password replaces the token in the cookie, and that a lost response
// costs no session.
func TestBackendForFrontendChangesThePassword(t *testing.T) {
	t.Parallel()
	for _, variant := range variants {
		t.Run(variant, func(t *testing.T) {
			t.Parallel()
			b := startBFF(t, variant)
			session, cookie := b.login(t)
			for what, c := range map[string]struct {
				current, chosen, accessToken, want string
				status                             int
			}{
				"a wrong password":   {"wrong", "seven green boats at noon", "Bearer " + session.AccessToken, "WRONG_PASSWORD", 403},
				"a short password":   {b.password, "short", "Bearer " + session.AccessToken, "PASSWORD_TOO_SHORT", 422},
				"no access token":    {b.password, "seven green boats at noon", "", "401 Unauthorized", 401},
				"a bad access token": {b.password, "seven green boats at noon", "Bearer x", "401 Unauthorized", 401},
			} {
				r, text := b.changePassword(t, c.current, c.chosen, cookie, c.accessToken)
				if r.StatusCode != c.status || !strings.Contains(text, c.want) || r.Header.Get("Set-Cookie") != "" {
					t.Errorf("%s: %d %v %s", what, r.StatusCode, r.Header, text)
				}
			}

			r, text := b.changePassword(t, b.password, "seven green boats at noon", cookie, "Bearer "+session.AccessToken)
			var changed client.AccessTokenResponse
			parse(t, text, &changed)
			next := mustMatchCookie(t, r)
			if r.StatusCode != http.StatusOK || next == cookie || changed.RefreshToken != "" || changed.SessionID != session.SessionID {
				t.Errorf("%d, the cookie is %s, the page got %s", r.StatusCode, next, text)
			}
			b.password = "seven green boats at noon"
			next, session.AccessToken = b.refresh(t, next, changed.SessionID)

			// server.mjs repeats a refresh for half a minute, but not after a change whose response was lost: later the older token would count as
			// stolen.
			b.toService.setLose(true)
			r, text = b.changePassword(t, b.password, "eight green boats at noon", next, "Bearer "+session.AccessToken)
			b.toService.setLose(false)
			if r.StatusCode != http.StatusServiceUnavailable || r.Header.Get("Set-Cookie") != "" {
				t.Errorf("a lost response: %d %v %s", r.StatusCode, r.Header, text)
			}
			b.password = "eight green boats at noon"
			healed, _ := b.refresh(t, next, session.SessionID)
			if healed == next {
				t.Error("the refresh after a lost response did not reach the service")
			}
			b.refresh(t, healed, session.SessionID)
			b.login(t)
		})
	}
}

// refresh refreshes a session, and returns the new cookie and the new access token.
func (b *bff) refresh(t *testing.T, cookie, sessionID string) (next, accessToken string) {
	t.Helper()
	r, text := b.post(t, http.MethodPost, "/bff/refresh", "{}", "Cookie: "+cookie)
	if r.StatusCode != http.StatusOK || !strings.Contains(text, sessionID) {
		t.Fatalf("refresh: %d %s", r.StatusCode, text)
	}
	var session client.AccessTokenResponse
	parse(t, text, &session)
	return mustMatchCookie(t, r), session.AccessToken
}
