package contract

import (
	"slices"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"

	financelime "github.com/financelime/authorization"
	"github.com/financelime/authorization/test/harness"
)

// TestStolenAccessToken walks through the contract with the access token of a session in which the user authenticated eleven minutes ago. Each
// operation that requires a recent authentication responds with 403 and writes nothing. Every other operation that takes an access token is
// listed here with the reason why it requires none.
func TestStolenAccessToken(t *testing.T) {
	t.Parallel()
	harmless := map[string]string{
		"get_user":                 "the client of the session has the same data",
		"get_list_active_sessions": "it reveals no more than the notices by email",
		"verify_access_token":      "it only checks the token",
		"revoke_refresh_token":     "a user who wants to end a thief's session must not be delayed",
		"revoke_session":           "the same",
		"revoke_other_sessions":    "the same",
		"cancel_email_change":      "it only prevents a change",
		"step_up_session":          "it takes the password, a second factor or a passkey",
		"list_passkeys":            "a thief learns no more than from get_user",
		"rename_passkey":           "it only changes what the user sees",
		"change_user_password":     "it takes the password; with a second factor it requires a recent authentication",
	}
	harness.EachEngine(t, func(t *testing.T, engine string) {
		s := harness.Start(t, binary, contract, engine)
		p := newPerson(t, s).join(s.Invite(t, 1))
		p.login()
		s.AgeAuthentications(t, 11*time.Minute)
		p.refresh()
		before := s.Snapshot(t)
		found := 0
		for _, e := range exampleRequests(t) {
			if e.header.Get("authorization") == "" || harmless[e.operation] != "" {
				continue
			}
			found++
			e.header.Set("authorization", "Bearer "+p.session.AccessToken)
			response, body := e.send(t, s)
			if response.StatusCode != 403 || body != `{"code":403,"message":"RECENT_AUTHENTICATION_REQUIRED"}`+"\n" ||
				response.Header.Get("www-authenticate") != `Bearer error="insufficient_user_authentication", max_age=600` {
				t.Errorf("%s: %d %s %v", e.operation, response.StatusCode, body, response.Header)
			}
		}
		if found < 3 {
			t.Errorf("the walk has found only %d operations", found)
		}
		if after := s.Snapshot(t); after != before {
			t.Errorf("the database has changed:\n%s\n\n%s", before, after)
		}
	})
	for operation := range harmless {
		if !slices.ContainsFunc(exampleRequests(t), func(e exampleRequest) bool { return e.operation == operation }) {
			t.Errorf("there is no operation %s", operation)
		}
	}
}

// Every operation that documents the 403 of a missing recent authentication takes an access token, and every operation of the walk above
// documents it: typed clients know that they must step up.
func TestRecentAuthenticationIsDocumented(t *testing.T) {
	t.Parallel()
	doc, err := openapi3.NewLoader().LoadFromData(financelime.Spec())
	if err != nil {
		t.Fatal(err)
	}
	documented := 0
	for _, item := range doc.Paths.Map() {
		for _, op := range item.Operations() {
			response := op.Responses.Status(403)
			if response == nil || response.Ref != "#/components/responses/RecentAuthenticationRequired" {
				continue
			}
			documented++
			if op.Security == nil || len(*op.Security) == 0 {
				t.Errorf("%s takes no access token", op.OperationID)
			}
		}
	}
	if documented < 3 {
		t.Errorf("only %d operations document it", documented)
	}
}
