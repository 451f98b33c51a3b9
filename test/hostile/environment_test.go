package hostile

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/financelime/authorization/test/harness"
)

// environment is a running service with accounts, sessions, a link and an invite for the attacks to target.
type environment struct {
	t    *testing.T
	s    *harness.Service
	conn *connection

	email, password string // of an active user
	refreshToken    string // of the session that the attacks target
	pendingEmail    string // of a sign-up that waits for its confirmation

	// With the accepted values, a request to any operation succeeds. With the rejected values, it is well-formed and fails.
	accepted, rejected values
	secrets            []string // the log must not contain them

	forged map[string]map[string]string // forged tokens by the name of the valid token and the name of the change
}

// wrongPassword is not the password of any user. The log must not contain it.
const wrongPassword = "canary-wrong-password"

func newEnvironment(t *testing.T, engine string) *environment {
	t.Helper()
	s := harness.Start(t, binary, contract, engine, "AUTH_CLIENT_IDS=hostile_v1")
	env := &environment{t: t, s: s, conn: &connection{addr: strings.TrimPrefix(s.URL, "http://")}}
	t.Cleanup(env.conn.close)

	code := s.Invite(t, 100)
	env.email, env.pendingEmail = newAddress(), newAddress()
	env.join(env.email, code)
	env.password = s.WaitMails(t, env.email, 2)[0].Password(t)
	session, other := env.login(env.email, env.password), env.login(env.email, env.password)
	env.signUp(env.pendingEmail, code, 204)
	key := strings.TrimPrefix(s.WaitMails(t, env.pendingEmail, 1)[0].Link(t).Path, "/u/")
	choosing := newAddress()
	env.want("sign up to choose", env.call(http.MethodPost, "/v1/user/signup", map[string]any{
		"email": choosing, "inviteCode": code, "language": "en", "choosePassword": true,
	}), 204)
	linkKey := strings.TrimPrefix(s.WaitMails(t, choosing, 1)[0].Link(t).Path, "/l/")
	single := newAddress()
	env.join(single, code)
	only := env.login(single, s.WaitMails(t, single, 2)[0].Password(t))
	env.waitForMails()
	s.AgeAuthentications(t, time.Hour) // otherwise a well-formed request could delete the user

	env.refreshToken = session["refreshToken"]
	env.rejected = values{
		"request-id": "hostile-" + uuid.NewString(), "rid": "hostile-" + uuid.NewString(), "authorization": session["accessToken"],
		"password": wrongPassword, "sessionID": uuid.NewString(), "onlySession": only["accessToken"],
		"newEmail": env.email, // the user's own: 409
	}
	env.accepted = values{
		"email": env.email, "password": env.password, "inviteCode": code, "language": "en", "clientID": "hostile_v1",
		"refreshToken": session["refreshToken"], "sessionID": other["sessionID"], "confirmationKey": key, "linkKey": linkKey,
		"newEmail":      env.email,
		"newPassword":   "short", // refused by the policy, so the link stays usable
		"authorization": session["accessToken"], "request-id": env.rejected["request-id"], "rid": env.rejected["rid"],
		"onlySession": only["accessToken"],
	}
	env.forged = map[string]map[string]string{
		"authorization": env.forger(session["accessToken"]).tokens(), "refreshToken": env.forger(session["refreshToken"]).tokens(),
	}
	env.secrets = []string{
		env.password, code, key, linkKey, session["accessToken"], session["refreshToken"], other["accessToken"], other["refreshToken"], only["accessToken"], "canary", s.Secret(t),
	}
	return env
}

func newAddress() string { return "h" + strings.ReplaceAll(uuid.NewString(), "-", "") + "@example.com" }

// call sends a well-formed request with a JSON body and returns the response.
func (env *environment) call(method, path string, body any) response {
	env.t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		env.t.Fatal(err)
	}
	header := http.Header{"Request-Id": {uuid.NewString()}, "Content-Type": {"application/json"}}
	return env.mustSend(request{method: method, target: path, header: header, body: string(text)})
}

func (env *environment) mustSend(r request) response {
	env.t.Helper()
	a, err := env.conn.send(r)
	if err != nil {
		env.t.Fatalf("%s %s: %v", r.method, r.target, err)
	}
	if err := r.check(a); err != nil {
		env.t.Errorf("%s %s: response %d violates the contract: %v\n%s", r.method, r.target, a.status, err, a.body)
	}
	return a
}

func (env *environment) want(what string, a response, status int) {
	env.t.Helper()
	if a.status != status {
		env.t.Fatalf("%s: %d %s, want %d", what, a.status, a.body, status)
	}
}

func (env *environment) signUp(email, code string, status int) {
	env.t.Helper()
	env.want("sign up "+email, env.call(http.MethodPost, "/v1/user/signup", map[string]any{"email": email, "inviteCode": code, "language": "en"}), status)
}

