package contract

import (
	"encoding/json"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/financelime/authorization/api/client"
	"github.com/financelime/authorization/test/harness"
)

// logLine is a line of the service's log.
type logLine struct {
	Time      time.Time `json:"time"`
	Level     string    `json:"level"`
	Event     string    `json:"msg"`
	Outcome   string    `json:"outcome"`
	Reason    string    `json:"reason"`
	RequestID string    `json:"request_id"`
	Addr      string    `json:"remote_addr"`
	AccountID string    `json:"account_id"`
	SessionID string    `json:"session_id"`
	Operation string    `json:"operation"`
	Status    int       `json:"status"`

	Parameters []string `json:"parameters"`
}

// logLines parses the log. Each line must be an event that docs/events.md documents.
func logLines(t *testing.T, s *harness.Service) []logLine {
	t.Helper()
	// A response is sent before its line is logged. After the line of one more request, those of all earlier ones are there.
	for range 2 {
		header := jsonHeader()
		send(t, s, http.MethodGet, "/v1/version", header, "")
		eventually(t, "the last line", func() bool {
			return regexp.MustCompile(`"msg":"request","request_id":"` + header.Get("Request-Id")).MatchString(s.Log())
		})
	}
	document, err := os.ReadFile("../../docs/events.md")
	if err != nil {
		t.Fatal(err)
	}
	var all []logLine
	for line := range strings.Lines(s.Log()) {
		var l logLine
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			t.Errorf("a line of the log is no event: %v: %q", err, line)
			continue
		}
		if !strings.Contains(string(document), "`"+l.Event+"`") {
			t.Errorf("docs/events.md does not have %s: %q", l.Event, line)
		}
		if l.Time.IsZero() || l.Level == "" {
			t.Errorf("no time or level: %q", line)
		}
		all = append(all, l)
	}
	return all
}

// TestEvents expects one event with all its attributes for each security event: ASVS 16.2.1, 16.3.1 to 16.3.3.
func TestEvents(t *testing.T) {
	t.Parallel()
	harness.EachEngine(t, func(t *testing.T, engine string) {
		s := harness.Start(t, binary, contract, engine, "AUTH_LOG_LEVEL=debug")
		first := provokeEvents(t, s)
		lines := logLines(t, s)
		account := accountOf(lines)
		for _, want := range []logLine{
			{Event: "invite.unknown", Level: "INFO", Outcome: "failure"},
			{Event: "signup.refused", Level: "INFO", Outcome: "failure", Reason: "invite_not_found"},
			{Event: "signup.accepted", Level: "INFO", Outcome: "success", AccountID: account},
			{Event: "signup.refused", Level: "INFO", Outcome: "failure", Reason: "address_taken"},
			{Event: "invite.exhausted", Level: "WARN", Outcome: "failure"},
			{Event: "signup.refused", Level: "INFO", Outcome: "failure", Reason: "invite_has_ended"},
			{Event: "link.used", Level: "INFO", Outcome: "success", AccountID: account},
			{Event: "link.refused", Level: "INFO", Outcome: "failure", Reason: "unusable"},
			{Event: "link.refused", Level: "INFO", Outcome: "failure", Reason: "malformed"},
			{Event: "login.failed", Level: "INFO", Outcome: "failure", Reason: "wrong_password", AccountID: account},
			{Event: "login.failed", Level: "INFO", Outcome: "failure", Reason: "unknown_address"},
			{Event: "login.failed", Level: "INFO", Outcome: "failure", Reason: "unconfirmed"},
			{Event: "login.failed", Level: "INFO", Outcome: "failure", Reason: "disabled", AccountID: account},
			{Event: "password.activated", Level: "INFO", Outcome: "success", AccountID: account, SessionID: first.SessionID},
			{Event: "login.succeeded", Level: "INFO", Outcome: "success", AccountID: account, SessionID: first.SessionID},
			{Event: "session.refreshed", Level: "DEBUG", Outcome: "success", AccountID: account, SessionID: first.SessionID},
			{Event: "session.repeated", Level: "DEBUG", Outcome: "success", AccountID: account, SessionID: first.SessionID},
			{Event: "session.late_refresh", Level: "INFO", Outcome: "failure", AccountID: account, SessionID: first.SessionID},
			{Event: "session.refused", Level: "INFO", Outcome: "failure", Reason: "invalid_token"},
			{Event: "session.revoked", Level: "INFO", Outcome: "success", AccountID: account, SessionID: first.SessionID},
			{Event: "session.refused", Level: "INFO", Outcome: "failure", Reason: "ended", SessionID: first.SessionID},
			{Event: "token.refused", Level: "INFO", Outcome: "failure", Reason: "missing"},
			{Event: "token.refused", Level: "INFO", Outcome: "failure", Reason: "invalid"},
			{Event: "token.refused", Level: "INFO", Outcome: "failure", Reason: "session_ended", AccountID: account, SessionID: first.SessionID},
			{Event: "password.reset_requested", Level: "INFO", Outcome: "success", AccountID: account},
			{Event: "password.reset_refused", Level: "INFO", Outcome: "failure", Reason: "unknown_address"},
			{Event: "password.reset_refused", Level: "INFO", Outcome: "failure", Reason: "disabled", AccountID: account},
		} {
			wantEvent(t, lines, want)
		}
		wantRequestLines(t, lines)
	})
}

