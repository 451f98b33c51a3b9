package contract

import (
	"testing"

	"github.com/financelime/authorization/test/harness"
)

// Logging out everywhere else ends the other sessions of the user, none of another user, and can be repeated.
func TestRevokeOtherSessions(t *testing.T) {
	t.Parallel()
	harness.EachEngine(t, func(t *testing.T, engine string) {
		s := harness.Start(t, binary, contract, engine)
		code := s.Invite(t, 2)
		p, stranger := newPerson(t, s).join(code), newPerson(t, s).join(code)
		stranger.login()
		first, second := p.login(), p.login()
		p.login()
		for range 2 {
			p.want("end the other sessions", p.api().RevokeOthers(p.session.AccessToken).StatusCode(), 204)
		}
		p.want("refresh the first", p.tryRefresh(first.RefreshToken).StatusCode(), 404)
		p.want("refresh the second", p.tryRefresh(second.RefreshToken).StatusCode(), 404)
		p.refresh()
		stranger.refresh()
		// The thief whose session was ended cannot do the same to the owner with a token that has not expired yet.
		p.want("with a token of an ended session", p.api().RevokeOthers(second.AccessToken).StatusCode(), 401)
		p.refresh()
		wantEvent(t, logLines(t, s), logLine{Event: "session.revoked_others", Level: "INFO", Outcome: "success", SessionID: p.session.SessionID})
	})
}
