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

// world is a running service with one of everything that an attacker would like to have.
type world struct {
	t    *testing.T
	s    *harness.Service
	wire *wire

	email, password string // of somebody with a password
	refreshToken    string // of the session that the attacks are about
	pendingEmail    string // of somebody with a link that was not opened

	// live are the values with which a request of each operation would succeed, dead those with which it would be
	// refused though nothing is wrong with its form.
	live, dead values
	secrets    []string // which no log may have

	forged map[string]map[string]string // tokens by the live one that they are made of, and by what is wrong with them
}

// wrongPassword is a password that nobody has, and that no log may have.
const wrongPassword = "canary-wrong-password"

func newWorld(t *testing.T, engine string) *world {
	t.Helper()
	s := harness.Start(t, binary, contract, engine, "AUTH_CLIENT_IDS=hostile_v1")
	w := &world{t: t, s: s, wire: &wire{addr: strings.TrimPrefix(s.URL, "http://")}}
	t.Cleanup(w.wire.close)

	code := s.Invite(t, 100)
	w.email, w.pendingEmail = newAddress(), newAddress()
	w.join(w.email, code)
	w.password = s.WaitMails(t, w.email, 2)[0].Password(t)
	session, other := w.login(w.email, w.password), w.login(w.email, w.password)
	w.signUp(w.pendingEmail, code, 204)
	key := strings.TrimPrefix(s.WaitMails(t, w.pendingEmail, 1)[0].Link(t).Path, "/u/")
	w.settle()

	w.refreshToken = session["refreshToken"]
	w.dead = values{
		"request-id": "hostile-" + uuid.NewString(), "rid": "hostile-" + uuid.NewString(), "authorization": session["accessToken"],
		"password": wrongPassword, "sessionID": uuid.NewString(),
	}
	w.live = values{
		"email": w.email, "password": w.password, "inviteCode": code, "language": "en", "clientID": "hostile_v1",
		"refreshToken": session["refreshToken"], "sessionID": other["sessionID"], "confirmationKey": key,
		"authorization": session["accessToken"], "request-id": w.dead["request-id"], "rid": w.dead["rid"],
	}
	w.forged = map[string]map[string]string{
		"authorization": w.forger(session["accessToken"]).tokens(), "refreshToken": w.forger(session["refreshToken"]).tokens(),
	}
	w.secrets = []string{
		w.password, code, key, session["accessToken"], session["refreshToken"], other["accessToken"], other["refreshToken"], "canary", s.Secret(t),
	}
	return w
}

func newAddress() string { return "h" + strings.ReplaceAll(uuid.NewString(), "-", "") + "@example.com" }

// call makes a well-behaved request with a JSON body and returns the answer.
func (w *world) call(method, path string, body any) answer {
	w.t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		w.t.Fatal(err)
	}
	header := http.Header{"Request-Id": {uuid.NewString()}, "Content-Type": {"application/json"}}
	return w.mustSend(request{method: method, target: path, header: header, body: string(text)})
}

func (w *world) mustSend(r request) answer {
	w.t.Helper()
	a, err := w.wire.send(r)
	if err != nil {
		w.t.Fatalf("%s %s: %v", r.method, r.target, err)
	}
	if err := r.check(a); err != nil {
		w.t.Errorf("%s %s answered %d against the contract: %v\n%s", r.method, r.target, a.status, err, a.body)
	}
	return a
}

func (w *world) want(what string, a answer, status int) {
	w.t.Helper()
	if a.status != status {
		w.t.Fatalf("%s: %d %s, want %d", what, a.status, a.body, status)
	}
}

func (w *world) signUp(email, code string, status int) {
	w.t.Helper()
	w.want("sign up "+email, w.call(http.MethodPost, "/v1/user/signup", map[string]any{"email": email, "inviteCode": code, "language": "en"}), status)
}

// join signs up and opens the link; the mail with the password is on its way then.
func (w *world) join(email, code string) {
	w.t.Helper()
	w.signUp(email, code, 204)
	w.want("open the link", w.open(w.s.WaitMails(w.t, email, 1)[0].Link(w.t)), 200)
}

