package contract

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/financelime/authorization/api/client"
	"github.com/financelime/authorization/test/harness"
)

// TestDecisions has a test for each decision that the contract leaves open, on both engines; those
// that need settings of their own are in settings_test.go.
func TestDecisions(t *testing.T) {
	t.Parallel()
	decisions := map[string]func(*testing.T, *harness.Service){
		"request-id is echoed, or refused with 400 and made up":         requestIDs,
		"the link page speaks HTML, text and JSON, in two languages":    linkPage,
		"a link that does not work is 404 whatever the reason":          deadLinks,
		"HEAD and OPTIONS never use a link up":                          harmlessMethods,
		"sign-up refuses in order":                                      signUpOrder,
		"languages are en and ru, with any region":                      languages,
		"an address has one spelling":                                   oneSpelling,
		"a pending sign-up gets the same link again":                    resend,
		"a newer reset link invalidates the older":                      newerLink,
		"a failed login does not reveal the reason":                     loginHidesTheReason,
		"a bad refresh token is 400, an ended session 404":              badRefreshTokens,
		"the predecessor gets the same successor":                       sameSuccessor,
		"a late refresh is refused and ends no session":                 lateRefresh,
		"sessions are listed newest first, in UTC, never null":          sessionList,
		"only an own session can be ended":                              revokeOwnOnly,
		"the header authorization takes Bearer or the bare token":       authorizationHeader,
		"a refresh token is no access token and the other way round":    tokenMixUp,
		"requests are refused in order":                                 refusalOrder,
		"every other method is 405 with Allow":                          otherMethods,
		"a path that is not in the contract is 404":                     unknownPaths,
		"a body over 16 KiB is 413 on every operation":                  largeBodies,
		"concurrent logins with a mailed password all succeed":          pendingPassword,
		"a newer mailed password replaces the older":                    newerPassword,
		"an empty sessionID is 400":                                     emptySessionID,
		"no answer may be stored, sniffed or framed":                    headers,
		"a deleted account's access token lists nothing and 204 is 204": orphanToken,
	}
	harness.EachEngine(t, func(t *testing.T, engine string) {
		s := harness.Start(t, binary, contract, engine)
		for name, decision := range decisions {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				decision(t, s)
			})
		}
	})
}

// failure is the body of every failure.
type failure struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
}

func wantFailure(t *testing.T, what string, response *http.Response, body string, code int, message string) {
	t.Helper()
	var f failure
	if err := json.Unmarshal([]byte(body), &f); err != nil {
		t.Errorf("%s: %d %q: %v", what, response.StatusCode, body, err)
	}
	if response.StatusCode != code || f.Code != code || f.Message != message {
		t.Errorf("%s: status %d, %+v; want %d %s", what, response.StatusCode, f, code, message)
	}
}

func requestIDs(t *testing.T, s *harness.Service) {
	id := "A.z_9:/+=@-" + rid()
	response, _ := send(t, s, http.MethodGet, "/v1/version", http.Header{"Request-Id": {id}}, "")
	if got := response.Header.Get("request-id"); response.StatusCode != 200 || got != id {
		t.Errorf("status %d, request-id %q, want %q", response.StatusCode, got, id)
	}
	for _, bad := range [][]string{
		nil, {""}, {"1234567"}, {strings.Repeat("a", 129)}, {"with space"}, {"umlaut-ä-ä"}, {"semi;colon"}, {rid(), rid()},
	} {
		for _, path := range []string{"/v1/version", "/.well-known/jwks.json"} {
			if bad == nil && path != "/v1/version" {
				continue // optional there
			}
			response, body := send(t, s, http.MethodGet, path, http.Header{"Request-Id": bad}, "")
			wantFailure(t, fmt.Sprintf("%s with request-id %q", path, bad), response, body, 400, "BAD_PARAMETERS")
			if made := response.Header.Get("request-id"); made == "" || slices.Contains(bad, made) {
				t.Errorf("request-id %q is answered with %q", bad, made)
			}
		}
	}
	for _, op := range operations() {
		if op.isLink() {
			continue // its request ID is the parameter rid
		}
		response, body := send(t, s, op.method, op.path, http.Header{"Request-Id": {"short"}}, "")
		wantFailure(t, op.path, response, body, 400, "BAD_PARAMETERS")
	}
	response, _ = send(t, s, http.MethodGet, "/.well-known/jwks.json", nil, "")
	wantStatus(t, "no request-id where it is optional", response.StatusCode, 200)
}

