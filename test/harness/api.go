package harness

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"path"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/financelime/authorization/api/client"
)

// API calls operations through a generated client. The test fails if there is no response; the caller checks the status.
type API struct {
	T      testing.TB
	Client *client.ClientWithResponses
}

func (a API) must(err error) {
	a.T.Helper()
	if err != nil {
		a.T.Fatal(err)
	}
}

// SignUp requests a confirmation link.
func (a API) SignUp(body client.SignUpRequest) *client.SignupResponse {
	a.T.Helper()
	r, err := a.Client.SignupWithResponse(a.T.Context(), &client.SignupParams{RequestID: uuid.NewString()}, body)
	a.must(err)
	return r
}

// Login creates a session.
func (a API) Login(body client.CreateAccessTokenRequest) *client.CreateAccessTokenResponse {
	a.T.Helper()
	r, err := a.Client.CreateAccessTokenWithResponse(a.T.Context(), &client.CreateAccessTokenParams{RequestID: uuid.NewString()}, body)
	a.must(err)
	return r
}

// Refresh exchanges a refresh token.
func (a API) Refresh(token string) *client.RefreshAccessTokenResponse {
	a.T.Helper()
	r, err := a.Client.RefreshAccessTokenWithResponse(a.T.Context(), &client.RefreshAccessTokenParams{RequestID: uuid.NewString()},
		client.RefreshAccessTokenRequest{RefreshToken: token})
	a.must(err)
	return r
}

// Sessions lists the sessions of the access token's user.
func (a API) Sessions(accessToken string) *client.GetListActiveSessionsResponse {
	a.T.Helper()
	r, err := a.Client.GetListActiveSessionsWithResponse(a.T.Context(), &client.GetListActiveSessionsParams{RequestID: uuid.NewString()},
		Bearer(accessToken))
	a.must(err)
	return r
}

// Revoke ends a session by DELETE with a body.
func (a API) Revoke(accessToken, sessionID string) *client.RevokeRefreshTokenResponse {
	a.T.Helper()
	r, err := a.Client.RevokeRefreshTokenWithResponse(a.T.Context(), &client.RevokeRefreshTokenParams{RequestID: uuid.NewString()},
		client.RevokeRefreshTokenRequest{SessionID: sessionID}, Bearer(accessToken))
	a.must(err)
	return r
}

// ResetPassword requests a link for a new password.
func (a API) ResetPassword(email string) *client.UserPasswordResetResponse {
	a.T.Helper()
	r, err := a.Client.UserPasswordResetWithResponse(a.T.Context(), &client.UserPasswordResetParams{RequestID: uuid.NewString()},
		client.RequestUserPasswordResetRequest{Email: email})
	a.must(err)
	return r
}

// ResetToChoose requests a link to a page on which the user chooses a password.
func (a API) ResetToChoose(email string) *client.UserPasswordResetResponse {
	a.T.Helper()
	choose := true
	r, err := a.Client.UserPasswordResetWithResponse(a.T.Context(), &client.UserPasswordResetParams{RequestID: uuid.NewString()},
		client.RequestUserPasswordResetRequest{Email: email, ChoosePassword: &choose})
	a.must(err)
	return r
}

// OpenLink shows what a link of /l/ does, without a page.
func (a API) OpenLink(link *url.URL) *client.OpenLinkResponse {
	a.T.Helper()
	r, err := a.Client.OpenLinkWithResponse(a.T.Context(), path.Base(link.Path), &client.OpenLinkParams{Rid: link.Query().Get("rid")}, acceptJSON)
	a.must(err)
	return r
}

// UseLink uses a link of /l/.
func (a API) UseLink(link *url.URL, body client.UseLinkRequest) *client.UseLinkResponse {
	a.T.Helper()
	r, err := a.Client.UseLinkWithResponse(a.T.Context(), path.Base(link.Path), &client.UseLinkParams{Rid: link.Query().Get("rid")}, body, acceptJSON)
	a.must(err)
	return r
}

func acceptJSON(_ context.Context, r *http.Request) error {
	r.Header.Set("accept", "application/json")
	return nil
}

// User returns the account of the access token's user.
func (a API) User(accessToken string) *client.GetUserResponse {
	a.T.Helper()
	r, err := a.Client.GetUserWithResponse(a.T.Context(), &client.GetUserParams{RequestID: uuid.NewString()}, Bearer(accessToken))
	a.must(err)
	return r
}