// join signs up and opens the link. The service then sends the password by mail.
func (env *environment) join(email, code string) {
	env.t.Helper()
	env.signUp(email, code, 204)
	env.want("open the link", env.open(env.s.WaitMails(env.t, email, 1)[0].Link(env.t)), 200)
}

func (env *environment) open(link *url.URL) response {
	env.t.Helper()
	return env.mustSend(request{method: http.MethodGet, target: link.RequestURI(), header: http.Header{"Accept": {"application/json"}}})
}

func (env *environment) tryLogin(email, password string) response {
	env.t.Helper()
	return env.call(http.MethodPost, "/v1/oauth/create", map[string]any{"email": email, "password": password, "clientID": "hostile_v1", "device": map[string]any{}})
}

// login logs in and returns the fields of the response.
func (env *environment) login(email, password string) map[string]string {
	env.t.Helper()
	a := env.tryLogin(email, password)
	env.want("log in", a, 200)
	return env.fields(a)
}

// fields returns the strings of a response.
func (env *environment) fields(a response) map[string]string {
	env.t.Helper()
	var all map[string]any
	if err := json.Unmarshal([]byte(a.body), &all); err != nil {
		env.t.Fatal(err)
	}
	fields := make(map[string]string)
	for name, value := range all {
		if text, ok := value.(string); ok {
			fields[name] = text
		}
	}
	return fields
}

// waitForMails waits until the outbox is empty: the worker changes the row of a mail after the test has received the mail.
func (env *environment) waitForMails() {
	env.t.Helper()
	deadline := time.Now().Add(time.Minute)
	for env.s.Count(env.t, "SELECT count(*) FROM mail WHERE sent_at IS NULL AND dead_at IS NULL") > 0 {
		if time.Now().After(deadline) {
			env.t.Fatal("the outbox is not empty after a minute")
		}
		time.Sleep(10 * time.Millisecond) // between two polls
	}
}

// state returns what no attack may change: the database and the number of mails.
func (env *environment) state() string {
	env.t.Helper()
	return fmt.Sprintf("%s\n%d mails", env.s.Snapshot(env.t), len(env.s.Mails(env.t)))
}

// checkServing sends a valid request on the connection of the last attack, and on a new connection.
func (env *environment) checkServing() {
	env.t.Helper()
	normal := request{method: http.MethodGet, target: "/v1/version", header: http.Header{"Request-Id": {"hostile-normal"}}}
	env.want("the next request on the same connection", env.mustSend(normal), 200)
	other := &environment{t: env.t, s: env.s, conn: &connection{addr: env.conn.addr}}
	defer other.conn.close()
	other.want("the next request on a new connection", other.mustSend(normal), 200)
}

// checkLog fails the test if the log contains a secret, a canary, a line that is not an event, an event of level ERROR, or a forged client IP.
func (env *environment) checkLog() {
	env.t.Helper()
	log := env.s.Log()
	for _, secret := range env.secrets {
		if strings.Contains(log, secret) {
			env.t.Errorf("the log contains %q", secret)
		}
	}
	for line := range strings.Lines(log) {
		var event struct {
			Msg        string `json:"msg"`
			Level      string `json:"level"`
			RemoteAddr string `json:"remote_addr"`
		}
		if err := json.Unmarshal([]byte(line), &event); err != nil || event.Msg == "" {
			env.t.Errorf("a line of the log is not an event: %q", line)
		}
		if event.Level == "ERROR" || event.RemoteAddr != "" && event.RemoteAddr != "127.0.0.1" {
			env.t.Errorf("the log contains %s", line)
		}
	}
}

// checkWorking fails the test unless the targets of the attacks still work: the session, the link, the invite and the password.
func (env *environment) checkWorking() {
	env.t.Helper()
	a := env.call(http.MethodPut, "/v1/oauth/refresh", map[string]any{"refreshToken": env.refreshToken})
	env.want("refresh", a, 200)
	header := http.Header{"Request-Id": {uuid.NewString()}, "Authorization": {"Bearer " + env.fields(a)["accessToken"]}}
	list := env.mustSend(request{method: http.MethodGet, target: "/v1/session/list", header: header})
	env.want("list the sessions", list, 200)
	if n := strings.Count(list.body, `"sessionID"`); n != 2 {
		env.t.Errorf("%d sessions, want 2", n)
	}
	env.want("open the link", env.mustSend(request{method: http.MethodGet, target: "/u/" + env.accepted["confirmationKey"] + "?rid=" + env.accepted["rid"]}), 200)
	env.want("use the link", env.call(http.MethodPost, "/l/"+env.accepted["linkKey"]+"?rid="+env.accepted["rid"], map[string]any{
		"newPassword": "seven green boats at noon",
	}), 200)
	env.signUp(newAddress(), env.accepted["inviteCode"], 204)
	env.want("log in", env.tryLogin(env.email, env.password), 200)
}
