// Command walk walks the journey of a user with the Go client of openapi-generator.
package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	openapi "walk/generated"
)

var device = *openapi.NewDevice()

func main() {
	log.SetFlags(log.Lshortfile)
	configuration := openapi.NewConfiguration()
	configuration.Servers = openapi.ServerConfigurations{{URL: os.Getenv("AUTH_URL")}}
	api := openapi.NewAPIClient(configuration)
	email := "go-" + strings.ToLower(rand.Text()) + "@example.com"

	version, _, err := api.ServiceAPI.GetVersion(context.Background()).RequestId(rand.Text()).Execute()
	check(err)
	require(version.Number != "", "a version")

	password := join(api, email)
	tokens := login(api, email, password)
	ctx := context.WithValue(context.Background(), openapi.ContextAccessToken, tokens.AccessToken)

	list, _, err := api.SessionAPI.GetListActiveSessions(ctx).RequestId(rand.Text()).Execute()
	check(err)
	require(len(list) == 1 && list[0].Current && list[0].SessionID == tokens.SessionID, "one session")
	require(time.Since(list[0].CreatedAt).Abs() < time.Hour, "the time of the login is a time.Time")

	verified, err := api.AuthorizationAPI.VerifyAccessToken(ctx).Execute()
	check(err)
	require(verified.Header.Get("x-auth-session-id") == tokens.SessionID, "the session's ID")

	renewed := refresh(api, tokens)
	_, _, err = api.SessionAPI.GetListActiveSessions(context.WithValue(ctx, openapi.ContextAccessToken, "bad")).RequestId(rand.Text()).Execute()
	require(failure[openapi.CommonFailure401](err).Code == http.StatusUnauthorized, "401 for a bad token")

	_, err = api.SessionAPI.RevokeRefreshToken(ctx).RequestId(rand.Text()).
		RevokeRefreshTokenRequest(*openapi.NewRevokeRefreshTokenRequest(tokens.SessionID)).Execute()
	check(err)
	_, err = api.SessionAPI.RevokeSession(ctx, tokens.SessionID).Execute()
	check(err)
	_, _, err = api.AuthorizationAPI.RefreshAccessToken(context.Background()).RequestId(rand.Text()).
		RefreshAccessTokenRequest(*openapi.NewRefreshAccessTokenRequest(renewed.RefreshToken)).Execute()
	require(failure[openapi.RefreshAccessTokenFailure404](err).Message == openapi.REFRESHACCESSTOKENFAILURE404MESSAGE_USER_NOT_FOUND, "the session has ended")

	keys, _, err := api.ServiceAPI.GetJwks(context.Background()).Execute()
	check(err)
	require(len(keys.Keys) > 0 && keys.Keys[0].Kty == openapi.JWKKTY_EC, "an EC key")
}

// join signs up, with failures first, and returns the password.
func join(api *openapi.APIClient, email string) string {
	signUp := func(email, code string) error {
		_, err := api.UserAPI.Signup(context.Background()).RequestId(rand.Text()).
			SignUpRequest(*openapi.NewSignUpRequest(email, code, "en")).Execute()
		return err
	}
	code := os.Getenv("AUTH_INVITE")
	require(failure[openapi.SignUpFailure404](signUp(email, "no-such-code")).Message == openapi.SIGNUPFAILURE404MESSAGE_INVITE_NOT_FOUND, "an unknown code")
	malformed := failure[openapi.SignUpFailure400](signUp("nobody@localhost", code))
	require(slices.Equal(malformed.Parameters, []string{"email"}), "the parameter `email` is named")
	check(signUp(email, code))
	switch conflict := failure[openapi.SignUpFailure409](signUp(email, code)); conflict.Message {
	case openapi.SIGNUPFAILURE409MESSAGE_USER_ALREADY_EXIST:
	case openapi.SIGNUPFAILURE409MESSAGE_INVITE_HAS_ENDED:
		log.Fatal("the invite code has ended")
	}

	key, rid, _ := strings.Cut(inbox("link", email), " ")
	confirmed, _, err := api.UserAPI.ConfirmUserEmail(context.Background(), key).Rid(rid).Execute()
	check(err)
	require(confirmed.Purpose == openapi.CONFIRMATIONRESPONSEPURPOSE_SIGNUP && confirmed.Message != "", "a typed confirmation")
	return inbox("password", email)
}

// login logs in, after an attempt with a wrong password.
func login(api *openapi.APIClient, email, password string) *openapi.AccessTokenResponse {
	attempt := func(password string) (*openapi.AccessTokenResponse, error) {
		tokens, _, err := api.AuthorizationAPI.CreateAccessToken(context.Background()).RequestId(rand.Text()).
			CreateAccessTokenRequest(*openapi.NewCreateAccessTokenRequest(email, password, "go_v1", device)).Execute()
		return tokens, err
	}
	_, err := attempt("wrong")
	require(failure[openapi.CreateAccessTokenFailure404](err).Message == openapi.CREATEACCESSTOKENFAILURE404MESSAGE_USER_NOT_FOUND, "a wrong password")
	tokens, err := attempt(password)
	check(err)
	return tokens
}

func refresh(api *openapi.APIClient, tokens *openapi.AccessTokenResponse) *openapi.AccessTokenResponse {
	renewed, _, err := api.AuthorizationAPI.RefreshAccessToken(context.Background()).RequestId(rand.Text()).
		RefreshAccessTokenRequest(*openapi.NewRefreshAccessTokenRequest(tokens.RefreshToken)).Execute()
	check(err)
	require(renewed.SessionID == tokens.SessionID && renewed.RefreshToken != tokens.RefreshToken, "the same session, a new token")
	return renewed
}

// failure returns the typed body of a failure.
func failure[T any](err error) T {
	var failed *openapi.GenericOpenAPIError
	if !errors.As(err, &failed) {
		log.Fatalf("no failure: %v", err)
	}
	body, ok := failed.Model().(T)
	if !ok {
		log.Fatalf("the failure is a %T: %s", failed.Model(), failed.Body())
	}
	return body
}

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