func linkPage(t *testing.T, s *harness.Service) {
	code := s.Invite(t, 10)
	pages := []struct{ accept, mediaType, language, says string }{
		{"text/html,application/xhtml+xml,*/*;q=0.8", "text/html; charset=utf-8", "en", "<h1"},
		{"", "text/html; charset=utf-8", "ru", `lang="ru"`},
		{"text/plain", "text/plain; charset=utf-8", "en", "confirmed"},
		{"application/json", "application/json", "en", `"purpose":"signup"`},
		{"text/html;q=0.1, application/json", "application/json", "ru", `"message":`},
	}
	for _, p := range pages {
		visitor := newPerson(t, s)
		visitor.language = p.language
		visitor.want("sign up", visitor.signUp(code).StatusCode(), 204)
		link := visitor.mail().Link(t)
		header := http.Header{}
		if p.accept != "" {
			header.Set("Accept", p.accept)
		}
		response, body := send(t, s, http.MethodGet, link.RequestURI(), header, "")
		if response.StatusCode != 200 || response.Header.Get("Content-Type") != p.mediaType || !strings.Contains(body, p.says) {
			t.Errorf("Accept %q: %d %s\n%s", p.accept, response.StatusCode, response.Header.Get("Content-Type"), body)
		}
		if got := response.Header.Get("request-id"); got != link.Query().Get("rid") {
			t.Errorf("the rid %q is answered with request-id %q", link.Query().Get("rid"), got)
		}
		response, body = send(t, s, http.MethodGet, link.RequestURI(), header, "")
		mediaType, _, _ := strings.Cut(p.mediaType, ";")
		if response.StatusCode != 404 || !strings.HasPrefix(response.Header.Get("Content-Type"), mediaType) || body == "" {
			t.Errorf("Accept %q, second time: %d %s", p.accept, response.StatusCode, response.Header.Get("Content-Type"))
		}
	}
	response, body := send(t, s, http.MethodGet, "/u/x?rid="+rid(), http.Header{"Accept-Language": {"ru-RU,ru;q=0.9"}}, "")
	if response.StatusCode != 404 || !strings.Contains(body, `lang="ru"`) {
		t.Errorf("an unknown person's page: %d\n%s", response.StatusCode, body)
	}
	if csp := response.Header.Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'") || !strings.Contains(csp, "style-src 'sha256-") {
		t.Errorf("the page's policy is %q", csp)
	}
}

func deadLinks(t *testing.T, s *harness.Service) {
	p := newPerson(t, s)
	p.want("sign up", p.signUp(s.Invite(t, 1)).StatusCode(), 204)
	link := p.mail().Link(t)
	key := strings.TrimPrefix(link.Path, "/u/")
	good := "?rid=" + link.Query().Get("rid")
	dead := []string{
		link.Path, link.Path + "?rid=", link.Path + "?rid=short", link.Path + "?rid=" + url.QueryEscape("with space and more"),
		link.Path + good + "&rid=" + rid(),
		"/u/" + key[:42] + good, "/u/" + key + "A" + good, "/u/" + swapCase(key) + good, "/u/" + strings.Repeat("A", 43) + good,
		"/u/%20" + good, "/u/" + key + "%00" + good, "/u/" + key + "%0a" + good, "/u/" + key + "=" + good, "/u/..%2f" + good,
		"/u/" + strings.Repeat("a", 3000) + good,
	}
	for _, path := range dead {
		response, body := send(t, s, http.MethodGet, path, http.Header{"Accept": {"application/json"}}, "")
		wantFailure(t, path, response, body, 404, "404 Not Found")
	}
	wantStatus(t, "the link after all that", p.open(link).StatusCode, 200)
	p.mail()
	wantStatus(t, "the used link", p.open(link).StatusCode, 404)
}

