package harness

import (
	"net/http"
	"testing"

	"github.com/financelime/authorization/api/client"
)

// JoinUser signs a user up, opens the link in the mail, and returns the password from the next mail.
func (s *Service) JoinUser(t testing.TB, email string) string {
	t.Helper()
	api := API{T: t, Client: s.API}
	if r := api.SignUp(client.SignUpRequest{Email: email, InviteCode: s.Invite(t, 1), Language: "en"}); r.StatusCode() != http.StatusNoContent {
		t.Fatalf("the sign-up got %d: %s", r.StatusCode(), r.Body)
	}
	link := s.WaitMails(t, email, 1)[0].Link(t)
	if r, body := Send(t, s.HTTP, http.MethodGet, s.URL+link.RequestURI(), nil, ""); r.StatusCode != http.StatusOK {
		t.Fatalf("the link got %d: %s", r.StatusCode, body)
	}
	return s.WaitMails(t, email, 2)[0].Password(t)
}