// provokeEvents sends the requests whose events TestEvents expects, and returns the tokens of the first login.
func provokeEvents(t *testing.T, s *harness.Service) (first client.AccessTokenResponse) {
	t.Helper()
	code := s.Invite(t, 2)
	p, waiting, late := newPerson(t, s), newPerson(t, s), newPerson(t, s)

	p.want("unknown invite", p.signUp("no-such-code").StatusCode(), 404)
	p.want("sign up", p.signUp(code).StatusCode(), 204)
	p.want("again", p.signUp(code).StatusCode(), 409)
	p.want("another", waiting.signUp(code).StatusCode(), 204)
	p.want("one too many", late.signUp(code).StatusCode(), 409)

	link := p.mail().Link(t)
	p.want("open the link", p.open(link).StatusCode, 200)
	p.want("open it again", p.open(link).StatusCode, 404)
	send(t, s, http.MethodGet, "/u/"+strings.Repeat("A", 42)+"B?rid="+rid(), nil, "")
	p.password = p.mail().Password(t)

	p.want("wrong password", p.tryLogin("wrong").StatusCode(), 404)
	p.want("unknown address", newPerson(t, s).tryLogin("wrong").StatusCode(), 404)
	p.want("unconfirmed", waiting.tryLogin("wrong").StatusCode(), 404)
	first = p.login()
	second := p.refresh()
	p.want("a lost response", p.tryRefresh(first.RefreshToken).StatusCode(), 200)
	p.refresh()
	p.want("a late refresh", p.tryRefresh(first.RefreshToken).StatusCode(), 404)
	p.want("forged", p.tryRefresh(second.RefreshToken+"x").StatusCode(), 400)
	p.revoke(p.session.SessionID)
	p.want("an ended session", p.tryRefresh(p.session.RefreshToken).StatusCode(), 404)
	send(t, s, http.MethodGet, "/v1/session/list", jsonHeader(), "")
	bad := jsonHeader()
	bad.Set("Authorization", "Bearer x")
	send(t, s, http.MethodGet, "/v1/session/list", bad, "")
	gone := jsonHeader()
	gone.Set("Authorization", "Bearer "+p.session.AccessToken)
	send(t, s, http.MethodGet, "/v1/oauth/verify", gone, "")

	p.want("reset", p.resetPassword().StatusCode(), 204)
	p.want("reset of nobody", newPerson(t, s).resetPassword().StatusCode(), 404)
	if _, err := s.Command(t.Context(), "user", "disable", p.email); err != nil {
		t.Fatal(err)
	}
	p.want("disabled", p.tryLogin(p.password).StatusCode(), 404)
	p.want("reset, disabled", p.resetPassword().StatusCode(), 404)
	return first
}

