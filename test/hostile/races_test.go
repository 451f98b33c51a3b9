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

// rounds returns how often each race is repeated.
func rounds() int {
	if full {
		return 200
	}
	return 6
}

// newClient returns the environment with a connection of its own, for concurrent requests.
func (env *environment) newClient() *environment {
	return &environment{t: env.t, s: env.s, conn: &connection{addr: env.conn.addr}}
}

// race starts several goroutines for each call at the same time and waits for all of them. Each goroutine has a connection of its own.
func (env *environment) race(callers int, calls ...func(*environment)) {
	env.t.Helper()
	start := make(chan struct{})
	var running sync.WaitGroup
	for _, call := range calls {
		for range callers {
			newClient := env.newClient()
			running.Go(func() {
				defer newClient.conn.close()
				<-start
				call(newClient)
			})
		}
	}
	close(start)
	running.Wait()
}

func (env *environment) refresh(token string) response {
	return env.call(http.MethodPut, "/v1/oauth/refresh", map[string]any{"refreshToken": token})
}

func (env *environment) revoke(accessToken, sessionID string) response {
	header := http.Header{"Request-Id": {uuid.NewString()}, "Authorization": {"Bearer " + accessToken}}
	return env.mustSend(request{method: http.MethodDelete, target: "/v1/session/" + sessionID, header: header})
}

// tokenCollector collects the refresh tokens of responses. It is safe for concurrent use.
type tokenCollector struct {
	mu  sync.Mutex
	all []string
}

func (c *tokenCollector) add(env *environment, a response) {
	if a.status != 200 {
		return
	}
	token := env.fields(a)["refreshToken"]
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all = append(c.all, token)
}

// allRevoked fails the test if one of the tokens can still refresh a session.
func (c *tokenCollector) allRevoked(env *environment, what string) {
	env.t.Helper()
	for _, token := range c.all {
		if a := env.refresh(token); a.status != 404 {
			env.t.Errorf("%s: a revoked token gets %d", what, a.status)
		}
	}
}

// Requests that end something run concurrently with requests that use it. After the end is acknowledged, nothing can use it.
func TestRaceEnds(t *testing.T) {
	t.Parallel()
	harness.EachEngine(t, func(t *testing.T, engine string) {
		env := newEnvironment(t, engine)
		for range rounds() {
			revokeAndRefresh(env)
		}
		for range max(rounds()/3, 2) {
			env.resetAndEverything()
			env.inviteAndSignUp()
		}
	})
}

// revokeAndRefresh ends a session while it is refreshed.
func revokeAndRefresh(env *environment) {
	env.t.Helper()
	session := env.login(env.email, env.password)
	var tokens tokenCollector
	env.race(4,
		func(env *environment) { tokens.add(env, env.refresh(session["refreshToken"])) },
		func(env *environment) {
			env.want("revoke", env.revoke(session["accessToken"], session["sessionID"]), 204)
		},
	)
	tokens.all = append(tokens.all, session["refreshToken"])
	tokens.allRevoked(env, "after revoke")
}

// resetAndEverything logs in with a mailed password for the first time, which ends all older sessions. At the same time, the older
// password logs in, a session of it is refreshed, and another reset is requested.
func (env *environment) resetAndEverything() {
	env.t.Helper()
	email, code := newAddress(), env.accepted["inviteCode"]
	env.join(email, code)
	older := env.s.WaitMails(env.t, email, 2)[0].Password(env.t)
	session := env.login(email, older)
	env.want("reset", env.call(http.MethodPost, "/v1/user/password", map[string]any{"email": email}), 204)
	link := env.s.WaitMails(env.t, email, 3)[0].Link(env.t)
	env.want("open the link", env.open(link), 200)
	newer := env.s.WaitMails(env.t, email, 4)[0].Password(env.t)

	var before, after tokenCollector
	env.race(2,
		func(env *environment) { after.add(env, env.tryLogin(email, newer)) },
		func(env *environment) { before.add(env, env.tryLogin(email, older)) },
		func(env *environment) { before.add(env, env.refresh(session["refreshToken"])) },
		func(env *environment) { env.call(http.MethodPost, "/v1/user/password", map[string]any{"email": email}) },
	)
	before.all = append(before.all, session["refreshToken"])
	before.allRevoked(env, "after the login with a new password")
	env.want("log in with the older password", env.tryLogin(email, older), 404)
	if len(after.all) != 2 {
		env.t.Errorf("%d of 2 logins with the new password succeeded", len(after.all))
	}
	for _, token := range after.all {
		env.want("refresh a new session", env.refresh(token), 200)
	}
}