func swapCase(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z':
			return r - 32
		case r >= 'A' && r <= 'Z':
			return r + 32
		}
		return r
	}, s)
}

func harmlessMethods(t *testing.T, s *harness.Service) {
	p := newPerson(t, s)
	p.want("sign up", p.signUp(s.Invite(t, 1)).StatusCode(), 204)
	link := p.mail().Link(t)
	for _, method := range []string{http.MethodHead, http.MethodOptions, http.MethodPost} {
		response, _ := send(t, s, method, link.RequestURI(), nil, "")
		wantStatus(t, method, response.StatusCode, 405)
	}
	wantStatus(t, "GET", p.open(link).StatusCode, 200)
}

func signUpOrder(t *testing.T, s *harness.Service) {
	code := s.Invite(t, 1)
	p, other := newPerson(t, s), newPerson(t, s)
	if r := p.signUp("no-such-code"); r.StatusCode() != 404 || r.JSON404.Message != client.SignUpFailure404MessageINVITENOTFOUND {
		t.Errorf("unknown code: %s", r.Body)
	}
	if r := p.signUp(""); r.StatusCode() != 400 || r.JSON400.Message != client.SignUpFailure400MessageBADPARAMETERS {
		t.Errorf("empty code: %s", r.Body)
	}
	p.want("sign up", p.signUp(code).StatusCode(), 204)
	if r := p.signUp(code); r.StatusCode() != 409 || r.JSON409.Message != client.SignUpFailure409MessageUSERALREADYEXIST {
		t.Errorf("one's own sign-up again, with the code used up by it: %s", r.Body)
	}
	if r := other.signUp(code); r.StatusCode() != 409 || r.JSON409.Message != client.SignUpFailure409MessageINVITEHASENDED {
		t.Errorf("a used-up code: %s", r.Body)
	}
	if r := p.signUp("no-such-code"); r.StatusCode() != 404 {
		t.Errorf("an unknown code comes before a taken address: %s", r.Body)
	}
	if _, err := s.Command(t.Context(), "invite", "revoke", code); err != nil {
		t.Error(err)
	}
	if r := other.signUp(code); r.StatusCode() != 404 {
		t.Errorf("a revoked code: %s", r.Body)
	}
	wantStatus(t, "the link of a sign-up with a code revoked since", p.open(p.mail().Link(t)).StatusCode, 200)
	if r := p.signUp(s.Invite(t, 1)); r.StatusCode() != 409 || r.JSON409.Message != client.SignUpFailure409MessageUSERALREADYEXIST {
		t.Errorf("a confirmed address: %s", r.Body)
	}
}

func languages(t *testing.T, s *harness.Service) {
	code := s.Invite(t, 10)
	for language, subject := range map[string]string{"en": "Confirm", "en-US": "Confirm", "RU": "адрес", "ru-RU": "адрес"} {
		p := newPerson(t, s)
		p.language = language
		p.want("sign up in "+language, p.signUp(code).StatusCode(), 204)
		if m := p.mail(); !strings.Contains(m.Subject, subject) {
			t.Errorf("language %s: subject %q", language, m.Subject)
		}
	}
	for _, language := range []string{"", "e", "de", "english", "en_US", "en-", "ru-ЯЯ"} {
		p := newPerson(t, s)
		p.language = language
		p.want("sign up in "+language, p.signUp(code).StatusCode(), 400)
	}
}

