package authclient_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"

	"github.com/financelime/authorization/api/authclient"
)

// Log in, call your own API with the access token, and log out.
func Example() {
	service := httptest.NewServer(newService()) // in your program: the URLs of the service and of your API
	defer service.Close()
	orders := service.URL + "/orders"
	ctx := context.Background()

	auth, err := authclient.New(service.URL)
	if err != nil {
		panic(err)
	}
	session, err := auth.Login(ctx, authclient.LoginRequest{Email: "me@example.com", Password: "qmhVXVC1%hVNa0Hcq", ClientID: "shop_v1.0.0"})
	if err != nil {
		panic(err)
	}
	response, err := session.HTTPClient().Get(orders)
	if err != nil {
		panic(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		panic(err)
	}
	fmt.Println(response.Status, string(body))
	fmt.Println(session.LogOut(ctx))
	// Output:
	// 200 OK GET /orders
	// <nil>
}

// Your own API has another origin than the service: list it, and it gets the access token. Other origins do not.
func ExampleSession_HTTPClient() {
	service := httptest.NewServer(newService())
	defer service.Close()
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, r.Header.Get("authorization"))
	}))
	defer api.Close()
	ctx := context.Background()

	auth, err := authclient.New(service.URL, authclient.WithOrigins(api.URL))
	if err != nil {
		panic(err)
	}
	session, err := auth.Login(ctx, authclient.LoginRequest{Email: "me@example.com", Password: "qmhVXVC1%hVNa0Hcq", ClientID: "shop_v1.0.0"})
	if err != nil {
		panic(err)
	}
	response, err := session.HTTPClient().Post(api.URL+"/orders", "application/json", strings.NewReader(`{"item":1}`))
	if err != nil {
		panic(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		panic(err)
	}
	fmt.Println(string(body))
	_, err = session.HTTPClient().Get("https://elsewhere.example.com")
	fmt.Println(err)
	// Output:
	// Bearer access-1
	// Get "https://elsewhere.example.com": https://elsewhere.example.com does not receive the access token: list it in authclient.WithOrigins
}

// A sign-up needs an invite code, if the operator requires one. The user then opens a mailed link, and receives a password by mail.
func ExampleClient_SignUp() {
	service := httptest.NewServer(newService())
	defer service.Close()
	auth, err := authclient.New(service.URL)
	if err != nil {
		panic(err)
	}

	for _, user := range []authclient.SignUpRequest{
		{Email: "you@example.com", InviteCode: "testInviteCode", Language: "en"},
		{Email: "you@example.com", InviteCode: "guessed", Language: "en"},
		{Email: "me@example.com", InviteCode: "testInviteCode", Language: "en"},
		{Email: "you@example.com", InviteCode: "testInviteCode", Language: "fr"},
	} {
		err := auth.SignUp(context.Background(), user)
		switch {
		case err == nil:
			fmt.Println("Open the link in the email that we have sent you.")
		case errors.Is(err, authclient.ErrInviteNotFound), errors.Is(err, authclient.ErrInviteHasEnded):
			fmt.Println("Please ask for another invite code.")
		case errors.Is(err, authclient.ErrUserAlreadyExist):
			fmt.Println("You have signed up already. Log in, or reset your password.")
		case errors.Is(err, authclient.ErrBadParameters):
			failure, _ := errors.AsType[*authclient.Error](err)
			fmt.Println("Please check:", failure.Parameters)
		default:
			panic(err)
		}
	}
	// Output:
	// Open the link in the email that we have sent you.
	// Please ask for another invite code.
	// You have signed up already. Log in, or reset your password.
	// Please check: [language]
}

// Tell failures apart by their code, and show the request ID of those that are not the user's fault.
func ExampleError() {
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("content-type", "application/json")
		w.Header().Set("request-id", "4f7c1f1e")
		w.Header().Set("retry-after", "30")
		w.WriteHeader(http.StatusTooManyRequests)
		fmt.Fprint(w, `{"code":429,"message":"429 Too Many Requests"}`)
	}))
	defer service.Close()
	auth, err := authclient.New(service.URL)
	if err != nil {
		panic(err)
	}

	_, err = auth.Login(context.Background(), authclient.LoginRequest{Email: "me@example.com", Password: "guess", ClientID: "shop_v1.0.0"})
	failure, ok := errors.AsType[*authclient.Error](err)
	switch {
	case !ok: // no response: the network, or the context
		fmt.Println(err)
	case failure.Code == authclient.ErrUserNotFound:
		fmt.Println("The address or the password is wrong.")
	case failure.Code == authclient.ErrTooManyRequests:
		fmt.Println("Too many attempts. Please wait", failure.RetryAfter)
	default:
		fmt.Println("Something went wrong. Please send us this number:", failure.RequestID)
	}
	// Output: Too many attempts. Please wait 30s
}

// A file keeps the user logged in after a restart of the program.
func ExampleClient_Resume() {
	service := httptest.NewServer(newService())
	defer service.Close()
	dir, err := os.MkdirTemp("", "shop") // in your program: os.UserConfigDir
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	ctx := context.Background()

	auth, err := authclient.New(service.URL, authclient.WithTokenStore(authclient.FileStore{Path: filepath.Join(dir, "tokens.json")}))
	if err != nil {
		panic(err)
	}
	session, err := auth.Resume(ctx)
	if errors.Is(err, authclient.ErrLoggedOut) {
		fmt.Println("logging in")
		session, err = auth.Login(ctx, authclient.LoginRequest{Email: "me@example.com", Password: "qmhVXVC1%hVNa0Hcq", ClientID: "shop_v1.0.0"})
	}
	if err != nil {
		panic(err)
	}
	sessions, err := session.Sessions(ctx)
	if err != nil {
		panic(err)
	}
	fmt.Println(len(sessions), "session, current:", sessions[0].Current)
	// Output:
	// logging in
	// 1 session, current: true
}

// The function shows the login form when the service has ended the session, for example because the user has logged out of it elsewhere.
func ExampleWithSessionEnded() {
	instance := newService()
	service := httptest.NewServer(instance)
	defer service.Close()
	ctx := context.Background()

	auth, err := authclient.New(service.URL, authclient.WithSessionEnded(func(error) { fmt.Println("Please log in again.") }))
	if err != nil {
		panic(err)
	}
	session, err := auth.Login(ctx, authclient.LoginRequest{Email: "me@example.com", Password: "qmhVXVC1%hVNa0Hcq", ClientID: "shop_v1.0.0"})
	if err != nil {
		panic(err)
	}
	if err := session.EndSession(ctx, "session-1"); err != nil { // on another device
		panic(err)
	}
	_, err = session.Refresh(ctx)
	fmt.Println(errors.Is(err, authclient.ErrLoggedOut))
	// Output:
	// Please log in again.
	// true
}

// Logging out ends the session at the service and deletes the tokens. Doing it twice is no error.
func ExampleSession_LogOut() {
	service := httptest.NewServer(newService())
	defer service.Close()
	ctx := context.Background()
	auth, err := authclient.New(service.URL)
	if err != nil {
		panic(err)
	}
	session, err := auth.Login(ctx, authclient.LoginRequest{Email: "me@example.com", Password: "qmhVXVC1%hVNa0Hcq", ClientID: "shop_v1.0.0"})
	if err != nil {
		panic(err)
	}

	fmt.Println(session.LogOut(ctx))
	fmt.Println(session.LogOut(ctx))
	_, err = session.Tokens(ctx)
	fmt.Println(err)
	// Output:
	// <nil>
	// <nil>
	// logged out
}
