package contract

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/financelime/authorization/test/harness"
)

// sentValue is a value that no response and no log line may contain.
const sentValue = "sentValue"

// A 400 names the parameters that are wrong, in the response and in the log, and never contains their values.
func TestRejectedParameters(t *testing.T) {
	t.Parallel()
	harness.EachEngine(t, func(t *testing.T, engine string) {
		s := harness.Start(t, binary, contract, engine, "AUTH_CLIENT_IDS=test_v1")
		p := newPerson(t, s).join(s.Invite(t, 1))
		p.login()
		logged := make(map[string][]string) // what the log must have, by request ID
		for _, test := range rejections() {
			header := withToken(p)
			for name, values := range test.header {
				header[http.CanonicalHeaderKey(name)] = values
			}
			response, answer := send(t, s, test.method, test.path, header, test.body)
			what := fmt.Sprintf("%s %s %.60s", test.method, test.path, test.body)
			wantFailure(t, what, response, answer, 400, "BAD_PARAMETERS")
			var got struct{ Parameters []string }
			if err := json.Unmarshal([]byte(answer), &got); err != nil {
				t.Fatal(err)
			}
			slices.Sort(got.Parameters)
			if !slices.Equal(got.Parameters, test.want) {
				t.Errorf("%s: parameters %q, want %q", what, got.Parameters, test.want)
			}
			if strings.Contains(answer, sentValue) {
				t.Errorf("%s: the response contains a value: %s", what, answer)
			}
			logged[response.Header.Get("request-id")] = test.want
		}
		for _, line := range logLines(t, s) {
			if want, ok := logged[line.RequestID]; ok && line.Event == "request" {
				slices.Sort(line.Parameters)
				if !slices.Equal(line.Parameters, want) {
					t.Errorf("the log has %q, want %q", line.Parameters, want)
				}
				delete(logged, line.RequestID)
			}
		}
		if len(logged) > 0 {
			t.Errorf("%d requests are not in the log", len(logged))
		}
		if strings.Contains(s.Log(), sentValue) {
			t.Error("the log contains a value")
		}
	})
}

type rejection struct {
	method, path string
	header       http.Header
	body         string
	want         []string // sorted
}