func oneSpelling(t *testing.T, s *harness.Service) {
	p := newPerson(t, s).join(s.Invite(t, 1))
	p.login()
	canonical := p.email
	for _, spelling := range []string{strings.ToUpper(canonical), strings.Replace(canonical, "@example", "@EXAMPLE", 1)} {
		p.email = spelling
		p.want("log in as "+spelling, p.tryLogin(p.password).StatusCode(), 200)
		if r := p.signUp(s.Invite(t, 1)); r.StatusCode() != 409 {
			t.Errorf("sign up as %s: %d", spelling, r.StatusCode())
		}
	}
}

func resend(t *testing.T, s *harness.Service) {
	p := newPerson(t, s)
	p.want("sign up", p.signUp(s.Invite(t, 1)).StatusCode(), 204)
	first := p.mail().Link(t)
	expires := s.Count(t, "SELECT count(*) FROM confirmation")
	p.want("reset", p.resetPassword().StatusCode(), 204)
	second := p.mail().Link(t)
	if first.Path != second.Path {
		t.Errorf("the links differ: %s, %s", first, second)
	}
	if n := s.Count(t, "SELECT count(*) FROM confirmation c JOIN account a ON a.id = c.account_id AND a.pending_until = c.expires_at WHERE a.email = $1", p.email); n != 1 || expires == 0 {
		t.Error("the link's expiry has changed")
	}
	wantStatus(t, "the link", p.open(second).StatusCode, 200)
	p.password = p.mail().Password(t)
	p.login()
}

func newerLink(t *testing.T, s *harness.Service) {
	p := newPerson(t, s).join(s.Invite(t, 1))
	p.login()
	p.want("reset", p.resetPassword().StatusCode(), 204)
	older := p.mail().Link(t)
	p.want("reset again", p.resetPassword().StatusCode(), 204)
	newer := p.mail().Link(t)
	wantStatus(t, "the older link", p.open(older).StatusCode, 404)
	wantStatus(t, "the newer link", p.open(newer).StatusCode, 200)
	p.mail()
	unknown := newPerson(t, s)
	if r := unknown.resetPassword(); r.StatusCode() != 404 || r.JSON404.Message != client.RequestUserPasswordResetFailure404MessageUSERNOTFOUND {
		t.Errorf("reset of an unknown address: %s", r.Body)
	}
}

func loginHidesTheReason(t *testing.T, s *harness.Service) {
	code := s.Invite(t, 3)
	active, disabled, pending, unknown := newPerson(t, s).join(code), newPerson(t, s).join(code), newPerson(t, s), newPerson(t, s)
	pending.want("sign up", pending.signUp(code).StatusCode(), 204)
	s.Exec(t, "UPDATE account SET disabled_at = created_at WHERE email = $1", disabled.email)

	answers := make(map[string]string)
	for name, p := range map[string]*person{"wrong password": active, "disabled": disabled, "pending": pending, "unknown": unknown} {
		password := "wrong"
		if name == "disabled" {
			password = p.password
		}
		r := p.tryLogin(password)
		header := r.HTTPResponse.Header.Clone()
		header.Del("Date")
		header.Del("Request-Id")
		answers[fmt.Sprintf("%d %v %s", r.StatusCode(), header, r.Body)] = name
	}
	if len(answers) != 1 {
		t.Errorf("the answers differ: %v", answers)
	}
	if r := disabled.resetPassword(); r.StatusCode() != 404 {
		t.Errorf("reset of a disabled account: %d", r.StatusCode())
	}
}

func badRefreshTokens(t *testing.T, s *harness.Service) {
	p := newPerson(t, s).join(s.Invite(t, 1))
	session := p.login()
	good := session.RefreshToken
	parts := strings.Split(good, ".")
	for _, bad := range []string{
		"x", "a.b.c", parts[0] + "." + parts[1], good + ".", good[:len(good)-1], parts[0] + "." + parts[1] + ".", good + "=", " " + good,
		session.AccessToken, "eyJhbGciOiJub25lIn0." + parts[1] + ".", strings.Repeat(".", 2000),
	} {
		r := p.tryRefresh(bad)
		if r.StatusCode() != 400 || r.JSON400.Message != client.RefreshAccessTokenFailure400MessageBADPARAMETERS {
			t.Errorf("refresh with %.40q: %d %s", bad, r.StatusCode(), r.Body)
		}
	}
	p.revoke(session.SessionID)
	r := p.tryRefresh(good)
	if r.StatusCode() != 404 || r.JSON404.Message != client.RefreshAccessTokenFailure404MessageUSERNOTFOUND {
		t.Errorf("refresh of a revoked session: %d %s", r.StatusCode(), r.Body)
	}
}

