package contract

import (
	"strings"
	"sync"
	"testing"

	"github.com/financelime/authorization/api/client"
	"github.com/financelime/authorization/test/harness"
)

// What the user has shown or used before logs nobody in: the code of the set-up, a code that was used, a code of the app that was replaced, and the
// recovery codes of before a renewal. Of 16 logins at the same time with one code, one succeeds.
func TestUsedCodesLogNobodyIn(t *testing.T) {
	t.Parallel()
	harness.EachEngine(t, func(t *testing.T, engine string) {
		s := harness.Start(t, binary, contract, engine)
		p := newPerson(t, s).join(s.Invite(t, 1))
		ended := p.login()
		p.login()
		app := p.beginTOTP()
		setUp := app.Next(t)
		confirmed := p.api().ConfirmTOTP(p.session.AccessToken, setUp)
		p.want("confirm", confirmed.StatusCode(), 200)
		p.want("begin in a session that has ended", p.api().BeginTOTP(ended.AccessToken).StatusCode(), 401)
		wrong := func(what string, r *client.CreateAccessTokenBySecondFactorResponse) {
			t.Helper()
			if r.StatusCode() != 403 || r.JSON403.Message != client.SecondFactorFailure403MessageWRONGCODE {
				t.Errorf("%s: %d %s", what, r.StatusCode(), r.Body)
			}
		}
		wrong("the code of the set-up", p.byCode(p.ticket(), setUp))

		code := app.Next(t)
		tickets := make([]string, 16)
		for i := range tickets {
			tickets[i] = p.ticket()
		}
		statuses := make([]int, len(tickets))
		var all sync.WaitGroup
		for i, ticket := range tickets {
			all.Go(func() { statuses[i] = p.byCode(ticket, code).StatusCode() })
		}
		all.Wait()
		count := make(map[int]int)
		for _, status := range statuses {
			count[status]++
		}
		if count[200] != 1 || count[403] != 15 {
			t.Errorf("16 logins with one code: %v", count)
		}

		old := confirmed.JSON200.RecoveryCodes
		typed := strings.ToLower(strings.ReplaceAll(old[0], "-", " "))
		first := p.byRecoveryCode(p.ticket(), typed)
		p.want("a recovery code", first.StatusCode(), 200)
		p.session = *first.JSON200
		wrong("the recovery code again", p.byRecoveryCode(p.ticket(), old[0]))
		renewed := p.api().RenewRecoveryCodes(p.session.AccessToken)
		p.want("renew", renewed.StatusCode(), 200)
		for _, code := range old {
			wrong("a recovery code of before", p.byRecoveryCode(p.ticket(), code))
		}
		p.want("a renewed one", p.byRecoveryCode(p.ticket(), renewed.JSON200.RecoveryCodes[9]).StatusCode(), 200)

		second := p.beginTOTP()
		s.ForgetTOTPSteps(t, app)
		p.want("the first app until the second one is confirmed", p.byCode(p.ticket(), app.Next(t)).StatusCode(), 200)
		p.want("confirm the second app", p.api().ConfirmTOTP(p.session.AccessToken, second.Next(t)).StatusCode(), 200)
		wrong("the first app after it", p.byCode(p.ticket(), app.Next(t)))
		p.want("the second app", p.byCode(p.ticket(), second.Next(t)).StatusCode(), 200)
	})
}