func rejections() []rejection {
	const (
		signUp  = "/v1/user/signup"
		reset   = "/v1/user/password"
		login   = "/v1/oauth/create"
		refresh = "/v1/oauth/refresh"
		revoke  = "/v1/session/remove"
	)
	post, put, del, get := http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodGet
	device := func(fields string) string {
		return `{"email":"a@example.com","password":"p","clientID":"test_v1","device":{` + fields + `}}`
	}
	return []rejection{
		{post, signUp, nil, `{"email":"a@example.com","inviteCode":"c","language":"` + sentValue + `"}`, []string{"language"}},
		{post, signUp, nil, `{"email":"` + sentValue + `","inviteCode":"c","language":"xx"}`, []string{"email", "language"}},
		{post, signUp, nil, `{"email":"` + sentValue + `@localhost","inviteCode":"","language":"en"}`, []string{"email", "inviteCode"}},
		{post, signUp, nil, `{"email":"a@example.com","inviteCode":"","language":"en"}`, []string{"inviteCode"}},
		{post, signUp, nil, `{}`, []string{"email", "inviteCode", "language"}},
		{post, signUp, nil, `{"email":"a@example.com","inviteCode":"c","language":"en","` + sentValue + `":1}`, []string{"body"}},
		{post, signUp, nil, `{"Email":"a@example.com","inviteCode":"c","language":"en"}`, []string{"body", "email"}},
		{post, signUp, nil, `{"email":null,"inviteCode":1,"language":"en"}`, []string{"email", "inviteCode"}},
		{post, signUp, nil, `[]`, []string{"body"}},
		{post, signUp, nil, ``, []string{"body"}},
		{post, signUp, nil, `{"email":"a@example.com","email":"` + sentValue + `","inviteCode":"c","language":"en"}`, []string{"body"}},
		{post, signUp, nil, `{"email":"a\u0000@example.com","inviteCode":"c","language":"en"}`, []string{"body"}},
		{post, signUp, http.Header{"content-type": {"text/plain"}}, `{}`, []string{"content-type"}},
		{post, signUp, http.Header{"content-encoding": {"gzip"}}, `{}`, []string{"content-encoding"}},
		{post, signUp, http.Header{"request-id": {"short"}}, `{}`, []string{"request-id"}},
		{post, signUp, http.Header{"request-id": {rid(), rid()}}, `{"email":"a@example.com","inviteCode":"c","language":"en"}`, []string{"request-id"}},
		{post, reset, nil, `{"email":"` + sentValue + `@localhost"}`, []string{"email"}},
		{post, login, nil, device(`"width":-1,"height":"` + sentValue + `"`), []string{"device.height", "device.width"}},
		{post, login, nil, device(`"` + sentValue + `":1`), []string{"device"}},
		{post, login, nil, device(`"width":1e3`), []string{"device.width"}}, // an integer for JSON Schema, but not for Go
		{post, login, nil, device(`"height":1.0`), []string{"device.height"}},
		{post, login, nil, `{"email":"a@localhost","password":"` + sentValue + `","clientID":"other","device":{}}`, []string{"clientID", "email"}},
		{post, login, nil, `{"email":"a@example.com","password":"","clientID":"test_v1","device":[]}`, []string{"device", "password"}},
		{put, refresh, nil, `{"refreshToken":"` + sentValue + `"}`, []string{"refreshToken"}},
		{put, refresh, nil, `{"refreshToken":""}`, []string{"refreshToken"}},
		{put, refresh, nil, `{"token":"` + sentValue + `"}`, []string{"body", "refreshToken"}},
		{put, refresh, http.Header{"request-id": nil}, `{"refreshToken":"` + sentValue + `"}`, []string{"request-id"}},
		{del, revoke, nil, `{"sessionID":""}`, []string{"sessionID"}},
		{del, revoke, nil, ``, []string{"body"}},
		{del, "/v1/session/" + sentValue + "%20", nil, ``, []string{"sessionID"}},
		{get, "/v1/session/list", http.Header{"request-id": nil}, ``, []string{"request-id"}},
		{get, "/.well-known/jwks.json", http.Header{"if-none-match": {strings.Repeat("x", 1025)}}, ``, []string{"if-none-match"}},
		{get, "/docs/" + sentValue, nil, ``, []string{"asset"}}, // capital letters
		{get, "/account/" + sentValue, nil, ``, []string{"asset"}},
		{get, "/v1/version?" + strings.Repeat("x", 4<<10), nil, ``, nil},
	}
}

// A refresh whose request-id was removed on the way is not a refusal of the token: the token stays valid.
func TestRefreshWithoutRequestID(t *testing.T) {
	t.Parallel()
	harness.EachEngine(t, func(t *testing.T, engine string) {
		s := harness.Start(t, binary, contract, engine)
		p := newPerson(t, s).join(s.Invite(t, 1))
		p.login()
		response, answer := send(t, s, http.MethodPut, "/v1/oauth/refresh", http.Header{"Content-Type": {"application/json"}},
			`{"refreshToken":"`+p.session.RefreshToken+`"}`)
		wantFailure(t, "without request-id", response, answer, 400, "BAD_PARAMETERS")
		if !strings.Contains(answer, `"parameters":["request-id"]`) {
			t.Errorf("the response does not name only request-id: %s", answer)
		}
		p.refresh()
	})
}

// Timestamps have six digits of a second, also where they end with zeros.
func TestTimestampsHaveOneWidth(t *testing.T) {
	t.Parallel()
	harness.EachEngine(t, func(t *testing.T, engine string) {
		s := harness.Start(t, binary, contract, engine)
		p := newPerson(t, s).join(s.Invite(t, 1))
		p.login()
		second := "date_trunc('second', created_at)"
		if engine == "sqlite" {
			second = "created_at - created_at % 1000000" // microseconds
		}
		s.Exec(t, "UPDATE session SET created_at = "+second)
		response, answer := send(t, s, http.MethodGet, "/v1/session/list", withToken(p), "")
		wantStatus(t, "list", response.StatusCode, 200)
		if strings.Count(answer, `.000000Z"`) != 1 {
			t.Errorf("created_at does not end with .000000Z: %s", answer)
		}
	})
}
