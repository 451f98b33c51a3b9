// Command walk walks the journey of a user with the client of ogen.
package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/ogen-go/ogen/ogenerrors"

	"walk/generated"
)

// bearer is the access token of the client's requests. It is sent in one of the two documented forms.
type bearer struct{ token string }

func (b *bearer) Bearer(context.Context, generated.OperationName) (generated.Bearer, error) {
	return generated.Bearer{Token: b.token}, nil
}

func (*bearer) Authorization(context.Context, generated.OperationName) (generated.Authorization, error) {
	return generated.Authorization{}, ogenerrors.ErrSkipClientSecurity
}

// askForJSON sets the header Accept, which the client does not send. Without it, the confirmation is a page.
func askForJSON(_ context.Context, r *http.Request) error {
	r.Header.Set("Accept", "application/json")
	return nil
}

func main() {
	log.SetFlags(log.Lshortfile)
	ctx := context.Background()
	mine := &bearer{}
	api, err := generated.NewClient(os.Getenv("AUTH_URL"), mine, generated.WithRequestEditor(askForJSON))
	check(err)
	email := "ogen-" + strings.ToLower(rand.Text()) + "@example.com"

	version := result[generated.VersionResponseHeaders](api.GetVersion(ctx, generated.GetVersionParams{RequestID: newID()}))
	require(version.Response.Number != "", "a version")

	tokens := login(ctx, api, email, join(ctx, api, email))
	mine.token = tokens.AccessToken

	list := result[generated.SessionListHeaders](api.GetListActiveSessions(ctx, generated.GetListActiveSessionsParams{RequestID: newID()}))
	require(len(list.Response) == 1 && list.Response[0].Current && list.Response[0].SessionID == tokens.SessionID, "one session")
	require(time.Since(list.Response[0].CreatedAt).Abs() < time.Hour, "the time of the login is a time.Time")

	verified := result[generated.VerifyAccessTokenNoContent](api.VerifyAccessToken(ctx, generated.VerifyAccessTokenParams{}))
	require(verified.XAuthSessionID == tokens.SessionID, "the session's ID")

	renewed := result[generated.AccessTokenResponseHeaders](refresh(ctx, api, tokens.RefreshToken)).Response
	require(renewed.SessionID == tokens.SessionID && renewed.RefreshToken != tokens.RefreshToken, "the same session, a new token")

	mine.token = "bad"
	stranger := result[generated.UnauthorizedHeaders](api.GetListActiveSessions(ctx, generated.GetListActiveSessionsParams{RequestID: newID()}))
	require(stranger.Response.Code == http.StatusUnauthorized, "401 for a bad token")

	mine.token = renewed.AccessToken
	result[generated.RevokeRefreshTokenNoContent](api.RevokeRefreshToken(ctx, &generated.RevokeRefreshTokenRequest{SessionID: tokens.SessionID},
		generated.RevokeRefreshTokenParams{RequestID: newID()}))
	result[generated.RevokeSessionNoContent](api.RevokeSession(ctx, generated.RevokeSessionParams{SessionID: tokens.SessionID}))

	ended := result[generated.RefreshAccessTokenFailure404Headers](refresh(ctx, api, renewed.RefreshToken))
	require(ended.Response.Message == generated.RefreshAccessTokenFailure404MessageUSERNOTFOUND, "the session has ended")

	keys := result[generated.JWKSHeaders](api.GetJwks(ctx, generated.GetJwksParams{}))
	require(len(keys.Response.Keys) > 0 && keys.Response.Keys[0].Kty == generated.JWKKtyEC, "an EC key")
}

// join signs up, with failures first, and returns the password.
func join(ctx context.Context, api *generated.Client, email string) string {
	signUp := func(email, code string) (generated.SignupRes, error) {
		request := &generated.SignUpRequest{Email: generated.Email(email), InviteCode: code, Language: "en"}
		return api.Signup(ctx, request, generated.SignupParams{RequestID: newID()})
	}
	code := os.Getenv("AUTH_INVITE")
	unknown := result[generated.SignUpFailure404Headers](signUp(email, "no-such-code"))
	require(unknown.Response.Message == generated.SignUpFailure404MessageINVITENOTFOUND, "an unknown code")
	malformed := result[generated.SignUpFailure400Headers](signUp("nobody@localhost", code))
	require(slices.Equal(malformed.Response.Parameters, []string{"email"}), "the parameter `email` is named")
	result[generated.SignupNoContent](signUp(email, code))
	switch conflict := result[generated.SignUpFailure409Headers](signUp(email, code)); conflict.Response.Message {
	case generated.SignUpFailure409MessageUSERALREADYEXIST:
	case generated.SignUpFailure409MessageINVITEHASENDED:
		log.Fatal("the invite code has ended")
	}

	key, rid, _ := strings.Cut(inbox("link", email), " ")
	confirmed := result[generated.ConfirmationResponseHeaders](
		api.ConfirmUserEmail(ctx, generated.ConfirmUserEmailParams{ConfirmationKey: key, Rid: rid}))
	require(confirmed.Response.Purpose == generated.ConfirmationResponsePurposeSignup && confirmed.Response.Message != "", "a typed confirmation")
	return inbox("password", email)
}

// login logs in, after an attempt with a wrong password.
func login(ctx context.Context, api *generated.Client, email, password string) generated.AccessTokenResponse {
	attempt := func(password string) (generated.CreateAccessTokenRes, error) {
		request := &generated.CreateAccessTokenRequest{Email: generated.Email(email), Password: password, ClientID: "ogen_v1"}
		return api.CreateAccessToken(ctx, request, generated.CreateAccessTokenParams{RequestID: newID()})
	}
	wrong := result[generated.CreateAccessTokenFailure404Headers](attempt("wrong"))
	require(wrong.Response.Message == generated.CreateAccessTokenFailure404MessageUSERNOTFOUND, "a wrong password")
	return result[generated.AccessTokenResponseHeaders](attempt(password)).Response
}

func refresh(ctx context.Context, api *generated.Client, token string) (generated.RefreshAccessTokenRes, error) {
	return api.RefreshAccessToken(ctx, &generated.RefreshAccessTokenRequest{RefreshToken: token}, generated.RefreshAccessTokenParams{RequestID: newID()})
}

// result returns the response of an operation, which must have the type T.
func result[T any](response any, err error) *T {
	if err != nil {
		log.Output(2, fmt.Sprint(err))
		os.Exit(1)
	}
	typed, ok := response.(*T)
	if !ok {
		log.Output(2, fmt.Sprintf("the response is a %T: %+v", response, response))
		os.Exit(1)
	}
	return typed
}

func newID() generated.RequestID { return generated.RequestID(rand.Text()) }

// inbox waits for what a user reads in a mail.
func inbox(what, email string) string {
	r, err := http.Get(os.Getenv("INBOX") + "/" + what + "?to=" + email)
	check(err)
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	check(err)
	require(r.StatusCode == http.StatusOK, string(text))
	return strings.TrimSpace(string(text))
}

func check(err error) {
	if err != nil {
		log.Output(2, fmt.Sprint(err))
		os.Exit(1)
	}
}

func require(ok bool, what string) {
	if !ok {
		log.Output(2, "want: "+what)
		os.Exit(1)
	}
}
