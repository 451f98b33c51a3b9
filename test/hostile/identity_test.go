package hostile

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// spellings are pairs of similar addresses, with the status of a sign-up with the second address after one with the first.
// 204: another user; 409: the same user; 400: not an address.
var spellings = []struct {
	first, second string
	status        int
}{
	{"mike@one.example", "MIKE@ONE.EXAMPLE", 409}, {"mike@two.example", "m\u0130ke@two.example", 400}, {"mike@three.example", "m\u0131ke@three.example", 400},
	{"kelvin@one.example", "\u212aelvin@one.example", 400}, {"a@kelvin.example", "a@\u212aelvin.example", 409}, {"a@mike.example", "a@m\u0130ke.example", 204}, {"a@mike2.example", "a@m\u0131ke2.example", 204},
	{"sam@one.example", "\u017fam@one.example", 400}, {"a@sam.example", "a@\u017fam.example", 409}, {"strasse@one.example", "stra\u00dfe@one.example", 400}, {"a@strasse.example", "a@stra\u00dfe.example", 204},
	{"a@bb.example", "a@\uff42\uff42.example", 409}, {"a@caf\u00e9.example", "a@cafe\u0301.example", 409}, {"b@caf\u00e9.example", "b@CAF\u00c9.example", 409}, {"c@caf\u00e9.example", "C@xn--caf-dma.example", 409},
	{"d@caf\u00e9.example", "d@XN--CAF-DMA.EXAMPLE", 409}, {"a@paypal.example", "a@p\u0430ypal.example", 204}, {"paul@one.example", "p\u0430ul@one.example", 400}, {"a@\u03b2\u03cc\u03bb\u03bf\u03c3.example", "a@\u03b2\u03cc\u03bb\u03bf\u03c2.example", 204},
	{"a@bc.example", "a@b\u00adc.example", 409}, {"b@bc.example", "b@b\u200dc.example", 400}, {"c@bc.example", "c@b\u200cc.example", 400}, {"a@c.example", "a@c\u202e.example", 400}, {"a@xample.example", "a@\u24e7ample.example", 409},
	{"a@dot.example", "a@dot\u3002example", 409}, {"b@dot.example", "b@dot\uff61example", 409}, {"c@dot.example", "c@dot.example.", 400}, {"a@xn--80ak6aa92e.example", "a@\u0430\u0440\u0440\u04cf\u0435.example", 409},
	{"tag@one.example", "tag+x@one.example", 204}, {"t.ag@one.example", "tag@two.example", 204}, {"d.ot@one.example", "dot@one.example", 204}, {"a@marks.example", "a@marks" + strings.Repeat("\u0301", 100) + ".example", 400},
	{"o'brien@one.example", "O'Brien@one.example", 409}, {"x@one.example", "x @one.example", 400}, {"y@one.example", "y@one.example\u00a0", 400}, {"z@one.example", "\ufeffz@one.example", 400},
}

// Both engines decide equally whether two spellings are the same user: at sign-up, which could create a second account, and at
// password reset, which could send the mail to another user (CVE-2019-19844).
func TestSpellings(t *testing.T) {
	t.Parallel()
	envs := environments(t)
	for i, c := range spellings {
		for _, env := range envs {
			env.signUp(c.first, env.accepted["inviteCode"], 204)
			accounts := env.s.Count(t, "SELECT count(*) FROM account")
			env.signUp(c.second, env.accepted["inviteCode"], c.status)
			if made := env.s.Count(t, "SELECT count(*) FROM account") - accounts; (made == 1) != (c.status == 204) || made > 1 {
				t.Errorf("%+q after %+q: %d new accounts", c.second, c.first, made)
			}
			a := env.call(http.MethodPost, "/v1/user/password", map[string]any{"email": c.second})
			if want := map[int]int{204: 204, 409: 204, 400: 400}[c.status]; a.status != want {
				t.Errorf("reset of %+q: %d, want %d", c.second, a.status, want)
			}
		}
		if i%20 == 19 { // an invite has 100 uses
			for _, env := range envs {
				env.accepted["inviteCode"] = env.s.Invite(t, 100)
			}
		}
	}
	stored := func(env *environment) string {
		env.waitForMails()
		var all strings.Builder
		for _, m := range env.s.Mails(t) {
			if strings.HasSuffix(strings.TrimRight(m.To, ">"), ".example") {
				fmt.Fprintln(&all, m.To, m.Subject)
			}
			if strings.ContainsAny(m.To, ",;") || strings.Count(m.To, "@") != 1 {
				t.Errorf("a mail to %q", m.To)
			}
		}
		return all.String()
	}
	if one, other := len(stored(envs[0])), len(stored(envs[1])); one != other {
		t.Errorf("the recipients of the engines differ: %d and %d bytes", one, other)
	}
}
