package hostile

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/financelime/authorization/test/harness"
)

// attack is one hostile request.
type attack struct {
	name    string
	request func(env *environment) request
	want    []int // the allowed statuses; nil allows what attack.allows returns
	ignored bool  // the response must not differ from that to the operation's rejected request
}

// part is one kind of attack. docs/security.md refers to it by its name.
type part struct {
	name    string
	attacks func(*testing.T, operation) []attack
}

// corpus returns all attacks on an operation. The names of the forged tokens are the same in all environments.
func corpus(env *environment) []part {
	return []part{
		{"JSON", jsonAttacks},
		{"text", textAttacks},
		{"addresses", addressAttacks},
		{"keys", keyAttacks},
		{"paths", pathAttacks},
		{"headers", headerAttacks},
		{"tokens", func(t *testing.T, op operation) []attack { return tokenAttacks(t, op, env.forged) }},
		{"bodies", bodyAttacks},
	}
}

// TestCorpus sends the whole corpus to every operation, to both database engines at the same time.
func TestCorpus(t *testing.T) {
	envs := environments(t)
	var slowest time.Duration
	total := 0
	for _, op := range operations(t) {
		for _, part := range corpus(envs[0]) {
			total += len(part.attacks(t, op))
		}
		t.Run(op.id, func(t *testing.T) {
			for _, part := range corpus(envs[0]) {
				t.Run(part.name, func(t *testing.T) {
					slowest = max(slowest, runAttacks(t, envs, op, part.attacks(t, op)))
				})
			}
		})
	}
	for _, env := range envs {
		env.t = t
		env.checkLog()
		env.checkWorking()
	}
	t.Logf("%d requests on each engine, the slowest response took %s", total, slowest)
	if total < 5000 {
		t.Errorf("only %d requests: is the table of operations incomplete?", total)
	}
}

// environments starts one service on each database engine.
func environments(t *testing.T) []*environment {
	t.Helper()
	envs := make([]*environment, 0, 2)
	for _, engine := range []string{harness.SQLite, harness.Postgres} {
		envs = append(envs, newEnvironment(t, engine))
	}
	return envs
}

// runAttacks sends attacks to an operation and checks the responses and their effects. It returns the time of the slowest response.
func runAttacks(t *testing.T, envs []*environment, op operation, attacks []attack) (slowest time.Duration) {
	t.Helper()
	before, bases := make([]string, len(envs)), make([]string, len(envs))
	for i, env := range envs {
		env.t = t
		before[i], bases[i] = env.state(), env.mustSend(op.request(t, env.rejected)).summary()
	}
	for _, a := range attacks {
		responses, failures := make([]response, len(envs)), make([]error, len(envs))
		var running sync.WaitGroup
		for i, env := range envs {
			running.Go(func() {
				r := a.request(env)
				if responses[i], failures[i] = env.conn.send(r); failures[i] == nil {
					failures[i] = r.check(responses[i])
				}
			})
		}
		running.Wait()
		for i := range envs {
			got := responses[i]
			slowest = max(slowest, got.took)
			switch {
			case failures[i] != nil:
				t.Errorf("%s: %d: %v: %.200s", a.name, got.status, failures[i], got.body)
			case a.ignored && got.summary() != bases[i]:
				t.Errorf("%s: %.200s; without it: %.200s", a.name, got.summary(), bases[i])
			case !a.ignored && !a.allows(op, got.status):
				t.Errorf("%s: %.200s; want %v", a.name, got.summary(), a.want)
			}
		}
		if one, other := responses[0].summary(), responses[1].summary(); one != other {
			t.Errorf("%s: the responses of the engines differ:\n%.300s\n%.300s", a.name, one, other)
		}
	}
	for i, env := range envs {
		if after := env.state(); after != before[i] {
			t.Errorf("the database or the mails changed:\n%s", difference(before[i], after))
		}
		env.checkServing()
	}
	return slowest
}

// allows reports whether an attack may have a status. By default all attacks must be rejected, except that GET and DELETE may succeed: they
// only read, or end a session that does not exist, and that a passkey that does not exist can be renamed.
func (a attack) allows(op operation, status int) bool {
	if op.id == "get_change_password" && status == http.StatusSeeOther { // its only success
		status = http.StatusNoContent
	}
	if a.want != nil {
		return slices.Contains(a.want, status)
	}
	return status >= 400 || op.method == http.MethodGet || op.method == http.MethodDelete || op.id == "rename_passkey"
}

// difference returns the lines that were removed and added.
func difference(before, after string) string {
	had, has := strings.Split(before, "\n"), strings.Split(after, "\n")
	var lines []string
	for _, line := range had {
		if !slices.Contains(has, line) {
			lines = append(lines, "- "+line)
		}
	}
	for _, line := range has {
		if !slices.Contains(had, line) {
			lines = append(lines, "+ "+line)
		}
	}
	return strings.Join(lines, "\n")
}

// valuesFor returns the values for an attack on one field. All other values are valid, so the field is the only reason to reject the
// request. The exception are attacks on fields other than email and password: their login uses a client that may not log in,
// because a device may send any text about itself. Attacks on a new password use a link that does not exist.
func (op operation) valuesFor(env *environment, field string) values {
	v := maps.Clone(env.accepted)
	if field != "email" && field != "password" {
		v["password"], v["clientID"] = wrongPassword, "unknown_v1"
	}
	if field == "newPassword" {
		delete(v, "linkKey") // the example of the document does not exist: a password that is valid nevertheless has no effect
	}
	if field != "email" && slices.Contains(op.fields(), "inviteCode") {
		v["email"] = "free@example.com"
	}
	return v
}

// withField returns an attack that sends raw JSON as the value of one field.
func (op operation) withField(t *testing.T, name, field, raw string, want ...int) attack {
	return attack{
		name: fmt.Sprintf("%s is %s", field, name), want: want,
		request: func(env *environment) request {
			r := op.request(t, op.valuesFor(env, field))
			r.body = op.json(t, op.valuesFor(env, field), map[string]string{field: raw})
			return r
		},
	}
}

// variant returns an attack that changes the operation's rejected request. Its response must be the same as without the change.
func (op operation) variant(t *testing.T, name string, change func(env *environment, r *request)) attack {
	return attack{
		name: name, ignored: true,
		request: func(env *environment) request {
			r := op.request(t, env.rejected)
			change(env, &r)
			return r
		},
	}
}

// expect returns an attack whose response must have one of the statuses.
func (a attack) expect(want ...int) attack {
	a.ignored, a.want = false, want
	return a
}