func sameSuccessor(t *testing.T, s *harness.Service) {
	p := newPerson(t, s).join(s.Invite(t, 1))
	first := p.login()
	second := p.refresh()
	again := p.tryRefresh(first.RefreshToken)
	p.want("the predecessor again", again.StatusCode(), 200)
	if again.JSON200.RefreshToken != second.RefreshToken || again.JSON200.SessionID != second.SessionID {
		t.Errorf("it got another successor: %+v, %+v", again.JSON200, second)
	}
	p.refresh()
}

func lateRefresh(t *testing.T, s *harness.Service) {
	p := newPerson(t, s).join(s.Invite(t, 1))
	first := p.login()
	p.refresh()
	p.refresh()
	p.want("a token older than the predecessor", p.tryRefresh(first.RefreshToken).StatusCode(), 404)
	p.refresh()
	// Later than that, it is a theft, which ends the session: there is nothing else to wait for.
	eventually(t, "an old token ends the session", func() bool {
		p.want("the old token", p.tryRefresh(first.RefreshToken).StatusCode(), 404)
		return len(p.sessions()) == 0
	})
	p.want("the current token of the ended session", p.tryRefresh(p.session.RefreshToken).StatusCode(), 404)
}

// eventually polls until a condition is true, or fails the test.
func eventually(t *testing.T, what string, come func() bool) {
	t.Helper()
	for deadline := time.Now().Add(40 * time.Second); !come(); {
		if time.Now().After(deadline) {
			t.Fatalf("after 40 s still not: %s", what)
		}
		time.Sleep(50 * time.Millisecond) // between two polls
	}
}

func sessionList(t *testing.T, s *harness.Service) {
	p := newPerson(t, s).join(s.Invite(t, 1))
	p.login()
	oldest := p.session
	p.login()
	newest := p.session
	p.session = oldest
	p.refresh() // which makes it the newest
	list := p.sessions()
	if len(list) != 2 || list[0].SessionID != oldest.SessionID || list[1].SessionID != newest.SessionID {
		t.Fatalf("the most recently refreshed first, but: %+v", list)
	}
	first := list[0]
	if !first.UpdatedAt.After(first.CreatedAt) || first.UpdatedAt.Location() != time.UTC || time.Since(first.UpdatedAt) > time.Minute {
		t.Errorf("times: %+v", first)
	}
	if first.ClientID != "test_v1" || first.Platform != "Linux x86_64" || first.RemoteAddr != "127.0.0.1" || !first.Current || list[1].Current {
		t.Errorf("fields: %+v", list)
	}
	p.revoke(oldest.SessionID)
	p.revoke(newest.SessionID)
	r, body := send(t, s, http.MethodGet, "/v1/session/list", http.Header{"Request-Id": {rid()}, "Authorization": {p.session.AccessToken}}, "")
	if r.StatusCode != 200 || strings.TrimSpace(body) != "[]" {
		t.Errorf("no session: %d %s", r.StatusCode, body)
	}
}

