package authclient_test

import (
	"errors"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/financelime/authorization"
	"github.com/financelime/authorization/api/authclient"
)

// TestFailures checks what an operation returns for the responses of the service, and for those of others.
func TestFailures(t *testing.T) {
	t.Parallel()
	const isJSON = "application/json; charset=utf-8"
	for name, test := range map[string]struct {
		status            int
		contentType, body string
		header            map[string]string
		want              authclient.Error
		text              string
	}{
		"a code": {
			404, isJSON, `{"code":404,"message":"USER_NOT_FOUND"}`, map[string]string{"request-id": "id-1"},
			authclient.Error{Code: authclient.ErrUserNotFound, RequestID: "id-1"},
			"reset the password: 404 USER_NOT_FOUND (request id-1)",
		},
		"parameters": {
			400, isJSON, `{"code":400,"message":"BAD_PARAMETERS","parameters":["email","body"]}`, map[string]string{"request-id": "id-1"},
			authclient.Error{Code: authclient.ErrBadParameters, RequestID: "id-1", Parameters: []string{"email", "body"}},
			"reset the password: 400 BAD_PARAMETERS email, body (request id-1)",
		},
		"a limit": {
			429, isJSON, `{"code":429,"message":"429 Too Many Requests"}`, map[string]string{"request-id": "id-1", "retry-after": "90"},
			authclient.Error{Code: authclient.ErrTooManyRequests, RequestID: "id-1", RetryAfter: 90 * time.Second},
			"reset the password: 429 Too Many Requests (request id-1)",
		},
		"a code that is newer than this client": {
			409, isJSON, `{"code":409,"message":"TOO_LATE"}`, map[string]string{"request-id": "id-1"},
			authclient.Error{Code: "TOO_LATE", RequestID: "id-1"},
			"reset the password: 409 TOO_LATE (request id-1)",
		},
		"a gateway": {
			502, "text/html", "<h1>Bad Gateway</h1>", nil,
			authclient.Error{Code: "502 Bad Gateway", RequestID: "sent-1"},
			"reset the password: 502 Bad Gateway (request sent-1)",
		},
		"a gateway with JSON": {
			403, isJSON, `{"code":"forbidden","message":{}}`, nil,
			authclient.Error{Code: "403 Forbidden", RequestID: "sent-1"},
			"reset the password: 403 Forbidden (request sent-1)",
		},
		"a status that nobody knows": {
			599, "", "", nil, authclient.Error{Code: "599", RequestID: "sent-1"}, "reset the password: 599 (request sent-1)",
		},
		"a huge body": {
			404, isJSON, `{"code":404,"message":"` + strings.Repeat("x", 2<<20) + `"}`, nil,
			authclient.Error{Code: authclient.ErrNotFound, RequestID: "sent-1"}, "reset the password: 404 Not Found (request sent-1)",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newClient(t, transport(func(r *http.Request) (*http.Response, error) {
				r.Header.Set("request-id", "sent-1")
				header := http.Header{"Content-Type": {test.contentType}}
				for key, value := range test.header {
					header.Set(key, value)
				}
				return &http.Response{StatusCode: test.status, Header: header, Body: readCloser(test.body), Request: r}, nil
			}))
			err := c.ResetPassword(t.Context(), email)
			got, ok := errors.AsType[*authclient.Error](err)
			if !ok {
				t.Fatalf("%v", err)
			}
			want := test.want
			if got.Op != "reset the password" || got.Status != test.status || got.Code != want.Code || got.RequestID != want.RequestID ||
				got.RetryAfter != want.RetryAfter || !slices.Equal(got.Parameters, want.Parameters) {
				t.Errorf("%+v", got)
			}
			if !errors.Is(err, want.Code) || errors.Is(err, authclient.ErrInviteHasEnded) || err.Error() != test.text {
				t.Errorf("%q is not %q", err, test.text)
			}
		})
	}
}

// TestCodesAreComplete checks that the package has a constant for each code of openapi.yaml.
func TestCodesAreComplete(t *testing.T) {
	t.Parallel()
	known := []authclient.Code{
		authclient.ErrBadParameters, authclient.ErrInviteNotFound, authclient.ErrInviteHasEnded, authclient.ErrUserAlreadyExist,
		authclient.ErrUserNotFound, authclient.ErrUnauthorized, authclient.ErrNotFound, authclient.ErrMethodNotAllowed,
		authclient.ErrRequestTooLarge, authclient.ErrTooManyRequests, authclient.ErrInternal, authclient.ErrUnavailable,
		authclient.ErrWrongPassword, authclient.ErrRecentAuthenticationRequired, authclient.ErrPasswordTooShort, authclient.ErrPasswordKnown,
		authclient.ErrPasswordGuessable, authclient.ErrPasswordUnchanged,
		authclient.ErrEmailTaken, authclient.ErrEmailUnchanged,
		authclient.ErrAuthenticationFailed, authclient.ErrSecondFactorRequired,
		authclient.ErrWrongCode, authclient.ErrLoginExpired, authclient.ErrTOTPNotBegun, authclient.ErrLastFactor, authclient.ErrNoFactor,
		authclient.ErrAlreadyOn, authclient.ErrSecondFactorOff, authclient.ErrTooManyPasskeys, authclient.ErrPasskeyAlreadyAdded, authclient.ErrCeremonyExpired,
	}
	doc, err := openapi3.NewLoader().LoadFromData(authorization.Spec())
	if err != nil {
		t.Fatal(err)
	}
	isCode := regexp.MustCompile(`Failure\d*Message$`)
	var documented []authclient.Code
	for name, schema := range doc.Components.Schemas {
		if isCode.MatchString(name) {
			for _, value := range schema.Value.Enum {
				documented = append(documented, authclient.Code(value.(string)))
			}
		}
	}
	slices.Sort(documented)
	documented = slices.Compact(documented)
	slices.Sort(known)
	if !slices.Equal(documented, known) {
		t.Errorf("openapi.yaml has %q, the package %q", documented, known)
	}
}
