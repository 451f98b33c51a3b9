package contract

import (
	"net/http"
	"strings"
	"testing"

	"github.com/financelime/authorization/api/client"
	"github.com/financelime/authorization/test/harness"
)

// TestJourney uses every operation, in both languages, through the generated client; with replicas, each request goes to another one.
func TestJourney(t *testing.T) {
	t.Parallel()
	harness.EachWay(t, func(t *testing.T, engine string) {
		s := harness.Start(t, binary, contract, engine)
		code := s.Invite(t, 2)
		for _, language := range []string{"en", "ru"} {
			p := newPerson(t, s)
			p.language = language
			walk(t, s, p, code)
		}
	})
}

func walk(t *testing.T, s *harness.Service, p *person, code string) {
	t.Helper()
	p.want("sign up", p.signUp(code).StatusCode(), 204)
	confirm := p.mail()
	if link := confirm.Link(t); !strings.HasPrefix(link.String(), "https://auth.example.test/u/") || link.Query().Get("rid") == "" {
		t.Errorf("the link is %s", link)
	}
	p.want("log in before the confirmation", p.tryLogin("does-not-matter").StatusCode(), 404)
	p.want("open the link", p.open(confirm.Link(t)).StatusCode, 200)
	p.want("open it again", p.open(confirm.Link(t)).StatusCode, 404)
	p.password = p.mail().Password(t)

	first := p.login()
	p.want("a wrong password", p.tryLogin(p.password+"x").StatusCode(), 404)
	second := p.refresh()
	if second.SessionID != first.SessionID || second.RefreshToken == first.RefreshToken {
		t.Errorf("a refresh must keep the session and change the refresh token: %+v, %+v", first, second)
	}
	other := p.login()
	if list := p.sessions(); len(list) != 2 || list[0].SessionID != other.SessionID || !list[0].Current || list[1].Current {
		t.Errorf("two sessions, the newest first and current, but: %+v", list)
	}
	p.revoke(first.SessionID)
	p.want("refresh of an ended session", p.tryRefresh(second.RefreshToken).StatusCode(), 404)
	byPath, err := s.API.RevokeSessionWithResponse(t.Context(), other.SessionID, &client.RevokeSessionParams{}, bearer(other.AccessToken))
	p.must(err)
	p.want("revoke by path", byPath.StatusCode(), 204)
	p.want("refresh of an ended session", p.tryRefresh(other.RefreshToken).StatusCode(), 404)
	if list := p.sessions(); len(list) != 0 {
		t.Errorf("no session is left, but: %+v", list)
	}

	p.login()
	p.want("reset the password", p.resetPassword().StatusCode(), 204)
	p.want("open the reset link", p.open(p.mail().Link(t)).StatusCode, 200)
	old, fresh := p.password, p.mail().Password(t)
	p.refresh() // sessions continue until the new password is used
	p.want("the old password until then", p.tryLogin(old).StatusCode(), 200)
	p.password = fresh
	before := p.session
	p.login()
	p.want("a session of the old password", p.tryRefresh(before.RefreshToken).StatusCode(), 404)
	p.want("the old password", p.tryLogin(old).StatusCode(), 404)
}

// TestServiceDocuments reads version, keys and discovery.
func TestServiceDocuments(t *testing.T) {
	t.Parallel()
	s := harness.Start(t, binary, contract, harness.SQLite)
	version, err := s.API.GetVersionWithResponse(t.Context(), &client.GetVersionParams{RequestID: rid()})
	if err != nil {
		t.Fatal(err)
	}
	wantStatus(t, "version", version.StatusCode(), 200)
	if version.JSON200.Number != "v0.2.0-alpha" {
		t.Errorf("the version is %q", version.JSON200.Number)
	}
	printed, err := s.Command(t.Context(), "version")
	if err != nil || strings.TrimSpace(printed) != version.JSON200.Number+" "+version.JSON200.Build {
		t.Errorf("the command prints %q (%v), the API tells %+v", printed, err, version.JSON200)
	}

	asFile, err := s.Command(t.Context(), "openapi")
	if err != nil {
		t.Fatal(err)
	}
	response, asYAML := send(t, s, http.MethodGet, "/openapi.yaml", nil, "")
	wantStatus(t, "openapi.yaml", response.StatusCode, 200)
	if asYAML != asFile {
		t.Error("GET /openapi.yaml and the command openapi differ")
	}
	response, asJSON := send(t, s, http.MethodGet, "/openapi.json", nil, "")
	wantStatus(t, "openapi.json", response.StatusCode, 200)
	if !strings.Contains(asJSON, `"create_access_token"`) {
		t.Error("GET /openapi.json has no create_access_token")
	}
	response, keys := send(t, s, http.MethodGet, "/.well-known/jwks.json", nil, "")
	wantStatus(t, "jwks", response.StatusCode, 200)
	for _, private := range []string{`"d"`, `"p"`, `"q"`, `"k"`} {
		if strings.Contains(keys, private) {
			t.Errorf("the JWKS has the private member %s", private)
		}
	}
}