// inviteAndSignUp revokes an invite while users sign up with it.
func (env *environment) inviteAndSignUp() {
	env.t.Helper()
	code := env.s.Invite(env.t, 100)
	body := func() map[string]any {
		return map[string]any{"email": newAddress(), "inviteCode": code, "language": "en"}
	}
	var joined sync.WaitGroup
	joined.Go(func() {
		if _, err := env.s.Command(env.t.Context(), "invite", "revoke", code); err != nil {
			env.t.Error(err)
		}
	})
	env.race(4, func(env *environment) {
		if a := env.call(http.MethodPost, "/v1/user/signup", body()); a.status != 204 && a.status != 404 {
			env.t.Errorf("sign up while the invite is revoked: %d", a.status)
		}
	})
	joined.Wait()
	env.want("sign up with a revoked invite", env.call(http.MethodPost, "/v1/user/signup", body()), 404)
}

// A logout and a refresh in one packet are handled in their order.
func TestPipelinedLogoutAndRefresh(t *testing.T) {
	t.Parallel()
	harness.EachEngine(t, func(t *testing.T, engine string) {
		env := newEnvironment(t, engine)
		for range 5 {
			session := env.login(env.email, env.password)
			out := request{method: http.MethodDelete, target: "/v1/session/" + session["sessionID"], header: http.Header{"Authorization": {"Bearer " + session["accessToken"]}}}
			in := request{
				method: http.MethodPut, target: "/v1/oauth/refresh", header: http.Header{"Request-Id": {uuid.NewString()}, "Content-Type": {"application/json"}, "Connection": {"close"}},
				body: `{"refreshToken":` + quoted(t, session["refreshToken"]) + `}`,
			}
			conn, err := net.Dial("tcp", env.conn.addr)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.WriteString(conn, out.text()+in.text()); err != nil {
				t.Fatal(err)
			}
			responses := bufio.NewReader(conn)
			for i, want := range []int{204, 404} {
				response, err := http.ReadResponse(responses, nil)
				if err != nil {
					t.Fatal(err)
				}
				if response.StatusCode != want {
					t.Errorf("response %d is %d, want %d", i+1, response.StatusCode, want)
				}
				_, _ = io.Copy(io.Discard, response.Body)
			}
			_ = conn.Close()
		}
	})
}

// The service generates the ID of a session, whatever ID the client sends at login (CVE-2024-28197).
func TestSessionIDsComeFromTheService(t *testing.T) {
	t.Parallel()
	for _, env := range environments(t) {
		id := uuid.NewString()
		r := request{method: http.MethodPost, target: "/v1/oauth/create?sid=" + id + "&sessionID=" + id, header: http.Header{
			"Request-Id": {id}, "Content-Type": {"application/json"}, "Cookie": {"sid=" + id + "; session=" + id}, "X-Session-Id": {id}, "Authorization": {"Bearer " + env.accepted["authorization"]},
		}}
		r.body = `{"email":` + quoted(t, env.email) + `,"password":` + quoted(t, env.password) + `,"clientID":"hostile_v1","device":{}}`
		a := env.mustSend(r)
		env.want("log in", a, 200)
		for _, known := range []string{id, env.accepted["sessionID"]} {
			if strings.Contains(a.body, known) {
				t.Errorf("the session has the ID that the client sent: %s", a.body)
			}
		}
		r.body = strings.Replace(r.body, "{", `{"sessionID":"`+id+`",`, 1)
		env.want("log in with a session ID in the body", env.mustSend(r), 400)
	}
}

// An empty, null or truncated link key matches no row, even if a row has an empty hash (CVE-2019-16109).
func TestBlankKeysFindNothing(t *testing.T) {
	t.Parallel()
	for _, env := range environments(t) {
		env.s.Exec(t, "UPDATE confirmation SET key_hash = $1", []byte{})
		env.s.Exec(t, "UPDATE invite SET code_hash = $1 WHERE uses > 0", []byte{})
		for _, key := range []string{"", "%00", "null", "undefined", "[]", "%20", "AAAA", strings.Repeat("A", 43), env.accepted["confirmationKey"]} {
			a := env.mustSend(request{method: http.MethodGet, target: "/u/" + key + "?rid=" + env.accepted["rid"], header: http.Header{"Accept": {"application/json"}}})
			env.want("open the link "+key, a, 404)
		}
		for _, code := range []string{"", " ", "null", "0", env.accepted["inviteCode"]} {
			if a := env.call(http.MethodPost, "/v1/user/signup", map[string]any{"email": newAddress(), "inviteCode": code, "language": "en"}); a.status != 400 && a.status != 404 {
				t.Errorf("sign up with the code %q: %d", code, a.status)
			}
		}
	}
}