// accountOf returns the account of the first sign-up in the log.
func accountOf(lines []logLine) string {
	i := slices.IndexFunc(lines, func(l logLine) bool { return l.Event == "signup.accepted" })
	if i < 0 {
		return "none"
	}
	return lines[i].AccountID
}

// wantEvent expects an event with the ID of its request.
func wantEvent(t *testing.T, lines []logLine, want logLine) {
	t.Helper()
	i := slices.IndexFunc(lines, func(l logLine) bool {
		return l.Event == want.Event && l.Level == want.Level && l.Outcome == want.Outcome && l.Reason == want.Reason &&
			(want.AccountID == "" || l.AccountID == want.AccountID) && (want.SessionID == "" || l.SessionID == want.SessionID)
	})
	if i < 0 {
		t.Errorf("not in the log: %+v", want)
		return
	}
	found := lines[i]
	if found.Addr != "127.0.0.1" && found.Addr != "::1" {
		t.Errorf("%s from %q", found.Event, found.Addr)
	}
	if !slices.ContainsFunc(lines, func(l logLine) bool { return l.Event == "request" && l.RequestID == found.RequestID }) {
		t.Errorf("%s belongs to no request: %+v", found.Event, found)
	}
}

// wantRequestLines expects one line for each request, with operation, status and, where known, account and session.
func wantRequestLines(t *testing.T, lines []logLine) {
	t.Helper()
	known := map[string]bool{}
	for _, l := range lines {
		if l.Event != "request" {
			continue
		}
		if l.Operation == "" || l.Status == 0 || l.RequestID == "" || l.Addr == "" {
			t.Errorf("an incomplete line: %+v", l)
		}
		if l.AccountID != "" && uuid.Validate(l.AccountID) != nil || l.SessionID != "" && uuid.Validate(l.SessionID) != nil {
			t.Errorf("ids that are none: %+v", l)
		}
		if l.AccountID != "" && l.SessionID != "" && l.Status < 300 {
			known[l.Operation] = true
		}
	}
	for _, operation := range []string{"create_access_token", "refresh_access_token", "revoke_refresh_token"} {
		if !known[operation] {
			t.Errorf("no line of %s names the account and the session", operation)
		}
	}
}

// TestReuseIsAnEvent expects an event for the reuse of a refresh token.
func TestReuseIsAnEvent(t *testing.T) {
	t.Parallel()
	s := harness.Start(t, binary, contract, harness.SQLite, "AUTH_REFRESH_GRACE=0")
	p := newPerson(t, s).join(s.Invite(t, 1))
	stolen := p.login()
	p.refresh()
	p.want("the stolen token", p.tryRefresh(stolen.RefreshToken).StatusCode(), 404)
	lines := logLines(t, s)
	wantEvent(t, lines, logLine{
		Event: "session.reuse_detected", Level: "WARN", Outcome: "failure", AccountID: accountOf(lines), SessionID: stolen.SessionID,
	})
}

// canary is a text that no line of the log may contain.
const canary = "CaNaRy"

// TestNoCanaryInTheLog expects that no input of any field appears in the log at any level, whatever fails, and that each event remains one line:
// ASVS 16.2.5, 16.4.1.
func TestNoCanaryInTheLog(t *testing.T) {
	t.Parallel()
	harness.EachEngine(t, func(t *testing.T, engine string) {
		s := harness.Start(t, binary, contract, engine, "AUTH_LOG_LEVEL=debug",
			"AUTH_MAIL_URL=smtp://"+canary+"-user:"+canary+"-password@127.0.0.1:1?tls=none", "AUTH_MAIL_TIMEOUT=1s")
		code := s.Invite(t, 9)
		sent := 0
		storm := func() {
			for _, evil := range []string{canary, canary + "\r\n{}\x1b[2J", canary + "\u2028\x00", strings.Repeat(canary, 500)} {
				sent += sendCanaries(t, s, code, evil)
			}
		}
		storm()
		eventually(t, "a mail that is not sent", func() bool { return strings.Contains(s.Log(), `"mail.relay_down"`) })
		for _, table := range []string{"session", "confirmation", "mail", "account"} { // from here on SQL fails
			s.Exec(t, "ALTER TABLE "+table+" RENAME TO "+table+"_away")
		}
		storm()
		if sent < 4*40 {
			t.Errorf("only %d canaries were sent", sent)
		}
		lines := logLines(t, s)
		if !slices.ContainsFunc(lines, func(l logLine) bool { return l.Event == "request.failed" }) {
			t.Error("nothing has failed")
		}
		if i := regexp.MustCompile(canary).FindStringIndex(s.Log()); i != nil {
			t.Errorf("a canary sings in the log: %q", s.Log()[max(0, i[0]-400):min(len(s.Log()), i[1]+100)])
		}
	})
}

