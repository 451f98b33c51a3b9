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
	request func(w *world) request
	want    []int // the statuses that it may have; any refusal if nil
	asBase  bool  // it must be answered as the operation's dead request is: what is hostile about it is not looked at
}

// part is one kind of attacks, as docs/security.md names it.
type part struct {
	name    string
	attacks func(*testing.T, operation) []attack
}

// corpus is everything that is sent at every operation. The names of forged tokens are those of any world.
func corpus(w *world) []part {
	return []part{
		{"JSON", jsonAttacks},
		{"text", textAttacks},
		{"addresses", addressAttacks},
		{"keys", keyAttacks},
		{"paths", pathAttacks},
		{"headers", headerAttacks},
		{"tokens", func(t *testing.T, op operation) []attack { return tokenAttacks(t, op, w.forged) }},
		{"bodies", bodyAttacks},
	}
}

// The whole corpus against every operation, on both engines side by side.
func TestCorpus(t *testing.T) {
	sides := worlds(t)
	var slowest time.Duration
	total := 0
	for _, op := range operations(t) {
		for _, part := range corpus(sides[0]) {
			total += len(part.attacks(t, op))
		}
		t.Run(op.id, func(t *testing.T) {
			for _, part := range corpus(sides[0]) {
				t.Run(part.name, func(t *testing.T) {
					slowest = max(slowest, strike(t, sides, op, part.attacks(t, op)))
				})
			}
		})
	}
	for _, w := range sides {
		w.t = t
		w.logIsClean()
		w.everythingStillWorks()
	}
	t.Logf("%d requests on each engine, the slowest answer took %s", total, slowest)
	if total < 5000 {
		t.Errorf("only %d requests: is the table of operations read as it should be?", total)
	}
}

// worlds are one service on each engine.
func worlds(t *testing.T) []*world {
	t.Helper()
	sides := make([]*world, 0, 2)
	for _, engine := range []string{harness.SQLite, harness.Postgres} {
		sides = append(sides, newWorld(t, engine))
	}
	return sides
}

// strike makes all attacks of one kind on an operation and judges what follows. It returns how long the slowest answer took.
func strike(t *testing.T, sides []*world, op operation, attacks []attack) (slowest time.Duration) {
	t.Helper()
	before, bases := make([]string, len(sides)), make([]string, len(sides))
	for i, w := range sides {
		w.t = t
		before[i], bases[i] = w.state(), w.mustSend(op.request(t, w.dead)).verdict()
	}
	for _, a := range attacks {
		answers, failures := make([]answer, len(sides)), make([]error, len(sides))
		var running sync.WaitGroup
		for i, w := range sides {
			running.Go(func() {
				r := a.request(w)
				if answers[i], failures[i] = w.wire.send(r); failures[i] == nil {
					failures[i] = r.check(answers[i])
				}
			})
		}
		running.Wait()
		for i := range sides {
			got := answers[i]
			slowest = max(slowest, got.took)
			switch {
			case failures[i] != nil:
				t.Errorf("%s: %d: %v: %.200s", a.name, got.status, failures[i], got.body)
			case a.asBase && got.verdict() != bases[i]:
				t.Errorf("%s: %.200s; without it: %.200s", a.name, got.verdict(), bases[i])
			case !a.asBase && !a.allows(op, got.status):
				t.Errorf("%s: %.200s; want %v", a.name, got.verdict(), a.want)
			}
		}
		if one, other := answers[0].verdict(), answers[1].verdict(); one != other {
			t.Errorf("%s: the engines differ:\n%.300s\n%.300s", a.name, one, other)
		}
	}
	for i, w := range sides {
		if after := w.state(); after != before[i] {
			t.Errorf("something changed:\n%s", difference(before[i], after))
		}
		w.stillServes()
	}
	return slowest
}

// allows tells whether an attack may be answered with a status. What reads only, and ending a session that is not there, may
// succeed; everything else must be refused.
func (a attack) allows(op operation, status int) bool {
	if a.want != nil {
		return slices.Contains(a.want, status)
	}
	return status >= 400 || op.method == http.MethodGet || op.method == http.MethodDelete
}

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

// aimed are the values for an attack by one field. Everything else would succeed, so that this field alone is the reason to
// refuse; only a log-in comes from a client that may not log in, where neither address nor password is the field, for a device
// may call itself anything.
func (op operation) aimed(w *world, field string) values {
	v := maps.Clone(w.live)
	if field != "email" && field != "password" {
		v["password"], v["clientID"] = wrongPassword, "dead_v1"
	}
	if field != "email" && slices.Contains(op.fields(), "inviteCode") {
		v["email"] = "free@example.com"
	}
	return v
}

// byField makes an attack by the JSON of one field.
func (op operation) byField(t *testing.T, name, field, raw string, want ...int) attack {
	return attack{
		name: fmt.Sprintf("%s is %s", field, name), want: want,
		request: func(w *world) request {
			r := op.request(t, op.aimed(w, field))
			r.body = op.json(t, op.aimed(w, field), map[string]string{field: raw})
			return r
		},
	}
}

// byDead makes an attack out of the operation's dead request. It must be answered as that is.
func (op operation) byDead(t *testing.T, name string, change func(w *world, r *request)) attack {
	return attack{
		name: name, asBase: true,
		request: func(w *world) request {
			r := op.request(t, w.dead)
			change(w, &r)
			return r
		},
	}
}

// refused says with which statuses an attack must be answered.
func (a attack) refused(want ...int) attack {
	a.asBase, a.want = false, want
	return a
}