func (w *world) open(link *url.URL) answer {
	w.t.Helper()
	return w.mustSend(request{method: http.MethodGet, target: link.RequestURI(), header: http.Header{"Accept": {"application/json"}}})
}

func (w *world) tryLogin(email, password string) answer {
	w.t.Helper()
	return w.call(http.MethodPost, "/v1/oauth/create", map[string]any{"email": email, "password": password, "clientID": "hostile_v1", "device": map[string]any{}})
}

// login returns the answer's fields.
func (w *world) login(email, password string) map[string]string {
	w.t.Helper()
	a := w.tryLogin(email, password)
	w.want("log in", a, 200)
	return w.fields(a)
}

func (w *world) fields(a answer) map[string]string {
	w.t.Helper()
	fields := make(map[string]string)
	if err := json.Unmarshal([]byte(a.body), &fields); err != nil {
		w.t.Fatal(err)
	}
	return fields
}

// settle waits until no mail is on its way: the worker changes its row after we have seen the mail.
func (w *world) settle() {
	w.t.Helper()
	deadline := time.Now().Add(time.Minute)
	for w.s.Count(w.t, "SELECT count(*) FROM mail WHERE sent_at IS NULL AND dead_at IS NULL") > 0 {
		if time.Now().After(deadline) {
			w.t.Fatal("mails are still on their way after a minute")
		}
		time.Sleep(10 * time.Millisecond) // between two looks
	}
}

// state is what no attack may change: the database, and the mails.
func (w *world) state() string {
	w.t.Helper()
	return fmt.Sprintf("%s\n%d mails", w.s.Snapshot(w.t), len(w.s.Mails(w.t)))
}

// stillServes makes a normal request on the connection that the attack left, and on a new one.
func (w *world) stillServes() {
	w.t.Helper()
	normal := request{method: http.MethodGet, target: "/v1/version", header: http.Header{"Request-Id": {"hostile-normal"}}}
	w.want("the next request on the same connection", w.mustSend(normal), 200)
	fresh := &world{t: w.t, s: w.s, wire: &wire{addr: w.wire.addr}}
	defer fresh.wire.close()
	fresh.want("the next request on a new connection", fresh.mustSend(normal), 200)
}

// logIsClean fails the test when the log has a secret or a canary, a line that is no event of its own, an event that says
// that something went wrong, or a source address that somebody made up.
func (w *world) logIsClean() {
	w.t.Helper()
	log := w.s.Log()
	for _, secret := range w.secrets {
		if strings.Contains(log, secret) {
			w.t.Errorf("the log has %q", secret)
		}
	}
	for line := range strings.Lines(log) {
		var event struct {
			Msg        string `json:"msg"`
			Level      string `json:"level"`
			RemoteAddr string `json:"remote_addr"`
		}
		if err := json.Unmarshal([]byte(line), &event); err != nil || event.Msg == "" {
			w.t.Errorf("a line of the log is no event: %q", line)
		}
		if event.Level == "ERROR" || event.RemoteAddr != "" && event.RemoteAddr != "127.0.0.1" {
			w.t.Errorf("the log has %s", line)
		}
	}
}

// everythingStillWorks proves that what was attacked was alive all the time.
func (w *world) everythingStillWorks() {
	w.t.Helper()
	a := w.call(http.MethodPut, "/v1/oauth/refresh", map[string]any{"refreshToken": w.refreshToken})
	w.want("refresh", a, 200)
	header := http.Header{"Request-Id": {uuid.NewString()}, "Authorization": {"Bearer " + w.fields(a)["accessToken"]}}
	list := w.mustSend(request{method: http.MethodGet, target: "/v1/session/list", header: header})
	w.want("list the sessions", list, 200)
	if n := strings.Count(list.body, `"sessionID"`); n != 2 {
		w.t.Errorf("%d sessions, want 2", n)
	}
	w.want("open the link", w.mustSend(request{method: http.MethodGet, target: "/u/" + w.live["confirmationKey"] + "?rid=" + w.live["rid"]}), 200)
	w.signUp(newAddress(), w.live["inviteCode"], 204)
	w.want("log in", w.tryLogin(w.email, w.password), 200)
}
