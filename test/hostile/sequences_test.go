package hostile

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"

	"github.com/financelime/authorization/test/harness"
)

// rounds is how often each race is run.
func rounds() int {
	if full {
		return 200
	}
	return 6
}

// rival is a world of its own connection, so that two callers can race.
func (w *world) rival() *world {
	return &world{t: w.t, s: w.s, wire: &wire{addr: w.wire.addr}}
}

// together calls both at the same moment, several times each, and waits for all. Each caller has a connection of its own.
func (w *world) together(callers int, calls ...func(*world)) {
	w.t.Helper()
	start := make(chan struct{})
	var running sync.WaitGroup
	for _, call := range calls {
		for range callers {
			rival := w.rival()
			running.Go(func() {
				defer rival.wire.close()
				<-start
				call(rival)
			})
		}
	}
	close(start)
	running.Wait()
}

func (w *world) refresh(token string) answer {
	return w.call(http.MethodPut, "/v1/oauth/refresh", map[string]any{"refreshToken": token})
}

func (w *world) revoke(accessToken, sessionID string) answer {
	header := http.Header{"Request-Id": {uuid.NewString()}, "Authorization": {"Bearer " + accessToken}}
	return w.mustSend(request{method: http.MethodDelete, target: "/v1/session/" + sessionID, header: header})
}

// tokensOf collects the refresh tokens that answers have given, from any goroutine.
type tokensOf struct {
	mu  sync.Mutex
	all []string
}

func (c *tokensOf) add(w *world, a answer) {
	if a.status != 200 {
		return
	}
	token := w.fields(a)["refreshToken"]
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all = append(c.all, token)
}

// noneLives fails the test if a session can still be refreshed with one of the tokens.
func (c *tokensOf) noneLives(w *world, what string) {
	w.t.Helper()
	for _, token := range c.all {
		if a := w.refresh(token); a.status != 404 {
			w.t.Errorf("%s: a token still gets %d", what, a.status)
		}
	}
}

// What ends something races with what goes on with it. Once the end is acknowledged nothing goes on.
func TestRaceEnds(t *testing.T) {
	t.Parallel()
	harness.EachEngine(t, func(t *testing.T, engine string) {
		w := newWorld(t, engine)
		for range rounds() {
			revokeAndRefresh(w)
		}
		for range max(rounds()/3, 2) {
			w.resetAndEverything()
			w.inviteAndSignUp()
		}
	})
}

// A session is ended while it is refreshed.
func revokeAndRefresh(w *world) {
	w.t.Helper()
	session := w.login(w.email, w.password)
	var given tokensOf
	w.together(4,
		func(w *world) { given.add(w, w.refresh(session["refreshToken"])) },
		func(w *world) { w.want("revoke", w.revoke(session["accessToken"], session["sessionID"]), 204) },
	)
	given.all = append(given.all, session["refreshToken"])
	given.noneLives(w, "after revoke")
}

// A mailed password is used for the first time, which ends all older sessions, while the older password logs in, a session of
// it is refreshed, and another reset is asked for.
func (w *world) resetAndEverything() {
	w.t.Helper()
	email, code := newAddress(), w.live["inviteCode"]
	w.join(email, code)
	older := w.s.WaitMails(w.t, email, 2)[0].Password(w.t)
	session := w.login(email, older)
	w.want("reset", w.call(http.MethodPost, "/v1/user/password", map[string]any{"email": email}), 204)
	link := w.s.WaitMails(w.t, email, 3)[0].Link(w.t)
	w.want("open the link", w.open(link), 200)
	newer := w.s.WaitMails(w.t, email, 4)[0].Password(w.t)

	var old, fresh tokensOf
	w.together(2,
		func(w *world) { fresh.add(w, w.tryLogin(email, newer)) },
		func(w *world) { old.add(w, w.tryLogin(email, older)) },
		func(w *world) { old.add(w, w.refresh(session["refreshToken"])) },
		func(w *world) { w.call(http.MethodPost, "/v1/user/password", map[string]any{"email": email}) },
	)
	old.all = append(old.all, session["refreshToken"])
	old.noneLives(w, "after the log-in with a new password")
	w.want("log in with the older password", w.tryLogin(email, older), 404)
	if len(fresh.all) != 2 {
		w.t.Errorf("%d of 2 log-ins with the new password succeeded", len(fresh.all))
	}
	for _, token := range fresh.all {
		w.want("refresh a new session", w.refresh(token), 200)
	}
}