// DeleteUser closes or deletes the account of the access token's user.
func (a API) DeleteUser(accessToken string) *client.DeleteUserResponse {
	a.T.Helper()
	r, err := a.Client.DeleteUserWithResponse(a.T.Context(), &client.DeleteUserParams{RequestID: uuid.NewString()}, Bearer(accessToken))
	a.must(err)
	return r
}

// ExportUser returns the data of the access token's user.
func (a API) ExportUser(accessToken string) *client.ExportUserDataResponse {
	a.T.Helper()
	r, err := a.Client.ExportUserDataWithResponse(a.T.Context(), &client.ExportUserDataParams{RequestID: uuid.NewString()}, Bearer(accessToken))
	a.must(err)
	return r
}

// ChangePassword replaces the password of the access token's user.
func (a API) ChangePassword(accessToken, current, chosen string) *client.ChangeUserPasswordResponse {
	a.T.Helper()
	r, err := a.Client.ChangeUserPasswordWithResponse(a.T.Context(), &client.ChangeUserPasswordParams{RequestID: uuid.NewString()},
		client.ChangeUserPasswordRequest{CurrentPassword: current, NewPassword: chosen}, Bearer(accessToken))
	a.must(err)
	return r
}

// RevokeOthers ends all sessions of the access token's user but its own.
func (a API) RevokeOthers(accessToken string) *client.RevokeOtherSessionsResponse {
	a.T.Helper()
	r, err := a.Client.RevokeOtherSessionsWithResponse(a.T.Context(), &client.RevokeOtherSessionsParams{RequestID: uuid.NewString()},
		Bearer(accessToken))
	a.must(err)
	return r
}

// RequestEmail requests another address for the access token's user.
func (a API) RequestEmail(accessToken, email string) *client.RequestEmailChangeResponse {
	a.T.Helper()
	r, err := a.Client.RequestEmailChangeWithResponse(a.T.Context(), &client.RequestEmailChangeParams{RequestID: uuid.NewString()},
		client.RequestEmailChangeRequest{NewEmail: email}, Bearer(accessToken))
	a.must(err)
	return r
}

// CancelEmail cancels the request for another address.
func (a API) CancelEmail(accessToken string) *client.CancelEmailChangeResponse {
	a.T.Helper()
	r, err := a.Client.CancelEmailChangeWithResponse(a.T.Context(), &client.CancelEmailChangeParams{RequestID: uuid.NewString()}, Bearer(accessToken))
	a.must(err)
	return r
}

// StepUp authenticates the access token's user again.
func (a API) StepUp(accessToken, password string) *client.StepUpSessionResponse {
	a.T.Helper()
	return a.StepUpBy(accessToken, client.StepUpSessionRequest{Password: &password})
}

// StepUpBy authenticates the access token's user again by any proof.
func (a API) StepUpBy(accessToken string, body client.StepUpSessionRequest) *client.StepUpSessionResponse {
	a.T.Helper()
	r, err := a.Client.StepUpSessionWithResponse(a.T.Context(), &client.StepUpSessionParams{RequestID: uuid.NewString()}, body, Bearer(accessToken))
	a.must(err)
	return r
}

// LoginBySecondFactor completes a login.
func (a API) LoginBySecondFactor(body client.SecondFactorRequest) *client.CreateAccessTokenBySecondFactorResponse {
	a.T.Helper()
	r, err := a.Client.CreateAccessTokenBySecondFactorWithResponse(a.T.Context(),
		&client.CreateAccessTokenBySecondFactorParams{RequestID: uuid.NewString()}, body)
	a.must(err)
	return r
}

// Bearer adds an access token to a request.
func Bearer(token string) client.RequestEditorFn {
	return func(_ context.Context, r *http.Request) error {
		r.Header.Set("authorization", "Bearer "+token)
		return nil
	}
}

// Send sends one raw request, which a generated client would not, and returns the response and its body.
func Send(t testing.TB, via *http.Client, method, to string, header http.Header, body string) (*http.Response, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, to, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for name, values := range header {
		request.Header[http.CanonicalHeaderKey(name)] = values
	}
	return Do(t, via, request)
}

// Do sends a request and returns the response and its body.
func Do(t testing.TB, via *http.Client, request *http.Request) (*http.Response, string) {
	t.Helper()
	response, err := via.Do(request)
	if err != nil {
		t.Fatalf("%s %s: %v", request.Method, request.URL.Path, err)
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response, string(content)
}