func revokeOwnOnly(t *testing.T, s *harness.Service) {
	code := s.Invite(t, 2)
	victim, attacker := newPerson(t, s).join(code), newPerson(t, s).join(code)
	victim.login()
	attacker.login()
	id := victim.session.SessionID
	for _, sessionID := range []string{
		id, strings.ToUpper(id), "{" + id + "}", "urn:uuid:" + id, "no-such-session", uuid.NewString(), "../" + id, "*", "' OR 1=1--",
		strings.Repeat("f", 64),
	} {
		attacker.revoke(sessionID)
		r, err := s.API.RevokeSessionWithResponse(t.Context(), url.PathEscape(sessionID), &client.RevokeSessionParams{}, bearer(attacker.session.AccessToken))
		if err != nil {
			t.Fatal(err)
		}
		if r.StatusCode() != 204 && r.StatusCode() != 400 {
			t.Errorf("revoke %q by path: %d", sessionID, r.StatusCode())
		}
	}
	victim.refresh()
	if len(attacker.sessions()) != 1 {
		t.Error("the attacker's own session ended")
	}
	victim.revoke(id)
	victim.revoke(id) // idempotent
}

func authorizationHeader(t *testing.T, s *harness.Service) {
	p := newPerson(t, s).join(s.Invite(t, 1))
	token := p.login().AccessToken
	list := func(values ...string) *http.Response {
		response, _ := send(t, s, http.MethodGet, "/v1/session/list", http.Header{"Request-Id": {rid()}, "Authorization": values}, "")
		return response
	}
	for _, good := range []string{"Bearer " + token, "bearer " + token, "BEARER " + token, token} {
		wantStatus(t, fmt.Sprintf("%.12q", good), list(good).StatusCode, 200)
	}
	for _, none := range [][]string{nil, {""}, {"Basic " + token}, {token, token}} {
		response := list(none...)
		if response.StatusCode != 401 || response.Header.Get("WWW-Authenticate") != "Bearer" {
			t.Errorf("%.20q: %d %q", none, response.StatusCode, response.Header.Get("WWW-Authenticate"))
		}
	}
	for _, bad := range []string{"Bearer x", "Bearer  " + token, "Bearer " + token + "x", token[:len(token)-2], "a.b.c"} {
		response := list(bad)
		if response.StatusCode != 401 || response.Header.Get("WWW-Authenticate") != `Bearer error="invalid_token"` {
			t.Errorf("%.20q: %d %q", bad, response.StatusCode, response.Header.Get("WWW-Authenticate"))
		}
	}
	response, _ := send(t, s, http.MethodGet, "/v1/session/list?access_token="+token, http.Header{"Request-Id": {rid()}, "Cookie": {"authorization=" + token}}, "")
	wantStatus(t, "a token in the query or a cookie", response.StatusCode, 401)
}

func tokenMixUp(t *testing.T, s *harness.Service) {
	p := newPerson(t, s).join(s.Invite(t, 1))
	session := p.login()
	p.want("refresh with an access token", p.tryRefresh(session.AccessToken).StatusCode(), 400)
	response, body := send(t, s, http.MethodGet, "/v1/session/list", http.Header{"Request-Id": {rid()}, "Authorization": {"Bearer " + session.RefreshToken}}, "")
	wantFailure(t, "list with a refresh token", response, body, 401, "401 Unauthorized")
}

func refusalOrder(t *testing.T, s *harness.Service) {
	large := strings.Repeat(" ", 17<<10)
	steps := []struct {
		what, method, path string
		header             http.Header
		body               string
		status             int
	}{
		{"path before all", http.MethodDelete, "/v1/nothing", nil, large, 404},
		{"method before size", http.MethodPost, "/v1/session/remove", nil, large, 405},
		{"size before request-id", http.MethodDelete, "/v1/session/remove", nil, large, 413},
		{"request-id before token", http.MethodDelete, "/v1/session/remove", nil, "{", 400},
		{"token before body", http.MethodDelete, "/v1/session/remove", http.Header{"Request-Id": {rid()}}, "{", 401},
		{"token before path parameter", http.MethodDelete, "/v1/session/" + strings.Repeat("a", 200), http.Header{"Request-Id": {rid()}}, "", 401},
		{"body before the operation", http.MethodPost, "/v1/user/signup", jsonHeader(), "{}", 400},
	}
	for _, step := range steps {
		response, _ := send(t, s, step.method, step.path, step.header, step.body)
		if response.StatusCode != step.status {
			t.Errorf("%s: %d, want %d", step.what, response.StatusCode, step.status)
		}
	}
	p := newPerson(t, s).join(s.Invite(t, 1))
	p.login()
	header := jsonHeader()
	header.Set("Authorization", p.session.AccessToken)
	response, body := send(t, s, http.MethodDelete, "/v1/session/remove", header, "{")
	wantFailure(t, "body last", response, body, 400, "BAD_PARAMETERS")
	response, body = send(t, s, http.MethodDelete, "/v1/session/"+strings.Repeat("a", 200), header, "")
	wantFailure(t, "path parameter last", response, body, 400, "BAD_PARAMETERS")
}