// sendCanaries sends a canary in every field of every operation and returns how many it sent.
func sendCanaries(t *testing.T, s *harness.Service, code, evil string) (sent int) {
	t.Helper()
	escaped, err := json.Marshal(evil)
	if err != nil {
		t.Fatal(err)
	}
	word := string(escaped)
	address := `"` + canary + strings.ToLower(uuid.NewString()) + `@example.com"`
	for _, r := range []struct{ method, path, body string }{
		{http.MethodPost, "/v1/user/signup", `{"email":` + word + `,"inviteCode":"c","language":"en"}`},
		{http.MethodPost, "/v1/user/signup", `{"email":` + address + `,"inviteCode":"` + code + `","language":"en"}`},
		{http.MethodPost, "/v1/user/signup", `{"email":` + address + `,"inviteCode":` + word + `,"language":"en"}`},
		{http.MethodPost, "/v1/user/signup", `{"email":` + address + `,"inviteCode":"c","language":` + word + `}`},
		{http.MethodPost, "/v1/user/signup", `{` + word + `:1}`},
		{http.MethodPost, "/v1/user/password", `{"email":` + address + `}`},
		{http.MethodPost, "/v1/user/password", `{"email":` + word + `}`},
		{http.MethodPost, "/v1/oauth/create", `{"email":` + address + `,"password":` + word + `,"clientID":"c","device":{}}`},
		{http.MethodPost, "/v1/oauth/create", `{"email":` + word + `,"password":"p","clientID":"c","device":{}}`},
		{http.MethodPost, "/v1/oauth/create", `{"email":` + address + `,"password":"p","clientID":` + word + `,"device":{}}`},
		{http.MethodPost, "/v1/oauth/create", `{"email":` + address + `,"password":"p","clientID":"c","device":{"platform":` + word + `}}`},
		{http.MethodPut, "/v1/oauth/refresh", `{"refreshToken":` + word + `}`},
		{http.MethodPut, "/v1/oauth/refresh", `{"refreshToken":"a.` + canary + `.c"}`},
		{http.MethodDelete, "/v1/session/remove", `{"sessionID":` + word + `}`},
		{http.MethodDelete, "/v1/session/" + canary, ""},
		{http.MethodGet, "/u/" + canary + "?rid=" + rid(), ""},
		{http.MethodGet, "/u/" + canary + strings.Repeat("A", 43-len(canary)) + "?rid=" + rid(), ""},
		{http.MethodGet, "/v1/version?" + canary + "=" + canary, ""},
		{http.MethodGet, "/" + canary, ""},
		{canary, "/v1/version", ""},
		{http.MethodPost, "/v1/user/password", word},
	} {
		header := jsonHeader()
		send(t, s, r.method, r.path, header, r.body)
		sent++
	}
	plain := strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return -1
		}
		return r
	}, evil)[:len(canary)]
	for _, name := range []string{
		"Authorization", "Cookie", "User-Agent", "Accept", "Accept-Language", "Content-Type", "Content-Encoding", "If-None-Match", "Origin",
		"Referer", "X-Forwarded-For", "X-Forwarded-Host", "Forwarded", "X-Real-Ip", "X-Http-Method-Override", "X-Original-Url", "Traceparent",
		"Expect-Ct", "Via", canary,
	} {
		header := jsonHeader()
		header[name] = []string{plain}
		send(t, s, http.MethodPost, "/v1/user/password", header, `{"email":"x@example.com"}`)
		send(t, s, http.MethodGet, "/v1/session/list", header, "")
		sent++
	}
	return sent
}