// An invite is revoked while people sign up with it.
func (w *world) inviteAndSignUp() {
	w.t.Helper()
	code := w.s.Invite(w.t, 100)
	body := func() map[string]any {
		return map[string]any{"email": newAddress(), "inviteCode": code, "language": "en"}
	}
	var joined sync.WaitGroup
	joined.Go(func() {
		if _, err := w.s.Command(w.t.Context(), "invite", "revoke", code); err != nil {
			w.t.Error(err)
		}
	})
	w.together(4, func(w *world) {
		if a := w.call(http.MethodPost, "/v1/user/signup", body()); a.status != 204 && a.status != 404 {
			w.t.Errorf("sign up while the invite is revoked: %d", a.status)
		}
	})
	joined.Wait()
	w.want("sign up with a revoked invite", w.call(http.MethodPost, "/v1/user/signup", body()), 404)
}

// A log-out and a refresh that come in one packet are answered in their order.
func TestLogOutAndRefreshInOnePacket(t *testing.T) {
	t.Parallel()
	harness.EachEngine(t, func(t *testing.T, engine string) {
		w := newWorld(t, engine)
		for range 5 {
			session := w.login(w.email, w.password)
			out := request{method: http.MethodDelete, target: "/v1/session/" + session["sessionID"], header: http.Header{"Authorization": {"Bearer " + session["accessToken"]}}}
			in := request{
				method: http.MethodPut, target: "/v1/oauth/refresh", header: http.Header{"Request-Id": {uuid.NewString()}, "Content-Type": {"application/json"}, "Connection": {"close"}},
				body: `{"refreshToken":` + quoted(t, session["refreshToken"]) + `}`,
			}
			conn, err := net.Dial("tcp", w.wire.addr)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.WriteString(conn, out.text()+in.text()); err != nil {
				t.Fatal(err)
			}
			answers := bufio.NewReader(conn)
			for i, want := range []int{204, 404} {
				response, err := http.ReadResponse(answers, nil)
				if err != nil {
					t.Fatal(err)
				}
				if response.StatusCode != want {
					t.Errorf("answer %d is %d, want %d", i+1, response.StatusCode, want)
				}
				_, _ = io.Copy(io.Discard, response.Body)
			}
			_ = conn.Close()
		}
	})
}

// A session's id comes from the service, whatever a client sends at the log-in (CVE-2024-28197).
func TestSessionIDsAreNotTheClients(t *testing.T) {
	t.Parallel()
	for _, w := range worlds(t) {
		id := uuid.NewString()
		r := request{method: http.MethodPost, target: "/v1/oauth/create?sid=" + id + "&sessionID=" + id, header: http.Header{
			"Request-Id": {id}, "Content-Type": {"application/json"}, "Cookie": {"sid=" + id + "; session=" + id}, "X-Session-Id": {id}, "Authorization": {"Bearer " + w.live["authorization"]},
		}}
		r.body = `{"email":` + quoted(t, w.email) + `,"password":` + quoted(t, w.password) + `,"clientID":"hostile_v1","device":{}}`
		a := w.mustSend(r)
		w.want("log in", a, 200)
		for _, known := range []string{id, w.live["sessionID"]} {
			if strings.Contains(a.body, known) {
				t.Errorf("the session has the id that the client sent: %s", a.body)
			}
		}
		r.body = strings.Replace(r.body, "{", `{"sessionID":"`+id+`",`, 1)
		w.want("log in with a session's id in the body", w.mustSend(r), 400)
	}
}

// A link key that is empty, null or cut finds no row, even where a row has an empty or a cut hash (CVE-2019-16109).
func TestBlankKeysFindNothing(t *testing.T) {
	t.Parallel()
	for _, w := range worlds(t) {
		w.s.Exec(t, "UPDATE confirmation SET key_hash = $1", []byte{})
		w.s.Exec(t, "UPDATE invite SET code_hash = $1 WHERE uses > 0", []byte{})
		for _, key := range []string{"", "%00", "null", "undefined", "[]", "%20", "AAAA", strings.Repeat("A", 43), w.live["confirmationKey"]} {
			a := w.mustSend(request{method: http.MethodGet, target: "/u/" + key + "?rid=" + w.live["rid"], header: http.Header{"Accept": {"application/json"}}})
			w.want("open the link "+key, a, 404)
		}
		for _, code := range []string{"", " ", "null", "0", w.live["inviteCode"]} {
			if a := w.call(http.MethodPost, "/v1/user/signup", map[string]any{"email": newAddress(), "inviteCode": code, "language": "en"}); a.status != 400 && a.status != 404 {
				t.Errorf("sign up with the code %q: %d", code, a.status)
			}
		}
	}
}