func pendingPassword(t *testing.T, s *harness.Service) {
	p := newPerson(t, s).join(s.Invite(t, 1))
	statuses := concurrently(8, func(int) int { return p.tryLogin(p.password).StatusCode() })
	for _, status := range statuses {
		if status != 200 {
			t.Errorf("logins with one mailed password at the same time: %v", statuses)
		}
	}
	p.login()
	if n := len(p.sessions()); n != 9 {
		t.Errorf("%d sessions, want 9: only sessions from before the first login end with it", n)
	}
}

func newerPassword(t *testing.T, s *harness.Service) {
	p := newPerson(t, s).join(s.Invite(t, 1))
	older := p.password
	p.want("reset", p.resetPassword().StatusCode(), 204)
	wantStatus(t, "the reset link", p.open(p.mail().Link(t)).StatusCode, 200)
	p.password = p.mail().Password(t)
	if older == p.password {
		t.Error("the same password was mailed twice")
	}
	p.want("the older mailed password", p.tryLogin(older).StatusCode(), 404)
	p.login()
}

func emptySessionID(t *testing.T, s *harness.Service) {
	p := newPerson(t, s).join(s.Invite(t, 1))
	p.login()
	header := jsonHeader()
	header.Set("Authorization", p.session.AccessToken)
	response, body := send(t, s, http.MethodDelete, "/v1/session/remove", header, `{"sessionID":""}`)
	wantFailure(t, "empty sessionID", response, body, 400, "BAD_PARAMETERS")
}

func headers(t *testing.T, s *harness.Service) {
	for _, path := range []string{"/v1/version", "/v1/session/list", "/v1/oauth/verify", "/nothing", "/docs", "/u/x"} {
		response, _ := send(t, s, http.MethodGet, path, http.Header{"Request-Id": {rid()}}, "")
		for name, want := range map[string]string{
			"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer",
		} {
			if got := response.Header.Get(name); got != want {
				t.Errorf("%s: %s is %q, want %q", path, name, got, want)
			}
		}
		if csp := response.Header.Get("Content-Security-Policy"); !strings.Contains(csp, "frame-ancestors 'none'") {
			t.Errorf("%s: Content-Security-Policy is %q", path, csp)
		}
	}
	response, _ := send(t, s, http.MethodGet, "/.well-known/jwks.json", nil, "")
	if got := response.Header.Get("Cache-Control"); got != "public, max-age=300" {
		t.Errorf("the JWKS may be cached, but Cache-Control is %q", got)
	}
}

func orphanToken(t *testing.T, s *harness.Service) {
	p := newPerson(t, s).join(s.Invite(t, 1))
	session := p.login()
	deletion := "DELETE FROM account WHERE email = '" + p.email + "'" // and, by foreign keys, all that belongs to it
	if s.DatabaseURL[:6] == "sqlite" {
		deletion = "PRAGMA foreign_keys = on; " + deletion // a setting of the connection
	}
	s.Exec(t, deletion)
	if list := p.sessions(); len(list) != 0 {
		t.Errorf("sessions of nobody: %+v", list)
	}
	p.revoke(session.SessionID)
	p.want("refresh", p.tryRefresh(session.RefreshToken).StatusCode(), 404)
}
